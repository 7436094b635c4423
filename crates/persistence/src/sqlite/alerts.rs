//! The store as an `AlertStore`.

use async_trait::async_trait;
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::alert::AlertState;
use reclaimer_domain::ports::{AlertStore, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SqliteStore;
use super::statement::prepared;

const INCIDENT: &str = "incident";
const MESSAGE: &str = "message";

#[async_trait]
impl AlertStore for SqliteStore {
    async fn alerts(&self, owner: &str) -> Result<AlertState, StoreError> {
        let owner = owner.to_owned();
        self.read("read the state of alerting", move |conn| {
            Ok(AlertState { incidents: all(conn, &owner, INCIDENT)?, messages: all(conn, &owner, MESSAGE)? })
        })
        .await
    }

    async fn keep_alerts(&self, owner: &str, state: AlertState) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write("keep the state of alerting", move |conn, _| {
            prepared!("DELETE FROM alert WHERE owner = ?", &owner).run(conn)?;
            put(conn, &owner, INCIDENT, &state.incidents)?;
            put(conn, &owner, MESSAGE, &state.messages)
        })
        .await
    }
}

fn all<T: DeserializeOwned>(conn: &mut SqliteConnection, owner: &str, kind: &str) -> QueryResult<Vec<T>> {
    let rows: Vec<(String,)> =
        prepared!("SELECT value FROM alert WHERE owner = ? AND kind = ? ORDER BY position", owner, kind)
            .rows::<(Text,)>()
            .all(conn)?;
    Ok(rows.iter().filter_map(|(value,)| serde_json::from_str(value).ok()).collect())
}

fn put<T: Serialize>(conn: &mut SqliteConnection, owner: &str, kind: &str, values: &[T]) -> QueryResult<()> {
    for (position, value) in (0_i64..).zip(values) {
        let value = serde_json::to_string(value)
            .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
        prepared!(
            "INSERT INTO alert (owner, kind, position, value) VALUES (?, ?, ?, ?)",
            owner,
            kind,
            position,
            value
        )
        .run(conn)?;
    }
    Ok(())
}
