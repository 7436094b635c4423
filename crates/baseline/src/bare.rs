//! The bare table, and how it is asked.

use std::path::Path;
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::BareError;
use crate::group::{Asked, Work, run};

/// At most so many operations wait.
const QUEUE: usize = 8_192;

/// The table, the index of what may be claimed, and the settings that make a commit durable.
const SET_UP: &str = "\
    PRAGMA busy_timeout = 5000; PRAGMA mmap_size = 0; PRAGMA cache_size = -16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, payload TEXT NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS bare_waiting ON bare (id) WHERE state = 0;";

/// A row that somebody took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: i64,
    /// What was written.
    pub payload: String,
}

/// A bare table. Cheap to clone; all clones share one thread.
#[derive(Debug, Clone)]
pub struct Bare {
    queue: mpsc::Sender<Asked>,
}

impl Bare {
    /// Opens a file, and starts the thread that writes to it until the last clone is gone.
    ///
    /// # Errors
    /// When the file cannot be opened or set up, or no thread be started.
    pub fn open(path: &Path) -> Result<(Self, JoinHandle<()>), BareError> {
        let conn = connect(path)?;
        let (queue, inbox) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("baseline".to_owned())
            .spawn(move || run(conn, inbox))
            .map_err(BareError::NoThread)?;
        Ok((Self { queue }, thread))
    }

    /// Writes rows; answers when they are durable.
    ///
    /// # Errors
    /// When they are not.
    pub async fn insert(&self, payloads: Vec<String>) -> Result<(), BareError> {
        self.ask(Work::Insert(payloads)).await.map(drop)
    }

    /// Takes up to so many rows, oldest first; answers when that is durable.
    ///
    /// # Errors
    /// When it is not.
    pub async fn claim(&self, most: usize) -> Result<Vec<Row>, BareError> {
        self.ask(Work::Claim(most)).await
    }

    /// Marks rows as done; answers when that is durable.
    ///
    /// # Errors
    /// When it is not.
    pub async fn complete(&self, ids: Vec<i64>) -> Result<(), BareError> {
        self.ask(Work::Complete(ids)).await.map(drop)
    }

    /// Marks rows as done and takes up to as many others, in one operation.
    ///
    /// # Errors
    /// When that is not durable.
    pub async fn complete_and_claim(&self, ids: Vec<i64>) -> Result<Vec<Row>, BareError> {
        self.ask(Work::CompleteAndClaim(ids)).await
    }

    /// Lets every row that was taken and is not done wait again, by one statement.
    ///
    /// # Errors
    /// When that is not durable.
    pub async fn set_back(&self) -> Result<(), BareError> {
        self.ask(Work::SetBack).await.map(drop)
    }

    async fn ask(&self, work: Work) -> Result<Vec<Row>, BareError> {
        let (answer, told) = oneshot::channel();
        self.queue.send(Asked { work, answer }).await.map_err(|_| BareError::Ended)?;
        told.await.map_err(|_| BareError::Ended)?
    }
}

/// A connection to a file with the bare table.
pub(crate) fn connect(path: &Path) -> Result<SqliteConnection, BareError> {
    let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
    conn.batch_execute(SET_UP)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_are_taken_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bare.db");
        let (bare, thread) = Bare::open(&path).unwrap();
        bare.insert(["a", "b", "c"].map(ToOwned::to_owned).to_vec()).await.unwrap();
        let first = bare.claim(1).await.unwrap();
        assert_eq!(first, [Row { id: 1, payload: "a".to_owned() }]);
        let second = bare.complete_and_claim(vec![1]).await.unwrap();
        assert_eq!(second, [Row { id: 2, payload: "b".to_owned() }]);
        bare.complete(vec![2]).await.unwrap();
        assert_eq!(bare.claim(1).await.unwrap()[0].id, 3);
        bare.set_back().await.unwrap();
        assert_eq!(bare.claim(100).await.unwrap().len(), 1);
        assert!(bare.claim(1).await.unwrap().is_empty());
        drop(bare);
        thread.join().unwrap();
        // What was answered is in the file.
        let (again, _) = Bare::open(&path).unwrap();
        assert!(again.claim(1).await.unwrap().is_empty());
    }
}
