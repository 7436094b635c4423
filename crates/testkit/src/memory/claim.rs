//! Handing out jobs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::ports::{Arrival, Claim, Claimed, Flow};

use super::data::Data;
use super::effects::{Effects, arrival};
use super::row::Row;

/// Which jobs are wanted.
struct Wanted<'a> {
    queue: Option<&'a QueueName>,
    /// Any of these; empty = any.
    commands: &'a [Command],
    only: Option<&'a JobId>,
}

impl Wanted<'_> {
    /// Those that wait in a queue which is not paused.
    fn waiting<'d>(&self, data: &'d Data) -> impl Iterator<Item = &'d Row> {
        data.rows().filter(|row| {
            let job = &row.job;
            row.status() == Some(Status::Queued)
                && !data.paused.contains(&job.queue)
                && self.queue.is_none_or(|queue| *queue == job.queue)
                && (self.commands.is_empty() || self.commands.contains(&job.command))
                && self.only.is_none_or(|id| *id == job.id && !row.is_broken())
        })
    }

    /// Those whose moment has come, in the order in which they are handed out.
    fn due<'d>(&self, data: &'d Data, now: DateTime<Utc>) -> Vec<&'d Row> {
        let mut due: Vec<&Row> = self.waiting(data).filter(|row| row.job.run_at <= now).collect();
        due.sort_by_key(|row| (row.job.priority, row.job.run_at));
        due
    }
}

/// Leases up to as many jobs as there are tokens.
pub(super) fn claim(data: &mut Data, effects: &mut Effects, claim: Claim) -> Claimed {
    let Claim { worker, queue, commands, only, tokens, lease_for, now } = claim;
    let wanted = Wanted { queue: queue.as_ref(), commands: &commands, only: only.as_ref() };
    let due: Vec<JobId> = wanted.due(data, now).into_iter().map(|row| row.job.id.clone()).collect();
    let mut tokens = tokens.into_iter();
    let mut jobs = Vec::new();
    for id in due {
        if tokens.len() == 0 {
            break;
        }
        if data.set_aside(&id, Actor::System, now) {
            continue;
        }
        if let Some(Ok(mut job)) = data.find(&id)
            && let Some(token) = tokens.next()
            && let Ok(entry) = job.claim(&worker, token, lease_for, now)
        {
            data.save(&job, [entry]);
            effects.count(Flow { claims: 1, ..Flow::default() }, now);
            jobs.push(job);
        }
    }
    let later = || wanted.waiting(data).map(|row| row.job.run_at).filter(|at| *at > now).min();
    let next_due = if jobs.is_empty() && only.is_none() { later() } else { None };
    Claimed { jobs, next_due }
}

/// The jobs a claim would get.
pub(super) fn peek(
    data: &Data,
    queue: Option<&QueueName>,
    command: Option<Command>,
    limit: u32,
    now: DateTime<Utc>,
) -> Vec<Job> {
    let commands: Vec<Command> = command.into_iter().collect();
    let due = Wanted { queue, commands: &commands, only: None }.due(data, now);
    let readable = due.into_iter().filter_map(|row| row.read().ok());
    readable.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

/// What waits in a queue: due jobs, and of each command the next that falls due.
pub(super) fn arrivals(data: &Data, queue: &QueueName, now: DateTime<Utc>) -> Vec<Arrival> {
    let wanted = Wanted { queue: Some(queue), commands: &[], only: None };
    let mut found: Vec<Arrival> = wanted.due(data, now).into_iter().map(|row| arrival(&row.job)).collect();
    let mut later: BTreeMap<&Command, Arrival> = BTreeMap::new();
    for row in wanted.waiting(data).filter(|row| row.job.run_at > now) {
        let next = later.entry(&row.job.command).or_insert_with(|| arrival(&row.job));
        next.run_at = next.run_at.min(row.job.run_at);
    }
    found.extend(later.into_values());
    found
}
