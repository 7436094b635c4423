//! Accounts and where their credentials are renewed.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Page, StoreError};
use crate::account::Account;
use crate::name::{AccountId, ProviderId};
use crate::secret::Secret;

/// Keeps accounts.
///
/// # Contract
/// - A1 `put` creates or replaces all fields but `created_at`.
/// - A2 `erase` removes every secret and hides the account; jobs that name it keep its id; `put` brings it back.
/// - A3 `renew` changes the account only if its refresh token is still the one the renewal was asked for with.
#[async_trait]
pub trait AccountStore: Send + Sync + std::fmt::Debug {
    /// One account, or `None`.
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError>;

    /// Up to `limit` accounts in the order of their ids, from after `cursor`.
    async fn accounts(
        &self,
        cursor: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<Account, AccountId>, StoreError>;

    /// Creates or replaces an account.
    async fn put(&self, account: Account) -> Result<(), StoreError>;

    /// Erases an account; false when there was none.
    async fn erase(&self, id: AccountId, now: DateTime<Utc>) -> Result<bool, StoreError>;

    /// Stores renewed credentials; false when the account changed meanwhile.
    async fn renew(
        &self,
        id: AccountId,
        asked_with: Secret,
        fresh: FreshCredentials,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
}

/// What a provider answered to a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshCredentials {
    /// The new access token.
    pub access_token: Secret,
    /// When it ends; `None` = not said.
    pub access_token_expires_at: Option<DateTime<Utc>>,
    /// A new refresh token, where the provider rotates them.
    pub refresh_token: Option<Secret>,
}

/// Asks a provider for a new access token.
#[async_trait]
pub trait TokenIssuer: Send + Sync + std::fmt::Debug {
    /// Trades a refresh token for fresh credentials.
    async fn refresh(
        &self,
        provider: &ProviderId,
        refresh_token: &Secret,
        now: DateTime<Utc>,
    ) -> Result<FreshCredentials, IssueError>;
}

/// Why no fresh credentials came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The configuration names no such provider.
    #[error("no provider `{0}` is configured; add it as [[oauth.provider]]")]
    UnknownProvider(ProviderId),
    /// The provider said no for good: the account must be authorised again.
    #[error("provider {provider} refused the refresh: {code}")]
    Refused {
        /// Who.
        provider: ProviderId,
        /// The OAuth error code of the answer, e.g. `invalid_grant`.
        code: String,
    },
    /// The provider could not be reached or answered rubbish.
    #[error("provider {provider} is not available")]
    Unavailable {
        /// Who.
        provider: ProviderId,
        /// What went wrong; carries no token.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
