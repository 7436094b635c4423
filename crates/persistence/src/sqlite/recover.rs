//! Decisions of a recovery cycle, applied to many jobs by a few statements.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::{EventKind, HistoryEntry};
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::{Job, Lease, Status};
use reclaimer_domain::ports::{Flow, Outcome, Planned, Refused, Seen, Taken};

use super::effects::Effects;
use super::job_table::{self, Found, Guard, Loaded};
use super::{event_table, undo};

/// A decision that fits the job it is about, which is as it leaves it.
struct Step {
    job: Job,
    guard: Guard,
    /// The lease under which the job was held.
    held: Option<Lease>,
    entry: HistoryEntry,
}

impl Step {
    /// Whether the job is recovered or given up, and not just left for a while.
    fn changes(&self) -> bool {
        self.entry.kind != EventKind::NotRecovered
    }
}

/// Applies decisions, each on its own; one answer per decision, in order.
pub(super) fn apply(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    run: &RunId,
    decisions: &[Planned],
    now: DateTime<Utc>,
) -> QueryResult<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(decisions.len());
    let mut rest = decisions;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(distinct(rest));
        outcomes.extend(apply_part(conn, effects, run, part, now)?);
        rest = later;
    }
    Ok(outcomes)
}

/// How many of these are about a job that none before them is about: a second decision is about what the first one left.
fn distinct(decisions: &[Planned]) -> usize {
    let mut seen = HashSet::with_capacity(decisions.len());
    decisions.iter().take_while(|planned| seen.insert(&planned.job)).count()
}

/// Applies decisions about as many jobs.
fn apply_part(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    run: &RunId,
    decisions: &[Planned],
    now: DateTime<Utc>,
) -> QueryResult<Vec<Outcome>> {
    let ids: Vec<&JobId> = decisions.iter().map(|planned| &planned.job).collect();
    let mut found = job_table::find_many(conn, &ids)?;
    let fitting: Vec<Result<Step, Outcome>> =
        decisions.iter().map(|planned| fit(&mut found, run, planned, now)).collect();

    let steps = fitting.iter().flatten();
    let changing: Vec<&JobId> = steps.filter(|step| step.changes()).map(|step| &step.job.id).collect();
    undo::keep(conn, run, &changing, now)?;
    drop(changing);

    let mut outcomes = Vec::with_capacity(decisions.len());
    let mut events = Vec::with_capacity(decisions.len());
    let mut jobs = Vec::with_capacity(decisions.len());
    for step in fitting {
        let step = match step {
            Ok(step) => step,
            Err(outcome) => {
                outcomes.push(outcome);
                continue;
            }
        };
        // One by one: a statement over many rows of new values takes longer than a prepared one for each.
        if !job_table::update(conn, effects, &step.guard, &step.job)? {
            outcomes.push(Outcome::LostRace { found: Some(step.job.status) });
            continue;
        }
        outcomes.push(Outcome::Applied);
        let changes = step.changes();
        let Step { job, held, entry, .. } = step;
        if changes {
            tell(effects, &job, held, now);
        }
        if changes || !event_table::repeats_last(conn, &job.id, &entry)? {
            events.push(entry);
            jobs.push(job);
        }
    }
    event_table::append_many(conn, effects, jobs.iter().zip(events).collect())?;
    Ok(outcomes)
}

/// What a decision makes of the job it is about, if that is as it was seen.
fn fit(
    found: &mut HashMap<String, Found>,
    run: &RunId,
    planned: &Planned,
    now: DateTime<Utc>,
) -> Result<Step, Outcome> {
    let Loaded { mut job, guard } = match found.remove(planned.job.as_str()) {
        None => return Err(Outcome::LostRace { found: None }),
        Some(Err(broken)) => {
            let refused = Refused::Broken { id: broken.id.clone(), reason: broken.reason() };
            return Err(Outcome::Refused(refused));
        }
        Some(Ok(loaded)) => loaded,
    };
    if Seen::of(&job) != planned.seen {
        return Err(Outcome::LostRace { found: Some(job.status) });
    }
    let held = job.lease.clone();
    match job.recover(&planned.decision, run, now) {
        Ok(entry) => Ok(Step { job, guard, held, entry }),
        Err(illegal) => Err(Outcome::Refused(illegal.into())),
    }
}

/// What it means to others that a job was recovered or given up.
fn tell(effects: &mut Effects, job: &Job, held: Option<Lease>, now: DateTime<Utc>) {
    let excused = held.as_ref().is_some_and(|lease| lease.excused);
    effects.now_waits(job);
    effects.lease_taken(job, held, Taken::Reclaimed);
    if job.status == Status::Queued && !excused {
        effects.count(Flow { requeues: 1, ..Flow::default() }, now);
    }
}
