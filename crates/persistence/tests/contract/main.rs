//! The contract of the ports, kept by SQLite.

#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected has failed")]

mod plans;

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::{Arrival, Change, JobStore, TakenLease};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_testkit::contract::{Rig, Store};
use reclaimer_testkit::{Recorded, noon, store_contract};

/// A database file of its own.
struct Sqlite {
    folder: tempfile::TempDir,
    store: SqliteStore,
    told: Arc<Recorded>,
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            plans::check(&self.folder.path().join("test.db"));
        }
    }
}

async fn open() -> Sqlite {
    plans::note_statements();
    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(Recorded::default());
    let config = SqliteConfig { min_free: 0, ..SqliteConfig::at(folder.path().join("test.db")) };
    let store = SqliteStore::open(config, told.clone()).unwrap();
    store.probe(noon()).await.unwrap();
    Sqlite { folder, store, told }
}

impl Sqlite {
    /// A connection of somebody else.
    fn connect(&self) -> SqliteConnection {
        let path = self.folder.path().join("test.db");
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        conn
    }

    fn write_by_hand(&self, sql: &str, text: &str, id: &JobId) {
        let changed = diesel::sql_query(sql)
            .bind::<Text, _>(text)
            .bind::<Text, _>(id.as_str())
            .execute(&mut self.connect())
            .unwrap();
        assert_eq!(changed, 1, "there is no job `{id}`");
    }
}

#[async_trait]
impl Rig for Sqlite {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn another(&self) -> Arc<dyn Store> {
        let config = SqliteConfig { min_free: 0, ..SqliteConfig::at(self.store.path()) };
        Arc::new(SqliteStore::open(config, Arc::new(Recorded::default())).unwrap())
    }

    async fn arrivals(&self) -> Vec<Arrival> {
        // The listener is told of a group before the next one runs.
        self.store.probe(noon()).await.unwrap();
        self.told.take_arrivals()
    }

    async fn taken(&self) -> Vec<TakenLease> {
        self.store.probe(noon()).await.unwrap();
        self.told.take_taken()
    }

    async fn changes(&self) -> Vec<Change> {
        self.store.probe(noon()).await.unwrap();
        self.told.take_changes()
    }

    async fn corrupt_progress(&self, id: &JobId) {
        self.write_by_hand("UPDATE job SET progress = ? WHERE id = ?", "{\"half\":", id);
    }

    async fn set_status_text(&self, id: &JobId, text: &str) {
        self.write_by_hand("UPDATE job SET status = ? WHERE id = ?", text, id);
    }

    async fn hold_writes(&self) -> Box<dyn Any + Send> {
        let mut conn = self.connect();
        conn.batch_execute("BEGIN IMMEDIATE").unwrap();
        Box::new(conn)
    }
}

store_contract!(open);

#[tokio::test]
async fn what_operators_do_to_a_file_looks_through_no_table() {
    let rig = open().await;
    let path = rig.folder.path().join("test.db");
    reclaimer_persistence::maintenance::inspect(&path).unwrap();
    let mut history = reclaimer_persistence::HistoryFile::open(&path).unwrap();
    history.page(noon(), None, 10).unwrap();
    let order = reclaimer_domain::job::NewJob::of("X".parse().unwrap());
    reclaimer_persistence::enqueue(&mut rig.connect(), "a".parse().unwrap(), order, noon()).unwrap();
}
