//! Credentials: handed out while they hold, refreshed when they are about to end, once per account at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::id::JobId;
use reclaimer_domain::name::{AccountId, ProviderId};
use reclaimer_domain::ports::{FreshCredentials, IssueError, JobRead, StoreError};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::time::after;
use reclaimer_domain::wire::Credentials;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::service::{Inner, Provisioning};

/// Credentials that hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshAnswer {
    /// What to present.
    pub access_token: Secret,
    /// When it ends; `None` = not known, or never.
    pub expires_at: Option<DateTime<Utc>>,
    /// What a new one is asked for with. Whether anybody may see it is the caller's matter.
    pub refresh_token: Option<Secret>,
    /// Where it counts.
    pub provider: ProviderId,
}

/// Why there are no credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There is no such job, or it names no account.
    #[error("there is no job `{0}` that names an account")]
    NoAccount(JobId),
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
    /// Credentials of an account: the stored ones while they last, fresh ones otherwise. With a user, only if the account
    /// is theirs.
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
        user: Option<&str>,
    ) -> Result<FreshAnswer, CredentialsError> {
        let found = self.inner.accounts.account(account).await?;
        let found = found.ok_or_else(|| CredentialsError::UnknownAccount(account.clone()))?;
        if found.provider != *provider {
            let (account, provider) = (account.clone(), found.provider);
            return Err(CredentialsError::WrongProvider { account, provider });
        }
        if user.is_some_and(|user| user != found.user_id) {
            return Err(CredentialsError::WrongUser(account.clone()));
        }
        Arc::clone(&self.inner).lasting(found).await
    }

    /// Credentials of the account that a job names.
    ///
    /// # Errors
    /// When there is no such job or account, when nothing of it holds, or when the provider or the store cannot help.
    ///
    /// # Cancel safety
    /// As [`Self::credentials`].
    pub async fn credentials_of_job(&self, job: &JobId) -> Result<FreshAnswer, CredentialsError> {
        let account = match self.inner.jobs.job(job).await? {
            Some(JobRead::Whole(found)) => found.account_id,
            Some(JobRead::Broken(_)) | None => None,
        };
        let account = account.ok_or_else(|| CredentialsError::NoAccount(job.clone()))?;
        let found = self.inner.accounts.account(&account).await?;
        let found = found.ok_or(CredentialsError::UnknownAccount(account))?;
        Arc::clone(&self.inner).lasting(found).await
    }
}

