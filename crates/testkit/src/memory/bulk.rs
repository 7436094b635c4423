//! One thing done to many jobs.

use reclaimer_domain::ports::{Applied, Bulk, BulkAnswer, BulkItem, JobFilter};

use super::data::Data;
use super::effects::Effects;
use super::lists::{counted, fits};
use super::manual::administer;
use super::row::Row;

/// Does one thing to every eligible job of a filter, oldest first, up to the limit. A dry run does it to a copy.
pub(super) fn administer_many(data: &mut Data, effects: &mut Effects, bulk: &Bulk) -> BulkAnswer {
    let (eligible, ineligible) = bulk.sort(counted(data, &bulk.filter));
    let filter = JobFilter { status: bulk.eligible(), ..bulk.filter.clone() };
    let mut found = Vec::new();
    if !filter.status.is_empty() {
        let fitting = data.rows().filter(|row| fits(row, &filter));
        found.extend(fitting.map(|row: &Row| row.job.id.clone()));
    }
    let limit = usize::try_from(bulk.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let mut items = Vec::with_capacity(found.len());
    for id in found {
        let done = administer(data, effects, &id, bulk.action, bulk.actor.clone(), bulk.now);
        let outcome = match done {
            Applied::Done(done) => Ok(done.reset),
            Applied::Refused(refused) => Err(refused),
        };
        items.push(BulkItem { id: id.to_string(), outcome });
    }
    BulkAnswer { eligible, ineligible, items, more }
}
