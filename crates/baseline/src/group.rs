//! The thread: a plain loop that commits in groups.

use diesel::prelude::*;
use tokio::sync::{mpsc, oneshot};

use crate::BareError;
use crate::bare::Row;
use crate::statement;

/// A group is no larger, so that its first caller does not wait for ever.
const MOST_IN_GROUP: usize = 512;

/// What is asked.
#[derive(Debug)]
pub(crate) enum Work {
    Insert(Vec<String>),
    Claim(usize),
    Complete(Vec<i64>),
    CompleteAndClaim(Vec<i64>),
    SetBack,
}

type Answer = Result<Vec<Row>, BareError>;

/// What is asked, and who waits for it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Carries out what waits until nobody can ask any more. Whatever comes while a group runs still becomes part of it.
pub(crate) fn run(mut conn: SqliteConnection, mut inbox: mpsc::Receiver<Asked>) {
    let mut done = Vec::new();
    while let Some(first) = inbox.blocking_recv() {
        let outcome = group(&mut conn, first, &mut inbox, &mut done);
        if outcome.is_err() {
            // The engine may have rolled back by itself; then there is nothing left to do.
            let _ = statement::rollback().execute(&mut conn);
        }
        for (answer, rows) in done.drain(..) {
            let told = match &outcome {
                Ok(()) => Ok(rows),
                Err(error) => Err(BareError::NotCommitted(error.to_string())),
            };
            // Whoever asked may be gone.
            let _ = answer.send(told);
        }
    }
}

fn group(
    conn: &mut SqliteConnection,
    first: Asked,
    inbox: &mut mpsc::Receiver<Asked>,
    done: &mut Vec<(oneshot::Sender<Answer>, Vec<Row>)>,
) -> QueryResult<()> {
    statement::begin().execute(conn)?;
    let mut next = Some(first);
    while let Some(Asked { work, answer }) = next {
        let rows = one(conn, work)?;
        done.push((answer, rows));
        next = if done.len() < MOST_IN_GROUP { inbox.try_recv().ok() } else { None };
    }
    statement::commit().execute(conn).map(drop)
}

fn one(conn: &mut SqliteConnection, work: Work) -> QueryResult<Vec<Row>> {
    match work {
        Work::Insert(payloads) => {
            for payload in &payloads {
                statement::insert(payload).execute(conn)?;
            }
            Ok(Vec::new())
        }
        Work::Claim(most) => claim(conn, most),
        Work::Complete(ids) => complete(conn, &ids).map(|()| Vec::new()),
        Work::CompleteAndClaim(ids) => {
            complete(conn, &ids)?;
            claim(conn, ids.len())
        }
        Work::SetBack => statement::set_back().execute(conn).map(|_| Vec::new()),
    }
}

fn claim(conn: &mut SqliteConnection, most: usize) -> QueryResult<Vec<Row>> {
    let mut rows = Vec::with_capacity(most);
    while rows.len() < most {
        let row: Option<(i64, String)> = statement::claim().get_result(conn).optional()?;
        let Some((id, payload)) = row else { break };
        rows.push(Row { id, payload });
    }
    Ok(rows)
}

fn complete(conn: &mut SqliteConnection, ids: &[i64]) -> QueryResult<()> {
    for id in ids {
        statement::complete(*id).execute(conn)?;
    }
    Ok(())
}
