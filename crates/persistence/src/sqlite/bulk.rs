//! One thing done to many jobs.

use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::job::{Counts, Status};
use reclaimer_domain::ports::{Applied, Bulk, BulkItem, Ineligible, JobFilter, Refused};

use super::effects::Effects;
use super::job_table::{Found, Loaded};
use super::manual::administer_found;
use super::search::{self, counted, id_of};

/// The eligible jobs up to the limit, and whether there are more.
type Looked = (Vec<BulkItem>, bool);

/// Does one thing to every eligible job of a filter.
pub(super) fn administer_many(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    bulk: &Bulk,
) -> QueryResult<Looked> {
    each(conn, bulk, |conn, found| {
        Ok(match administer_found(conn, effects, found, bulk.action, bulk.actor.clone(), bulk.now)? {
            Applied::Done(done) => Ok(done.reset),
            Applied::Refused(refused) => Err(refused),
        })
    })
}

/// What [`administer_many`] would do.
pub(super) fn look_at_many(conn: &mut SqliteConnection, bulk: &Bulk) -> QueryResult<Looked> {
    each(conn, bulk, |_, found| {
        let mut job = match found {
            Ok(Loaded { job, .. }) => job,
            Err(broken) => {
                // It would be set aside first.
                let mut job = broken.salvage;
                job.status = Status::Quarantined;
                job
            }
        };
        let done = bulk.action.act(&mut job, bulk.actor.clone(), bulk.now);
        Ok(done.map(|(_, reset)| reset).map_err(Refused::from))
    })
}

fn each(
    conn: &mut SqliteConnection,
    bulk: &Bulk,
    mut act: impl FnMut(&mut SqliteConnection, Found) -> QueryResult<Result<Counts, Refused>>,
) -> QueryResult<Looked> {
    let filter = JobFilter { status: bulk.eligible(), ..bulk.filter.clone() };
    if filter.status.is_empty() {
        return Ok((Vec::new(), false));
    }
    let from = search::From { newest_first: false, cursor: None };
    let search::Rows { found, next } = search::rows(conn, &filter, from, bulk.limit)?;
    let mut items = Vec::with_capacity(found.len());
    for found in found {
        let id = id_of(&found);
        items.push(BulkItem { id, outcome: act(conn, found)? });
    }
    Ok((items, next.is_some()))
}

/// How many jobs of the filter are eligible, and why the others are not.
pub(super) fn count_many(conn: &mut SqliteConnection, bulk: &Bulk) -> QueryResult<(u64, Vec<Ineligible>)> {
    Ok(bulk.sort(counted(conn, &bulk.filter)?))
}