impl Provisioning {
    /// Whether one of these jobs is of an account.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn is_of_account(&self, jobs: &[JobId], account: &AccountId) -> Result<bool, StoreError> {
        for job in jobs {
            if let Some(JobRead::Whole(job)) = self.inner.jobs.job(job).await?
                && job.account_id.as_ref() == Some(account)
            {
                return Ok(true);
            }
        }
        Ok(false)
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
        self.refresh_once(account.id).await
    }

    /// Joins the refresh that is under way for the account, or starts one. It runs in a task of its own, so that no
    /// caller who goes away takes it along.
    async fn refresh_once(self: Arc<Self>, id: AccountId) -> Outcome {
        let mut waiting = {
            let mut refreshes = self.refreshes.0.lock().unwrap_or_else(PoisonError::into_inner);
            match refreshes.get(&id) {
                Some(under_way) => under_way.clone(),
                None => {
                    let (tell, waiting) = watch::channel(None);
                    refreshes.insert(id.clone(), waiting.clone());
                    let (inner, id) = (Arc::clone(&self), id.clone());
                    let slot = Slot { inner: Arc::clone(&self), id: id.clone() };
                    tokio::spawn(async move {
                        let (outcome, unsaved) = inner.refresh(&id).await;
                        if let Some(unsaved) = unsaved {
                            // Told before it is stored: the provider has given the only copy to us.
                            tell.send_replace(Some(outcome));
                            inner.insist_on_saving(&id, unsaved).await;
                            drop(slot);
                        } else {
                            // The slot is free before anybody learns the outcome: whoever then asks starts anew.
                            drop(slot);
                            tell.send_replace(Some(outcome));
                        }
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

    /// Refreshes an account's credentials; with what could not be stored, if so.
    async fn refresh(&self, id: &AccountId) -> (Outcome, Option<Unsaved>) {
        let asked_with = match self.needs_refresh(id).await {
            Ok(Needed::Refresh { provider, token }) => (provider, token),
            Ok(Needed::Nothing(stored)) => return (Ok(stored), None),
            Err(error) => return (Err(error), None),
        };
        let (provider, token) = asked_with;
        let fresh = match self.issuer.refresh(&provider, &token, self.now()).await {
            Ok(fresh) => fresh,
            Err(error) => return (Err(CredentialsError::Issue(Arc::new(error))), None),
        };
        let answer = FreshAnswer {
            access_token: fresh.access_token.clone(),
            expires_at: fresh.access_token_expires_at,
            refresh_token: Some(fresh.refresh_token.clone().unwrap_or_else(|| token.clone())),
            provider,
        };
        match self.save(id, &token, &fresh).await {
            Ok(true) => (Ok(answer), None),
            Ok(false) => (self.set_meanwhile(id).await, None),
            Err(error) => {
                warn!(area = "JOB-MANAGER", account_id = %id, %error, "fresh credentials cannot be stored yet");
                (Ok(answer), Some(Unsaved { asked_with: token, fresh }))
            }
        }
    }

    /// Looks at the account as it is now that nobody else refreshes it: whoever waited for the place may have read it
    /// before the refresh that just ended. Proves that the store can keep what the provider will give only once.
    async fn needs_refresh(&self, id: &AccountId) -> Result<Needed, CredentialsError> {
        let found = self.accounts.account(id).await?;
        let account = found.ok_or_else(|| CredentialsError::UnknownAccount(id.clone()))?;
        let now = self.now();
        if account.has_live_access_token(after(now, self.config.refresh_before))
            && let Some(stored) = stored(&account)
        {
            return Ok(Needed::Nothing(stored));
        }
        if !account.has_live_refresh_token(now) {
            return Err(CredentialsError::NotValid(account.id));
        }
        self.jobs.probe(now).await?;
        let token = account.refresh_token.ok_or(CredentialsError::NotValid(account.id))?;
        Ok(Needed::Refresh { provider: account.provider, token })
    }

    async fn save(
        &self,
        id: &AccountId,
        asked_with: &Secret,
        fresh: &FreshCredentials,
    ) -> Result<bool, StoreError> {
        let saved = self.accounts.renew(id.clone(), asked_with.clone(), fresh.clone(), self.now()).await?;
        if saved {
            info!(area = "JOB-MANAGER", account_id = %id, "credentials refreshed");
        }
        Ok(saved)
    }

    /// Stores credentials again and again until it works: losing a rotated refresh token would mean that a person has to
    /// authorise the account anew.
    async fn insist_on_saving(&self, id: &AccountId, unsaved: Unsaved) {
        let mut pause = SAVE_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            match self.save(id, &unsaved.asked_with, &unsaved.fresh).await {
                Ok(_) => return,
                Err(StoreError::Closing) => {
                    error!(area = "JOB-MANAGER", account_id = %id, "fresh credentials were lost: the server ended before they could be stored; authorise the account again");
                    return;
                }
                Err(_) => pause = (pause * 2).min(LONGEST_SAVE_PAUSE),
            }
        }
    }

    /// Somebody set the account anew meanwhile; what they set counts.
    async fn set_meanwhile(&self, id: &AccountId) -> Outcome {
        let found = self.accounts.account(id).await?;
        let found = found.filter(|account| account.has_live_access_token(self.now()));
        found.as_ref().and_then(stored).ok_or_else(|| CredentialsError::NotValid(id.clone()))
    }
}

/// Between two attempts to store fresh credentials.
const SAVE_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(30);

/// Whether an account needs a refresh.
enum Needed {
    /// What is stored lasts.
    Nothing(FreshAnswer),
    /// This is traded for fresh credentials.
    Refresh { provider: ProviderId, token: Secret },
}

/// What a provider gave and the store has not yet taken.
struct Unsaved {
    asked_with: Secret,
    fresh: FreshCredentials,
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
        refresh_token: account.refresh_token.clone(),
        provider: account.provider.clone(),
    })
}
