//! What people do to single jobs by hand, and discovery, which resets jobs the same way.

use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, NewJob, Status};
use reclaimer_domain::name::AccountId;
use reclaimer_domain::ports::{
    AdminAction, Administered, AfterLast as Next, Applied, Discovery, DiscoveryAnswer, Refused, Taken,
};

use super::create::{NewRow, account_exists, insert_new};
use super::effects::Effects;
use super::job_table::{Found, Loaded};
use super::row::Unreadable;
use super::set_aside::set_aside;
use super::statement::prepared;
use super::{event_table, job_table};

/// Does one thing to one job.
pub(super) fn administer(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    id: &JobId,
    action: AdminAction,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<Applied<Administered>> {
    match job_table::find(conn, id.as_str())? {
        None => Ok(Applied::Refused(Refused::NoSuchJob(id.clone()))),
        Some(found) => administer_found(conn, effects, found, action, actor, now),
    }
}

pub(super) fn administer_found(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    found: Found,
    action: AdminAction,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<Applied<Administered>> {
    let Loaded { mut job, guard } = match readable(conn, effects, found, now)? {
        Ok(loaded) => loaded,
        Err(broken) => return Ok(Applied::Refused(refused(&broken))),
    };
    let held = job.lease.clone();
    let (entry, reset) = match action.act(&mut job, actor, now) {
        Ok(done) => done,
        Err(illegal) => return Ok(Applied::Refused(illegal.into())),
    };
    if !job_table::update(conn, effects, &guard, &job)? {
        // Another process changed the job between the read and the write; it has that status no more.
        return Ok(Applied::Refused(Refused::NoSuchJob(job.id)));
    }
    event_table::append(conn, effects, &job, entry)?;
    effects.now_waits(&job);
    if job.status == Status::Cancelled {
        effects.lease_taken(&job, held, Taken::Cancelled);
    }
    Ok(Applied::Done(Administered { job: Box::new(job), reset }))
}

/// The job of a row. One that cannot be read is set aside first, which makes most of them readable.
pub(super) fn readable(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    found: Found,
    now: DateTime<Utc>,
) -> QueryResult<Found> {
    let Err(mut unreadable) = found else { return Ok(found) };
    if set_aside(conn, effects, &mut unreadable, Actor::System, now)?
        && let Some(found) = job_table::find(conn, &unreadable.id)?
    {
        return Ok(found);
    }
    Ok(Err(unreadable))
}

/// Nothing can be done to a row that cannot be read.
pub(super) fn refused(broken: &Unreadable) -> Refused {
    Refused::Broken { id: broken.id.clone(), reason: broken.reason() }
}

/// Creates a new job like one that is over.
pub(super) fn rerun(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    id: &JobId,
    new: JobId,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<Applied<Box<Job>>> {
    let Some(found) = job_table::find(conn, id.as_str())? else {
        return Ok(Applied::Refused(Refused::NoSuchJob(id.clone())));
    };
    let job = match readable(conn, effects, found, now)? {
        Ok(Loaded { job, .. }) => job,
        Err(broken) => return Ok(Applied::Refused(refused(&broken))),
    };
    if !job.status.is_terminal() {
        return Ok(Applied::Refused(Refused::NotTerminal(job.status)));
    }
    create_one(conn, effects, Job::new(new, NewJob::again(&job), now), actor)
}

/// Creates a job, unless a live one holds its unique key.
fn create_one(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    job: Job,
    actor: Actor,
) -> QueryResult<Applied<Box<Job>>> {
    let row = NewRow::of(job);
    let answer = insert_new(conn, effects, &row, actor)?;
    let job = row.job;
    match (&job.unique_key, answer.created) {
        (Some(key), false) => Ok(Applied::Refused(Refused::KeyHeld { key: key.clone(), holder: answer.id })),
        (_, _) => {
            effects.now_waits(&job);
            Ok(Applied::Done(Box::new(job)))
        }
    }
}

/// Starts discovery for an account.
pub(super) fn discover(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: Discovery,
) -> QueryResult<DiscoveryAnswer> {
    let (mut new, now) = (order.job.clone(), order.now);
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
        let loaded = match readable(conn, effects, found, now)? {
            Ok(loaded) => loaded,
            Err(broken) => return Ok(DiscoveryAnswer::Refused(refused(&broken))),
        };
        match order.after_last(&loaded.job) {
            Next::Live => return Ok(DiscoveryAnswer::Live(Box::new(loaded.job))),
            Next::Fresh => return Ok(DiscoveryAnswer::Fresh(Box::new(loaded.job))),
            Next::Reset(action) => {
                return Ok(
                    match administer_found(conn, effects, Ok(loaded), action, Actor::Producer, now)? {
                        Applied::Done(done) => DiscoveryAnswer::Reset(done.job),
                        Applied::Refused(refused) => DiscoveryAnswer::Refused(refused),
                    },
                );
            }
            Next::New => new.spawned_from = Some(loaded.job.id),
        }
    }
    Ok(match create_one(conn, effects, Job::new(order.id, new, now), Actor::Producer)? {
        Applied::Done(job) => DiscoveryAnswer::Created(job),
        Applied::Refused(refused) => DiscoveryAnswer::Refused(refused),
    })
}
