//! Folding the log into the database, so that it stays short.
//!
//! A checkpoint in passing folds what no reader needs any more, and the log begins anew at the next write, unless somebody
//! still reads from it. Where somebody always does, the log would grow for ever: once it is long, the writer waits a
//! moment for those who read.

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{QueryResult, SqliteConnection};
use tracing::{info, warn};

use crate::sqlite::statement::prepared;

/// A checkpoint follows after so many operations and events: the log stays at some 10 MiB, and its cost is spread over many.
const AFTER: usize = 8_000;

/// A log of so many pages is long: 64 MiB.
const LONG: i64 = 16_384;

/// A log of so many times that is told of.
const FAR_TOO_LONG: i64 = 16;

/// How long the writer waits for readers, and how long for other writers at all other times, in milliseconds.
const PATIENCE: (u32, u32) = (100, 5_000);

/// When the log is to be folded next.
#[derive(Debug)]
pub(super) struct Checkpoints {
    since: usize,
    long: i64,
    /// A log of so many pages is worth a wait.
    worth: i64,
    told: bool,
}

impl Checkpoints {
    pub(super) fn new() -> Self {
        Self::with(LONG)
    }

    fn with(long: i64) -> Self {
        Self { since: 0, long, worth: long, told: false }
    }

    /// So much was written.
    pub(super) fn wrote(&mut self, operations_and_events: usize) {
        self.since += operations_and_events;
    }

    pub(super) fn is_due(&self) -> bool {
        self.since >= AFTER
    }

    /// The connection is another.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::with(self.long);
    }

    /// Folds what can be folded in passing, and waits for readers once the log is long. While somebody reads on and on,
    /// it waits once for each time that the log has grown by as much.
    pub(super) fn run(&mut self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.since = 0;
        let pages = pages_after(prepared!("PRAGMA wal_checkpoint(PASSIVE)"), conn)?;
        if pages.1 < self.worth {
            return Ok(());
        }
        conn.batch_execute(&format!("PRAGMA busy_timeout = {}", PATIENCE.0))?;
        let restarted = pages_after(prepared!("PRAGMA wal_checkpoint(RESTART)"), conn);
        conn.batch_execute(&format!("PRAGMA busy_timeout = {}", PATIENCE.1))?;
        let (blocked, pages) = restarted?;
        if blocked {
            self.worth = pages + self.long;
            if pages >= self.long * FAR_TOO_LONG && !std::mem::replace(&mut self.told, true) {
                warn!(
                    area = "JOB-MANAGER",
                    mebibytes = pages / 256,
                    "the database's log cannot be shortened, because a program reads the database and does not end; \
                     find and end it"
                );
            }
        } else {
            self.worth = self.long;
            if std::mem::take(&mut self.told) {
                info!(area = "JOB-MANAGER", "the database's log is short again");
            }
        }
        Ok(())
    }
}

/// Whether a checkpoint was held up, and how many pages the log has.
fn pages_after<K: 'static>(
    checkpoint: crate::sqlite::statement::Prepared<'_, K, 0>,
    conn: &mut SqliteConnection,
) -> QueryResult<(bool, i64)> {
    let found: Option<(i64, i64, i64)> = checkpoint.rows::<(BigInt, BigInt, BigInt)>().first(conn)?;
    Ok(found.map_or((false, 0), |(blocked, pages, _)| (blocked != 0, pages)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connection::{Mode, reader, writer};

    struct Rig {
        folder: tempfile::TempDir,
        conn: SqliteConnection,
    }

    impl Rig {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut conn = writer(&folder.path().join("test.db"), Mode::Create).unwrap();
            conn.batch_execute("CREATE TABLE t (x)").unwrap();
            Self { folder, conn }
        }

        fn write(&mut self) {
            for _ in 0..30 {
                self.conn.batch_execute("INSERT INTO t VALUES (zeroblob(4000))").unwrap();
            }
        }

        fn log(&self) -> u64 {
            std::fs::metadata(self.folder.path().join("test.db-wal")).unwrap().len()
        }

        /// Somebody who has begun to read.
        fn read(&self) -> SqliteConnection {
            let mut conn = reader(&self.folder.path().join("test.db")).unwrap();
            conn.batch_execute("BEGIN; SELECT count(*) FROM t").unwrap();
            conn
        }
    }

    #[test]
    fn a_log_that_somebody_always_reads_is_begun_anew_between_two_readers() {
        let mut rig = Rig::new();
        let mut checkpoints = Checkpoints::with(50);
        let (end, ended) = std::sync::mpsc::channel::<SqliteConnection>();
        let reader = std::thread::spawn(move || ended.into_iter().for_each(drop));
        rig.write();
        let (mut reading, first) = (rig.read(), rig.log());
        for _ in 0..40 {
            rig.write();
            // It ends while the writer is at its checkpoint, and the next has begun before the next write.
            end.send(reading).unwrap();
            checkpoints.run(&mut rig.conn).unwrap();
            reading = rig.read();
        }
        drop(end);
        reader.join().unwrap();
        assert!(rig.log() < 15 * first, "{first} bytes of 41 parts grew to {}", rig.log());
    }

    #[test]
    fn a_reader_that_never_ends_is_borne_with() {
        let mut rig = Rig::new();
        let mut checkpoints = Checkpoints::with(50);
        let _stalled = rig.read();
        for _ in 0..5 {
            rig.write();
            checkpoints.run(&mut rig.conn).unwrap();
        }
        assert!(checkpoints.worth > 50, "the next wait is for a log that has grown");
        assert_eq!(checkpoints.since, 0);
    }
}
