//! Builds accounts.

use std::time::Duration;

use reclaimer_domain::account::Account;
use reclaimer_domain::secret::Secret;
use reclaimer_domain::time::{after, before};

use crate::noon;

/// An account `account-1` of user `user-1` at `gitlab`, without any token, set at [`noon`].
#[must_use]
pub fn an_account() -> AccountBuilder {
    AccountBuilder(Account {
        id: text("account-1"),
        user_id: "user-1".to_owned(),
        provider: text("gitlab"),
        access_token: None,
        refresh_token: None,
        access_token_expires_at: None,
        refresh_token_expires_at: None,
        created_at: noon(),
        updated_at: noon(),
    })
}

/// Says what an account is like.
#[derive(Debug, Clone)]
pub struct AccountBuilder(Account);

impl AccountBuilder {
    /// Its name.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.0.id = text(id);
        self
    }

    /// With an access token that does not expire.
    #[must_use]
    pub fn access_token(mut self, token: &str) -> Self {
        self.0.access_token = Some(Secret::new(token));
        self
    }

    /// With a refresh token that does not expire.
    #[must_use]
    pub fn refresh_token(mut self, token: &str) -> Self {
        self.0.refresh_token = Some(Secret::new(token));
        self
    }

    /// Its access token ends so long after [`noon`].
    #[must_use]
    pub fn expires_in(mut self, length: Duration) -> Self {
        self.0.access_token_expires_at = Some(after(noon(), length));
        self
    }

    /// Its access token ended so long before [`noon`].
    #[must_use]
    pub fn expired_since(mut self, length: Duration) -> Self {
        self.0.access_token_expires_at = Some(before(noon(), length));
        self
    }

    /// The account.
    #[must_use]
    pub fn build(self) -> Account {
        self.0
    }
}

/// A name that the test wrote itself.
///
/// # Panics
/// When it is not a valid one.
#[expect(clippy::panic, reason = "a builder for tests: a bad literal is a mistake in the test")]
pub(crate) fn text<T: std::str::FromStr<Err: std::fmt::Display>>(literal: &str) -> T {
    literal.parse().unwrap_or_else(|error| panic!("`{literal}`: {error}"))
}
