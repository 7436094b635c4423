//! One group: many operations in one transaction.
//!
//! An operation that fails must fail alone. Savepoints would see to that, at the price of copying every page that an
//! operation touches, although operations hardly ever fail. So those that can be carried out again go without; when one of
//! them fails all are rolled back and carried out anew, this time each in a savepoint.

use std::panic::AssertUnwindSafe;

use diesel::{QueryResult, SqliteConnection};
use tracing::error;

use super::operation::{Ended, Fate, Kind, Operation};
use crate::sqlite::ahead::Ahead;
use crate::sqlite::effects::Effects;
use crate::sqlite::statement::prepared;

/// A group on its way.
pub(super) type Operations = Vec<Box<dyn Operation>>;

/// Runs operations in one transaction and commits it. When those at hand have run, `more` may add to them; `committing` is
/// called before the commit, from which on others may see what was written. Answers the operations that ran, for those
/// that did not were refused. A commit of operations that changed nothing writes nothing, and so says nothing of whether
/// the database can be written; with `prove` the group writes in any case.
pub(super) fn run_group(
    conn: &mut SqliteConnection,
    mut operations: Operations,
    effects: &mut Effects,
    prove: bool,
    mut more: impl FnMut(usize) -> Operations,
    committing: impl FnOnce(),
) -> (Operations, Result<(), Ended>) {
    let mut ran = 0;
    let outcome = run_all(conn, &mut operations, effects, prove, &mut more, &mut ran).and_then(|()| {
        effects.counts.write(conn).map_err(|error| Ended::of("count jobs", error))?;
        committing();
        prepared!("COMMIT").run(conn).map(drop).map_err(Ended::of_commit)
    });
    if let Err(ended) = &outcome {
        // The engine may have rolled back by itself; then there is nothing left to do.
        drop(prepared!("ROLLBACK").run(conn));
        for operation in operations.drain(ran..) {
            operation.refuse(ended.error());
        }
    }
    (operations, outcome)
}

/// Runs operations; `ran` says how many did. `Err` means that the group cannot go on.
fn run_all(
    conn: &mut SqliteConnection,
    operations: &mut Operations,
    effects: &mut Effects,
    prove: bool,
    more: &mut impl FnMut(usize) -> Operations,
    ran: &mut usize,
) -> Result<(), Ended> {
    begin(conn, prove)?;
    loop {
        let part = &mut operations[*ran..];
        part.sort_by_key(|operation| operation.kind());
        let repeatable = part.iter().take_while(|operation| operation.kind() != Kind::Once).count();
        let first_once = *ran + repeatable;
        effects.claims = Ahead::default();
        if !run_bare(conn, &mut part[..repeatable], effects, ran)? {
            *ran = 0;
            *effects = Effects::default();
            prepared!("ROLLBACK").run(conn).map_err(|error| Ended::of("roll back", error))?;
            begin(conn, prove)?;
            for operation in &mut operations[..first_once] {
                *ran += 1;
                run_in_savepoint(conn, operation, effects)?;
            }
        }
        for operation in &mut operations[first_once..] {
            *ran += 1;
            run_in_savepoint(conn, operation, effects)?;
        }
        // What is done once cannot be rolled back for the sake of another's failure, so nothing follows it.
        let next = if first_once == operations.len() { more(*ran) } else { Vec::new() };
        if next.is_empty() {
            return Ok(());
        }
        operations.extend(next);
    }
}

/// Runs operations without savepoints, until one fails; answers whether none did.
fn run_bare(
    conn: &mut SqliteConnection,
    operations: &mut [Box<dyn Operation>],
    effects: &mut Effects,
    ran: &mut usize,
) -> Result<bool, Ended> {
    let all = operations.len();
    for (index, operation) in operations.iter_mut().enumerate() {
        *ran += 1;
        effects.claims.left = all - index;
        match run_one(conn, operation, effects) {
            Fate::Done => {}
            Fate::Failed => return Ok(false),
            Fate::Broke(ended) => return Err(ended),
        }
    }
    Ok(true)
}

fn begin(conn: &mut SqliteConnection, prove: bool) -> Result<(), Ended> {
    let mut begin = || -> QueryResult<()> {
        prepared!("BEGIN IMMEDIATE").run(conn)?;
        if prove {
            prepared!(
                "INSERT INTO probe (name, at) VALUES ('writer', '') \
                 ON CONFLICT (name) DO UPDATE SET at = excluded.at"
            )
            .run(conn)?;
        }
        Ok(())
    };
    begin().map_err(|error| Ended::of("begin a transaction", error))
}

fn run_one(conn: &mut SqliteConnection, operation: &mut Box<dyn Operation>, effects: &mut Effects) -> Fate {
    // A panic is a mistake of ours; it must not take the writer, and with it every other caller, along.
    std::panic::catch_unwind(AssertUnwindSafe(|| operation.run(conn, effects))).unwrap_or_else(|_| {
        error!(area = "JOB-MANAGER", "an operation of the store panicked; it was rolled back alone");
        Fate::Failed
    })
}

/// Runs one operation so that it can be rolled back alone. `Err` means that the whole group cannot go on.
fn run_in_savepoint(
    conn: &mut SqliteConnection,
    operation: &mut Box<dyn Operation>,
    effects: &mut Effects,
) -> Result<(), Ended> {
    let mark = effects.mark();
    prepared!("SAVEPOINT operation").run(conn).map_err(|error| Ended::of("begin an operation", error))?;
    let undone = match run_one(conn, operation, effects) {
        Fate::Done => Ok(0),
        Fate::Failed => {
            effects.forget_since(mark);
            // It may have taken of what claims have found.
            effects.claims.forget();
            prepared!("ROLLBACK TO operation").run(conn)
        }
        Fate::Broke(ended) => return Err(ended),
    };
    undone
        .and_then(|_| prepared!("RELEASE operation").run(conn))
        .map(drop)
        .map_err(|error| Ended::of("end an operation", error))
}
