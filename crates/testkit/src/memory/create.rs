//! Creating jobs.

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::{Create, Created, CreatedJob, Idempotency, StoreError};

use super::data::{Data, KeptOrder};
use super::effects::Effects;

/// Carries out an order.
pub(super) fn create(data: &mut Data, effects: &mut Effects, order: Create) -> Result<Created, StoreError> {
    let Create { jobs, idempotency, actor, now } = order;
    if let Some(key) = &idempotency
        && let Some(answer) = answered_before(data, key, now)
    {
        return Ok(answer);
    }
    let ordered: Vec<JobId> = jobs.iter().map(|(id, _)| id.clone()).collect();
    for (index, (_, new)) in jobs.iter().enumerate() {
        if let Some(account) = &new.account_id
            && data.account(account).is_none()
        {
            return Ok(Created::UnknownAccount { index, account: account.clone() });
        }
        if let Some(parent) = &new.spawned_from
            && !ordered[..index].contains(parent)
            && data.row(parent).is_none()
        {
            return Ok(Created::UnknownParent { index, parent: parent.clone() });
        }
    }
    let mut answers: Vec<CreatedJob> = Vec::with_capacity(jobs.len());
    for (id, mut new) in jobs {
        if let Some(parent) = &mut new.spawned_from
            && let Some(place) = ordered[..answers.len()].iter().position(|id| id == parent)
        {
            // Where the parent's key was held, its holder stands in the parent's place.
            parent.clone_from(&answers[place].id);
        }
        answers.push(data.insert_new(effects, &Job::new(id, new, now), actor.clone())?);
    }
    if let Some(Idempotency { key, digest }) = idempotency {
        data.orders.insert(key, KeptOrder { digest, answers: answers.clone(), at: now });
    }
    Ok(Created::Done { single: single(data, &answers), jobs: answers, replayed: false })
}

/// The job of an order of one, as it is stored.
fn single(data: &Data, answers: &[CreatedJob]) -> Option<Box<Job>> {
    let [only] = answers else { return None };
    data.find(&only.id)?.ok().map(Box::new)
}

fn answered_before(data: &Data, key: &Idempotency, now: DateTime<Utc>) -> Option<Created> {
    let kept = data.orders.get(&key.key).filter(|kept| now - kept.at <= TimeDelta::days(1))?;
    if kept.digest != key.digest {
        return Some(Created::KeyReused);
    }
    let jobs = kept.answers.clone();
    Some(Created::Done { single: single(data, &jobs), jobs, replayed: true })
}
