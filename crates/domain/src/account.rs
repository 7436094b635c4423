//! Accounts: whose credentials a job needs, and whether they hold at a moment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{AccountId, ProviderId};
use crate::secret::Secret;

/// The credentials of one user at one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// Whose it is, in the backend's vocabulary.
    pub user_id: String,
    /// Where the credentials count.
    pub provider: ProviderId,
    /// What a worker presents.
    pub access_token: Option<Secret>,
    /// What a new access token is asked for with.
    pub refresh_token: Option<Secret>,
    /// When the access token ends; `None` = never.
    pub access_token_expires_at: Option<DateTime<Utc>>,
    /// When the refresh token ends; `None` = never.
    pub refresh_token_expires_at: Option<DateTime<Utc>>,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set or refreshed.
    pub updated_at: DateTime<Utc>,
}

impl Account {
    /// Whether the access token may be used at `now`.
    #[must_use]
    pub fn has_live_access_token(&self, now: DateTime<Utc>) -> bool {
        live(self.access_token.as_ref(), self.access_token_expires_at, now)
    }

    /// Whether the refresh token may be used at `now`.
    #[must_use]
    pub fn has_live_refresh_token(&self, now: DateTime<Utc>) -> bool {
        live(self.refresh_token.as_ref(), self.refresh_token_expires_at, now)
    }

    /// An account is valid when it has an access token that has not expired, or a refresh token that has not.
    #[must_use]
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.has_live_access_token(now) || self.has_live_refresh_token(now)
    }
}

fn live(token: Option<&Secret>, expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    token.is_some_and(|token| !token.expose().is_empty()) && expires_at.is_none_or(|end| end > now)
}

/// What recovery needs to know of a job's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountState {
    /// The job names no account.
    NotNeeded,
    /// The job names an account that does not exist, or whose data was erased.
    Missing(AccountId),
    /// It exists, but no token of it holds.
    Invalid(AccountId),
    /// It exists and can be used.
    Valid(AccountId),
}

/// How the account that a job names stands, without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The job names none.
    NotNeeded,
    /// It does not exist, or its data was erased.
    Missing,
    /// No token of it holds.
    Invalid,
    /// It can be used.
    Valid,
}

impl Standing {
    /// The state of the account of this name; nothing is needed where there is no name.
    #[must_use]
    pub fn of(self, account: Option<&AccountId>) -> AccountState {
        match (self, account) {
            (Self::NotNeeded, _) | (_, None) => AccountState::NotNeeded,
            (Self::Missing, Some(id)) => AccountState::Missing(id.clone()),
            (Self::Invalid, Some(id)) => AccountState::Invalid(id.clone()),
            (Self::Valid, Some(id)) => AccountState::Valid(id.clone()),
        }
    }
}

impl AccountState {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::NotNeeded => Standing::NotNeeded,
            Self::Missing(_) => Standing::Missing,
            Self::Invalid(_) => Standing::Invalid,
            Self::Valid(_) => Standing::Valid,
        }
    }

    /// The state of the account a job names, given what was found under that name.
    #[must_use]
    pub fn of(named: Option<&AccountId>, found: Option<&Account>, now: DateTime<Utc>) -> Self {
        match (named, found) {
            (None, _) => Self::NotNeeded,
            (Some(id), None) => Self::Missing(id.clone()),
            (Some(id), Some(account)) if account.is_valid(now) => Self::Valid(id.clone()),
            (Some(id), Some(_)) => Self::Invalid(id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Duration, TimeZone};

    fn account(access: Option<(&str, Option<i64>)>, refresh: Option<(&str, Option<i64>)>) -> Account {
        let at = now();
        let end = |token: Option<(&str, Option<i64>)>| {
            token.and_then(|(_, seconds)| seconds).map(|seconds| at + Duration::seconds(seconds))
        };
        Account {
            id: "a".parse().unwrap(),
            user_id: "u".into(),
            provider: "gitlab".parse().unwrap(),
            access_token: access.map(|(text, _)| Secret::new(text)),
            refresh_token: refresh.map(|(text, _)| Secret::new(text)),
            access_token_expires_at: end(access),
            refresh_token_expires_at: end(refresh),
            created_at: at,
            updated_at: at,
        }
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 1, 5, 14, 20, 0).unwrap()
    }

    #[test]
    fn validity_needs_one_live_token() {
        let valid = |access, refresh| account(access, refresh).is_valid(now());
        assert!(valid(Some(("t", None)), None));
        assert!(valid(Some(("t", Some(1))), None));
        assert!(!valid(Some(("t", Some(0))), None), "a token that ends now has ended");
        assert!(valid(Some(("t", Some(-1))), Some(("r", None))));
        assert!(!valid(Some(("t", Some(-1))), Some(("r", Some(-1)))));
        assert!(!valid(Some(("", None)), None), "an empty token is none");
        assert!(!valid(None, None));
    }

    #[test]
    fn debug_hides_tokens() {
        assert!(!format!("{:?}", account(Some(("sesame", None)), None)).contains("sesame"));
    }
}
