//! Accounts.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::account::Account;
use reclaimer_domain::name::AccountId;
use reclaimer_domain::ports::{AccountStore, FreshCredentials, Page, StoreError};
use reclaimer_domain::secret::Secret;

use super::SqliteStore;
use super::stamp::read_stamp;
use super::statement::prepared;

type Maybe = Nullable<Text>;
type RowSql = (Text, Text, Text, Maybe, Maybe, Maybe, Maybe, Text, Text);
type Row =
    (String, String, String, Option<String>, Option<String>, Option<String>, Option<String>, String, String);

macro_rules! account_columns {
    () => {
        "id, user_id, provider, access_token, refresh_token, access_token_expires_at, refresh_token_expires_at, \
         created_at, updated_at"
    };
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let id = id.clone();
        self.read("read an account", move |conn| find(conn, &id)).await
    }

    async fn accounts(
        &self,
        cursor: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<Account, AccountId>, StoreError> {
        self.read("list accounts", move |conn| {
            let mut rows: Vec<Row> = prepared!(
                concat!(
                    "SELECT ",
                    account_columns!(),
                    " FROM account WHERE erased_at IS NULL AND id > ? ORDER BY id LIMIT +?"
                ),
                cursor.as_ref().map_or("", AccountId::as_str),
                limit.saturating_add(1),
            )
            .rows::<RowSql>()
            .all(conn)?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.iter().rev().find_map(|row| row.0.parse().ok()).filter(|_| more);
            Ok(Page { items: rows.into_iter().filter_map(read).collect(), next })
        })
        .await
    }

    async fn put(&self, account: Account) -> Result<(), StoreError> {
        self.write("store an account", move |conn, _| put(conn, &account)).await
    }

    async fn erase(&self, id: AccountId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.write("erase an account", move |conn, _| {
            let changed = prepared!(
                "UPDATE account SET access_token = NULL, refresh_token = NULL, access_token_expires_at = NULL, \
                 refresh_token_expires_at = NULL, user_id = '', erased_at = ?, updated_at = ? \
                 WHERE id = ? AND erased_at IS NULL",
                now,
                now,
                id.as_str(),
            )
            .run(conn)?;
            Ok(changed == 1)
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
        self.write("store renewed credentials", move |conn, _| {
            let rotated = fresh.refresh_token.as_ref().map(Secret::expose);
            let changed = prepared!(
                "UPDATE account SET access_token = ?, access_token_expires_at = ?, \
                 refresh_token = coalesce(?, refresh_token), \
                 refresh_token_expires_at = CASE WHEN ? IS NULL THEN refresh_token_expires_at END, updated_at = ? \
                 WHERE id = ? AND refresh_token = ? AND erased_at IS NULL",
                fresh.access_token.expose(),
                fresh.access_token_expires_at,
                rotated,
                rotated,
                now,
                id.as_str(),
                asked_with.expose(),
            )
            .run(conn)?;
            Ok(changed == 1)
        })
        .await
    }
}

/// One account that was not erased.
pub(super) fn find(conn: &mut SqliteConnection, id: &AccountId) -> QueryResult<Option<Account>> {
    let row: Option<Row> = prepared!(
        concat!("SELECT ", account_columns!(), " FROM account WHERE id = ? AND erased_at IS NULL"),
        id.as_str()
    )
    .rows::<RowSql>()
    .first(conn)?;
    Ok(row.and_then(read))
}

fn put(conn: &mut SqliteConnection, account: &Account) -> QueryResult<()> {
    prepared!(
        "INSERT INTO account (id, user_id, provider, access_token, refresh_token, access_token_expires_at, \
         refresh_token_expires_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, provider = excluded.provider, \
         access_token = excluded.access_token, refresh_token = excluded.refresh_token, \
         access_token_expires_at = excluded.access_token_expires_at, \
         refresh_token_expires_at = excluded.refresh_token_expires_at, updated_at = excluded.updated_at, \
         erased_at = NULL",
        account.id.as_str(),
        &account.user_id,
        account.provider.as_str(),
        account.access_token.as_ref().map(Secret::expose),
        account.refresh_token.as_ref().map(Secret::expose),
        account.access_token_expires_at,
        account.refresh_token_expires_at,
        account.created_at,
        account.updated_at,
    )
    .run(conn)
    .map(drop)
}

/// An account; a row that another program spoiled counts as missing, which recovery then reports.
fn read(row: Row) -> Option<Account> {
    let (id, user_id, provider, access, refresh, access_ends, refresh_ends, created_at, updated_at) = row;
    // An end that cannot be read has passed: the credentials are then renewed or asked for, never trusted.
    let end = |text: Option<String>| text.map(|text| read_stamp(&text).unwrap_or(DateTime::UNIX_EPOCH));
    let token = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Secret::new);
    Some(Account {
        id: id.parse().ok()?,
        user_id,
        provider: provider.parse().ok()?,
        access_token: token(access),
        refresh_token: token(refresh),
        access_token_expires_at: end(access_ends),
        refresh_token_expires_at: end(refresh_ends),
        created_at: read_stamp(&created_at).unwrap_or_default(),
        updated_at: read_stamp(&updated_at).unwrap_or_default(),
    })
}
