//! Credentials: handed out while they hold, refreshed when they are about to end, once per account at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::name::{AccountId, ProviderId};
use reclaimer_domain::ports::{IssueError, StoreError};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::time::after;
use reclaimer_domain::wire::Credentials;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::service::{Inner, Provisioning};

/// Credentials that hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshAnswer {
    /// What to present.
    pub access_token: Secret,
    /// When it ends; `None` = not known, or never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Where it counts.
    pub provider: ProviderId,
}

/// Why there are no credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There is no such account.
    #[error("there is no account `{0}`; set it with PUT /api/admin/accounts/{0}")]
    UnknownAccount(AccountId),
    /// The account is of another provider.
    #[error("account `{account}` belongs to provider `{provider}`, not to the one asked for")]
    WrongProvider {
        /// Which account.
        account: AccountId,
        /// Whose it is.
        provider: ProviderId,
    },
    /// The account is another user's.
    #[error("account `{0}` belongs to another user than the one asked for")]
    WrongUser(AccountId),
    /// Neither its access token nor a refresh token holds.
    #[error("account `{0}` has no token that is still valid; it must be authorised again")]
    NotValid(AccountId),
    /// The provider gave none.
    #[error(transparent)]
    Issue(Arc<IssueError>),
    /// The store could not.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The refresh ended without a word: a defect.
    #[error("the refresh of account `{0}` ended without an answer; ask again")]
    Vanished(AccountId),
}

impl From<StoreError> for CredentialsError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

type Outcome = Result<FreshAnswer, CredentialsError>;

/// Refreshes that are under way, by account.
#[derive(Debug, Default)]
pub(crate) struct Refreshes(Mutex<HashMap<AccountId, watch::Receiver<Option<Outcome>>>>);

impl Provisioning {
    /// Credentials of an account: the stored ones while they last, fresh ones otherwise.
    ///
    /// # Errors
    /// When the account is not the one that was meant, when nothing of it holds, or when the provider or the store
    /// cannot help.
    ///
    /// # Cancel safety
    /// A refresh that began runs to its end for whoever else waits.
    pub async fn credentials(
        &self,
        provider: &ProviderId,
        account: &AccountId,
        user: &str,
    ) -> Result<FreshAnswer, CredentialsError> {
        let found = self.inner.accounts.account(account).await?;
        let found = found.ok_or_else(|| CredentialsError::UnknownAccount(account.clone()))?;
        if found.provider != *provider {
            let (account, provider) = (account.clone(), found.provider);
            return Err(CredentialsError::WrongProvider { account, provider });
        }
        if found.user_id != user {
            return Err(CredentialsError::WrongUser(account.clone()));
        }
        Arc::clone(&self.inner).lasting(found).await
    }
}

impl Inner {
    /// What goes out with a job; nothing where nothing holds.
    pub(crate) async fn credentials_to_hand_out(self: Arc<Self>, account: &AccountId) -> Option<Credentials> {
        let found = match self.accounts.account(account).await {
            Ok(found) => found?,
            Err(error) => {
                warn!(area = "JOB-MANAGER", account_id = %account, code = error.code(), "credentials could not be read");
                return None;
            }
        };
        let now = self.now();
        let stored = stored(&found).filter(|_| found.has_live_access_token(now));
        let patience = self.config.hand_out_refresh_timeout;
        let fresh = match tokio::time::timeout(patience, self.lasting(found)).await {
            Ok(Ok(fresh)) => Some(fresh),
            Ok(Err(error)) => {
                warn!(area = "JOB-MANAGER", account_id = %account, %error, "a job goes out without fresh credentials");
                stored
            }
            Err(_) => {
                warn!(area = "JOB-MANAGER", account_id = %account, "the provider is slow; a job goes out without fresh credentials");
                stored
            }
        }?;
        Some(Credentials {
            access_token: fresh.access_token.expose().to_owned(),
            token_type: "Bearer",
            expires_at: fresh.expires_at,
            provider_id: fresh.provider,
        })
    }

    /// Credentials that last for a while yet.
    async fn lasting(self: Arc<Self>, account: Account) -> Outcome {
        let now = self.now();
        let soon = after(now, self.config.refresh_before);
        if account.has_live_access_token(soon) {
            return stored(&account).ok_or(CredentialsError::NotValid(account.id));
        }
        if !account.has_live_refresh_token(now) {
            // What is left of an access token without a refresh token is better than nothing.
            let left = stored(&account).filter(|_| account.has_live_access_token(now));
            return left.ok_or(CredentialsError::NotValid(account.id));
        }
        self.refresh_once(account).await
    }

    /// Joins the refresh that is under way for the account, or starts one. It runs in a task of its own, so that no
    /// caller who goes away takes it along.
    async fn refresh_once(self: Arc<Self>, account: Account) -> Outcome {
        let id = account.id.clone();
        let mut waiting = {
            let mut refreshes = self.refreshes.0.lock().unwrap_or_else(PoisonError::into_inner);
            match refreshes.get(&id) {
                Some(under_way) => under_way.clone(),
                None => {
                    let (tell, waiting) = watch::channel(None);
                    refreshes.insert(id.clone(), waiting.clone());
                    let (inner, slot) =
                        (Arc::clone(&self), Slot { inner: Arc::clone(&self), id: id.clone() });
                    tokio::spawn(async move {
                        let outcome = inner.refresh(account).await;
                        // The slot is free before anybody learns the outcome: whoever then asks again starts anew.
                        drop(slot);
                        tell.send_replace(Some(outcome));
                    });
                    waiting
                }
            }
        };
        let outcome = match waiting.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        outcome.unwrap_or(Err(CredentialsError::Vanished(id)))
    }

    async fn refresh(&self, account: Account) -> Outcome {
        let Account { id, provider, refresh_token, .. } = account;
        let Some(refresh_token) = refresh_token else { return Err(CredentialsError::NotValid(id)) };
        let issued = self.issuer.refresh(&provider, &refresh_token, self.now()).await;
        let fresh = issued.map_err(|error| CredentialsError::Issue(Arc::new(error)))?;
        let answer = FreshAnswer {
            access_token: fresh.access_token.clone(),
            expires_at: fresh.access_token_expires_at,
            provider,
        };
        let now = self.now();
        if self.accounts.renew(id.clone(), refresh_token, fresh, now).await? {
            info!(area = "JOB-MANAGER", account_id = %id, "credentials refreshed");
            return Ok(answer);
        }
        // Somebody set the account anew meanwhile; what they set counts.
        let found = self.accounts.account(&id).await?;
        let found = found.filter(|account| account.has_live_access_token(now));
        found.as_ref().and_then(stored).ok_or(CredentialsError::NotValid(id))
    }
}

/// Frees the account's place when its refresh ends, however it ends.
struct Slot {
    inner: Arc<Inner>,
    id: AccountId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.refreshes.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

fn stored(account: &Account) -> Option<FreshAnswer> {
    Some(FreshAnswer {
        access_token: account.access_token.clone()?,
        expires_at: account.access_token_expires_at,
        provider: account.provider.clone(),
    })
}
