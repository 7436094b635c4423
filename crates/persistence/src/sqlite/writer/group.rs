//! One group: every operation in one transaction, each in a savepoint of its own.

use std::panic::AssertUnwindSafe;

use diesel::{QueryResult, SqliteConnection};
use tracing::error;

use super::operation::{Ended, Fate, Operation, Ran, Settle};
use crate::sqlite::effects::Effects;
use crate::sqlite::statement::prepared;

/// Runs every operation in one transaction and commits it. A commit of operations that changed nothing writes nothing,
/// and so says nothing of whether the database can be written; with `prove` the group writes in any case.
pub(super) fn run_group(
    conn: &mut SqliteConnection,
    operations: impl Iterator<Item = Box<dyn Operation>>,
    effects: &mut Effects,
    prove: bool,
) -> (Vec<Settle>, Result<(), Ended>) {
    if let Err(error) = begin(conn, prove) {
        let ended = Ended::of("begin a transaction", error);
        operations.for_each(|operation| operation.refuse(ended.error()));
        drop(prepared!("ROLLBACK").run(conn));
        return (Vec::new(), Err(ended));
    }
    let mut settles = Vec::new();
    let mut broke = None;
    for operation in operations {
        if let Some(ended) = &broke {
            operation.refuse(Ended::error(ended));
            continue;
        }
        match run_one(conn, operation, effects) {
            Ok(settle) => settles.extend(settle),
            Err((settle, ended)) => {
                settles.extend(settle);
                broke = Some(ended);
            }
        }
    }
    let outcome = match broke {
        Some(ended) => Err(ended),
        None => effects
            .counts
            .write(conn)
            .map_err(|error| Ended::of("count jobs", error))
            .and_then(|()| prepared!("COMMIT").run(conn).map(drop).map_err(Ended::of_commit)),
    };
    if outcome.is_err() {
        // The engine may have rolled back by itself; then there is nothing left to do.
        drop(prepared!("ROLLBACK").run(conn));
    }
    (settles, outcome)
}

fn begin(conn: &mut SqliteConnection, prove: bool) -> QueryResult<()> {
    prepared!("BEGIN IMMEDIATE").run(conn)?;
    if prove {
        prepared!(
            "INSERT INTO probe (name, at) VALUES ('writer', '') ON CONFLICT (name) DO UPDATE SET at = excluded.at"
        )
        .run(conn)?;
    }
    Ok(())
}

/// Runs one operation in its savepoint. `Err` means that the whole group cannot go on.
fn run_one(
    conn: &mut SqliteConnection,
    operation: Box<dyn Operation>,
    effects: &mut Effects,
) -> Result<Option<Settle>, (Option<Settle>, Ended)> {
    let mark = effects.mark();
    if let Err(error) = prepared!("SAVEPOINT operation").run(conn) {
        let ended = Ended::of("begin an operation", error);
        operation.refuse(ended.error());
        return Err((None, ended));
    }
    // A panic is a mistake of ours; it must not take the writer, and with it every other caller, along.
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| operation.run(conn, effects)));
    let (fate, settle) = match ran {
        Ok(Ran { fate, settle }) => (fate, Some(settle)),
        Err(_) => {
            error!(area = "JOB-MANAGER", "an operation of the store panicked; it was rolled back alone");
            (Fate::Failed, None)
        }
    };
    let undone = match fate {
        Fate::Done => Ok(0),
        Fate::Failed => {
            effects.forget_since(mark);
            prepared!("ROLLBACK TO operation").run(conn)
        }
        Fate::Broke(ended) => return Err((settle, ended)),
    };
    match undone.and_then(|_| prepared!("RELEASE operation").run(conn)) {
        Ok(_) => Ok(settle),
        Err(error) => Err((settle, Ended::of("end an operation", error))),
    }
}
