//! What people do to single jobs by hand, and discovery, which resets jobs the same way.

use chrono::{DateTime, Utc};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, NewJob, Status};
use reclaimer_domain::ports::{
    AdminAction, Administered, AfterLast, Applied, Discovery, DiscoveryAnswer, Refused, StoreError, Taken,
};

use super::data::Data;
use super::effects::Effects;
use super::row::Row;

/// Does one thing to one job.
pub(super) fn administer(
    data: &mut Data,
    effects: &mut Effects,
    id: &JobId,
    action: AdminAction,
    actor: Actor,
    now: DateTime<Utc>,
) -> Applied<Administered> {
    let Some(mut job) = data.readable(id, now) else {
        return Applied::Refused(Refused::NoSuchJob(id.clone()));
    };
    let held = job.lease.clone();
    let (entry, reset) = match action.act(&mut job, actor, now) {
        Ok(done) => done,
        Err(illegal) => return Applied::Refused(illegal.into()),
    };
    data.save(&job, [entry]);
    effects.now_waits(&job);
    if job.status == Status::Cancelled {
        effects.lease_taken(&job, held, Taken::Cancelled);
    }
    Applied::Done(Administered { job: Box::new(job), reset })
}

/// Creates a new job like one that is over.
pub(super) fn rerun(
    data: &mut Data,
    effects: &mut Effects,
    id: &JobId,
    new: JobId,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<Applied<Box<Job>>, StoreError> {
    let Some(job) = data.readable(id, now) else {
        return Ok(Applied::Refused(Refused::NoSuchJob(id.clone())));
    };
    if !job.status.is_terminal() {
        return Ok(Applied::Refused(Refused::NotTerminal(job.status)));
    }
    create_one(data, effects, Job::new(new, NewJob::again(&job), now), actor)
}

/// Creates a job, unless a live one holds its unique key.
fn create_one(
    data: &mut Data,
    effects: &mut Effects,
    job: Job,
    actor: Actor,
) -> Result<Applied<Box<Job>>, StoreError> {
    let answer = data.insert_new(effects, &job, actor)?;
    Ok(match (&job.unique_key, answer.created) {
        (Some(key), false) => Applied::Refused(Refused::KeyHeld { key: key.clone(), holder: answer.id }),
        (_, _) => Applied::Done(Box::new(job)),
    })
}

/// Starts discovery for an account.
pub(super) fn discover(
    data: &mut Data,
    effects: &mut Effects,
    order: Discovery,
) -> Result<DiscoveryAnswer, StoreError> {
    let (mut new, now) = (order.job.clone(), order.now);
    if let Some(account) = new.account_id.as_ref().filter(|id| data.account(id).is_none()) {
        return Ok(DiscoveryAnswer::UnknownAccount(account.clone()));
    }
    let of_its_kind = |row: &&Row| row.job.account_id == new.account_id && row.job.command == new.command;
    let last = data.rows().rev().find(of_its_kind).map(|row| row.job.id.clone());
    if let Some(job) = last.and_then(|last| data.readable(&last, now)) {
        match order.after_last(&job) {
            AfterLast::Live => return Ok(DiscoveryAnswer::Live(Box::new(job))),
            AfterLast::Fresh => return Ok(DiscoveryAnswer::Fresh(Box::new(job))),
            AfterLast::Reset(action) => {
                return Ok(match administer(data, effects, &job.id, action, Actor::Producer, now) {
                    Applied::Done(done) => DiscoveryAnswer::Reset(done.job),
                    Applied::Refused(refused) => DiscoveryAnswer::Refused(refused),
                });
            }
            AfterLast::New => new.spawned_from = Some(job.id),
        }
    }
    Ok(match create_one(data, effects, Job::new(order.id, new, now), Actor::Producer)? {
        Applied::Done(job) => DiscoveryAnswer::Created(job),
        Applied::Refused(refused) => DiscoveryAnswer::Refused(refused),
    })
}
