//! What people do to jobs by hand, and discovery, which resets jobs the same way.

use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::{Actor, HistoryEntry};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{IllegalTransition, Job, NewJob, Status};
use reclaimer_domain::name::AccountId;
use reclaimer_domain::ports::{
    AdminAction, Applied, Bulk, BulkAnswer, BulkItem, Discovery, DiscoveryAnswer, Refused, Taken,
};
use reclaimer_domain::time::between;

use super::create::{account_exists, insert_new};
use super::effects::Effects;
use super::job_table::{Found, Loaded};
use super::lists::filtered;
use super::set_aside::set_aside;
use super::statement::prepared;
use super::{event_table, job_table};

/// Does one thing to one job.
pub(super) fn administer(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    id: &JobId,
    action: &AdminAction,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<Applied<Box<Job>>> {
    match job_table::find(conn, id.as_str())? {
        None => Ok(Applied::Refused(Refused::NoSuchJob(id.clone()))),
        Some(found) => administer_found(conn, effects, found, action, actor, now),
    }
}

fn administer_found(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    found: Found,
    action: &AdminAction,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<Applied<Box<Job>>> {
    let Loaded { mut job, guard } = match readable(conn, found, now)? {
        Ok(loaded) => loaded,
        Err(broken) => {
            return Ok(Applied::Refused(Refused::Broken { id: broken.id.clone(), reason: broken.reason() }));
        }
    };
    if let AdminAction::Rerun(new_id) = action {
        return rerun(conn, effects, &job, new_id, actor, now);
    }
    let held = job.lease.clone();
    let entry = match act(&mut job, action, actor, now) {
        Ok(entry) => entry,
        Err(illegal) => return Ok(Applied::Refused(illegal.into())),
    };
    if !job_table::update(conn, &guard, &job)? {
        // Another process changed the job between the read and the write; it has that status no more.
        return Ok(Applied::Refused(Refused::NoSuchJob(job.id)));
    }
    event_table::append(conn, job.id.as_str(), &entry)?;
    effects.now_waits(&job);
    if job.status == Status::Cancelled {
        effects.lease_taken(&job, held, Taken::Cancelled);
    }
    Ok(Applied::Done(Box::new(job)))
}

/// The job of a row. One that cannot be read is set aside first, which makes most of them readable.
fn readable(conn: &mut SqliteConnection, found: Found, now: DateTime<Utc>) -> QueryResult<Found> {
    let Err(mut unreadable) = found else { return Ok(found) };
    if set_aside(conn, &mut unreadable, Actor::System, now)?
        && let Some(found) = job_table::find(conn, &unreadable.id)?
    {
        return Ok(found);
    }
    Ok(Err(unreadable))
}

/// The lifecycle function of an action.
fn act(
    job: &mut Job,
    action: &AdminAction,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<HistoryEntry, IllegalTransition> {
    match action {
        AdminAction::Retry | AdminAction::Rerun(_) => job.retry(actor, now),
        AdminAction::Cancel => job.cancel(actor, now),
        AdminAction::Pause => job.hold(actor, now),
        AdminAction::Resume => job.resume(actor, now),
        AdminAction::Release => job.unquarantine(actor, now),
    }
}

fn rerun(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    job: &Job,
    new_id: &JobId,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<Applied<Box<Job>>> {
    if !job.status.is_terminal() {
        return Ok(Applied::Refused(Refused::NotTerminal(job.status)));
    }
    create_one(conn, effects, Job::new(new_id.clone(), NewJob::again(job), now), actor)
}

/// Creates a job, unless a live one holds its unique key.
fn create_one(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    job: Job,
    actor: Actor,
) -> QueryResult<Applied<Box<Job>>> {
    let answer = insert_new(conn, &job, actor)?;
    match (&job.unique_key, answer.created) {
        (Some(key), false) => Ok(Applied::Refused(Refused::KeyHeld { key: key.clone(), holder: answer.id })),
        (_, _) => {
            effects.now_waits(&job);
            Ok(Applied::Done(Box::new(job)))
        }
    }
}

/// Does one thing to every job of a filter.
pub(super) fn administer_many(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    bulk: &Bulk,
) -> QueryResult<BulkAnswer> {
    each(conn, bulk, |conn, found| {
        Ok(match administer_found(conn, effects, found, &bulk.action, bulk.actor.clone(), bulk.now)? {
            Applied::Done(_) => None,
            Applied::Refused(refused) => Some(refused),
        })
    })
}

/// What [`administer_many`] would do.
pub(super) fn count_many(conn: &mut SqliteConnection, bulk: &Bulk) -> QueryResult<BulkAnswer> {
    each(conn, bulk, |_, found| {
        Ok(match found {
            Err(broken) => {
                // It would be set aside first.
                let mut job = broken.salvage;
                job.status = Status::Quarantined;
                act(&mut job, &bulk.action, bulk.actor.clone(), bulk.now).err().map(Refused::from)
            }
            Ok(Loaded { mut job, .. }) => {
                act(&mut job, &bulk.action, bulk.actor.clone(), bulk.now).err().map(Refused::from)
            }
        })
    })
}

fn each(
    conn: &mut SqliteConnection,
    bulk: &Bulk,
    mut act: impl FnMut(&mut SqliteConnection, Found) -> QueryResult<Option<Refused>>,
) -> QueryResult<BulkAnswer> {
    let mut filter = bulk.filter.clone();
    if filter.status.is_empty() {
        // Jobs to which it can never be done would otherwise use up the limit, every time anew.
        filter.status = bulk.action.possible_from();
    }
    let mut found = filtered(conn, &filter, None, bulk.limit.saturating_add(1), false)?;
    let limit = usize::try_from(bulk.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let mut items = Vec::with_capacity(found.len());
    for found in found {
        let id = match &found {
            Ok(Loaded { job, .. }) => job.id.to_string(),
            Err(broken) => broken.id.clone(),
        };
        items.push(BulkItem { id, refused: act(conn, found)? });
    }
    Ok(BulkAnswer { items, more })
}

/// Starts discovery for an account.
pub(super) fn discover(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: Discovery,
) -> QueryResult<DiscoveryAnswer> {
    let Discovery { id, job: mut new, fresh_for, now } = order;
    if let Some(account) = &new.account_id
        && !account_exists(conn, account)?
    {
        return Ok(DiscoveryAnswer::UnknownAccount(account.clone()));
    }
    let last: Option<(String,)> = prepared!(
        "SELECT id FROM job WHERE account_id = ? AND command = ? ORDER BY id DESC LIMIT 1",
        new.account_id.as_ref().map(AccountId::as_str),
        new.command.as_str(),
    )
    .rows::<(Text,)>()
    .first(conn)?;
    let last = match last {
        Some((last,)) => job_table::find(conn, &last)?,
        None => None,
    };
    if let Some(found) = last {
        let loaded = match readable(conn, found, now)? {
            Ok(loaded) => loaded,
            Err(broken) => {
                return Ok(DiscoveryAnswer::Refused(Refused::Broken {
                    id: broken.id.clone(),
                    reason: broken.reason(),
                }));
            }
        };
        let job = &loaded.job;
        let reset = match job.status {
            Status::Queued | Status::Running => return Ok(DiscoveryAnswer::Live(Box::new(loaded.job))),
            Status::Finished if job.finished_at.is_some_and(|at| between(at, now) < fresh_for) => {
                return Ok(DiscoveryAnswer::Fresh(Box::new(loaded.job)));
            }
            Status::Failed => Some(AdminAction::Retry),
            Status::Paused => Some(AdminAction::Resume),
            Status::Quarantined => Some(AdminAction::Release),
            Status::Finished | Status::Cancelled => None,
        };
        match reset {
            Some(action) => {
                return Ok(
                    match administer_found(conn, effects, Ok(loaded), &action, Actor::Producer, now)? {
                        Applied::Done(job) => DiscoveryAnswer::Reset(job),
                        Applied::Refused(refused) => DiscoveryAnswer::Refused(refused),
                    },
                );
            }
            None => new.spawned_from = Some(loaded.job.id),
        }
    }
    Ok(match create_one(conn, effects, Job::new(id, new, now), Actor::Producer)? {
        Applied::Done(job) => DiscoveryAnswer::Created(job),
        Applied::Refused(refused) => DiscoveryAnswer::Refused(refused),
    })
}
