//! Accounts.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::name::AccountId;
use reclaimer_domain::ports::{AccountStore, FreshCredentials, Page, StoreError};
use reclaimer_domain::secret::Secret;

use super::MemoryStore;
use super::data::KeptAccount;
use super::lists::page;

#[async_trait]
impl AccountStore for MemoryStore {
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.read(|data| data.account(id).cloned())
    }

    async fn accounts(
        &self,
        cursor: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<Account, AccountId>, StoreError> {
        self.read(|data| {
            let kept = data.accounts.values().filter(|kept| !kept.is_erased).map(|kept| &kept.account);
            let later = kept.filter(|account| cursor.as_ref().is_none_or(|cursor| account.id > *cursor));
            page(later.cloned(), limit, |account| account.id.clone())
        })
    }

    async fn put(&self, account: Account) -> Result<(), StoreError> {
        self.write(|data, _| {
            let token = |token: Option<Secret>| token.filter(|token| !token.expose().is_empty());
            let known = data.accounts.get(&account.id).map(|kept| kept.account.created_at);
            let account = Account {
                access_token: token(account.access_token),
                refresh_token: token(account.refresh_token),
                created_at: known.unwrap_or(account.created_at),
                ..account
            };
            data.accounts.insert(account.id.clone(), KeptAccount { account, is_erased: false });
            Ok(())
        })
        .await
    }

    async fn erase(&self, id: AccountId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.write(|data, _| {
            let Some(kept) = data.accounts.get_mut(&id).filter(|kept| !kept.is_erased) else {
                return Ok(false);
            };
            kept.is_erased = true;
            kept.account = Account {
                id,
                user_id: String::new(),
                provider: kept.account.provider.clone(),
                access_token: None,
                refresh_token: None,
                access_token_expires_at: None,
                refresh_token_expires_at: None,
                created_at: kept.account.created_at,
                updated_at: now,
            };
            Ok(true)
        })
        .await
    }

    async fn renew(
        &self,
        id: AccountId,
        asked_with: Secret,
        fresh: FreshCredentials,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.write(|data, _| {
            let kept =
                data.accounts.get_mut(&id).filter(|kept| !kept.is_erased).map(|kept| &mut kept.account);
            let Some(account) = kept.filter(|account| account.refresh_token.as_ref() == Some(&asked_with))
            else {
                return Ok(false);
            };
            account.access_token = Some(fresh.access_token);
            account.access_token_expires_at = fresh.access_token_expires_at;
            if fresh.refresh_token.is_some() {
                (account.refresh_token, account.refresh_token_expires_at) = (fresh.refresh_token, None);
            }
            account.updated_at = now;
            Ok(true)
        })
        .await
    }
}
