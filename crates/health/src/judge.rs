//! From observations to a judgement.
//!
//! | | degraded | down |
//! |---|---|---|
//! | database | too little room, or too much waits | not writable |
//! | link that we dial | not connected | |
//! | worker | alive but deaf | |
//! | process | being started again, or given up | |
//! | recovery | a cycle could not run, or what it queues again seldom finishes | |
//! | queues | jobs that lost their lease are not looked after, or they cannot be read | |
//! | queue | due jobs wait and none is taken | |
//! | loop | it does not turn | |
//!
//! Whoever is paused, by a person, is well. A crawler that is away never makes a server that is down: it takes in jobs.

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::time::{before, between, rfc3339, spoken};

use crate::health::{Figures, Health, Indicator, Status};
use crate::limits::Limits;
use crate::observed::{
    BreakerState, Database, Link, LinkMode, Loop, Observations, Process, ProcessState, Queue, Queues,
    Recovery, Worker,
};

/// At most so many indicators of a kind of which there can be any number.
const MOST_OF_A_KIND: usize = 100;

/// Judges what was seen at `now`.
#[must_use]
pub fn judge(seen: Observations, limits: &Limits, now: DateTime<Utc>) -> Health {
    let Observations { database, links, workers, processes, recovery, queues, stuck, more_stuck, loops } =
        seen;
    let terms = Terms { limits, now };
    let totals = queues.as_deref().map(|queues| total(queues, stuck, more_stuck));
    let queues = queues.unwrap_or_default();
    let workers = workers.into_iter().map(|worker| terms.worker(worker, &queues)).collect();
    let mut indicators = vec![terms.database(database), terms.recovery(recovery), terms.queues(totals)];
    indicators.extend(loops.into_iter().map(|it| terms.turning(it)));
    indicators.extend(links.into_iter().map(|link| terms.link(link)));
    indicators.extend(worst(processes.into_iter().map(|process| terms.process(process)).collect()));
    indicators.extend(worst(workers));
    indicators.extend(worst(queues.into_iter().map(|queue| terms.queue(queue)).collect()));
    let status = indicators.iter().map(|indicator| indicator.status).max().unwrap_or(Status::Ok);
    Health { status, at: now, indicators }
}

/// As many as are shown, the worst first, otherwise in their order.
fn worst(mut indicators: Vec<Indicator>) -> Vec<Indicator> {
    indicators.sort_by_key(|indicator| Reverse(indicator.status));
    indicators.truncate(MOST_OF_A_KIND);
    indicators
}

fn total(queues: &[Queue], stuck: u64, more_stuck: bool) -> Queues {
    let mut total = Queues { stuck, more_stuck, ..Queues::default() };
    for queue in queues {
        total.queues += 1;
        total.paused += u64::from(queue.paused);
        total.queued += queue.queued;
        total.running += queue.running;
        total.failed += queue.failed;
        total.quarantined += queue.quarantined;
        if let Some(at) = queue.oldest_queued_at.filter(|_| !queue.paused) {
            total.oldest_queued_at = Some(total.oldest_queued_at.map_or(at, |oldest| oldest.min(at)));
        }
    }
    total
}

/// A judgement, and since when it holds.
struct Verdict {
    status: Status,
    what: String,
    since: Option<DateTime<Utc>>,
}

impl Verdict {
    fn ok(what: impl Into<String>) -> Self {
        Self { status: Status::Ok, what: what.into(), since: None }
    }

    fn degraded(what: impl Into<String>, since: Option<DateTime<Utc>>) -> Self {
        Self { status: Status::Degraded, what: what.into(), since }
    }

    fn of(self, name: impl Into<String>, figures: Figures) -> Indicator {
        Indicator { name: name.into(), status: self.status, what: self.what, since: self.since, figures }
    }
}

/// What it is judged by.
#[derive(Clone, Copy)]
struct Terms<'a> {
    limits: &'a Limits,
    now: DateTime<Utc>,
}

impl Terms<'_> {
    fn ago(self, at: DateTime<Utc>) -> Duration {
        between(at, self.now)
    }

    fn database(self, database: Database) -> Indicator {
        let reason = database.reason.as_deref().unwrap_or("no reason is known");
        let verdict = match (database.writable, &database.code, database.latency_ms) {
            (false, _, _) => {
                let what = format!("the database cannot be written: {reason}");
                Verdict { status: Status::Down, what, since: database.since }
            }
            (true, Some(_), _) => {
                Verdict::degraded(format!("the database can be written, but: {reason}"), None)
            }
            (true, None, Some(took)) => Verdict::ok(format!("the database took a write in {took:.1} ms")),
            (true, None, None) => Verdict::ok("the database can be written"),
        };
        verdict.of("database", Figures::Database(database))
    }

    fn recovery(self, recovery: Recovery) -> Indicator {
        let Limits { fewest_ended, lowest_success, .. } = *self.limits;
        let (finished, ended) = (recovery.finished, recovery.ended);
        let rate = recovery.success_rate.filter(|_| ended >= fewest_ended);
        let failed =
            recovery.last_failure_at.filter(|failed| recovery.last_ended_at.is_none_or(|at| at < *failed));
        let verdict = if let Some(at) = failed {
            let why = recovery.last_failure.as_deref().unwrap_or("no reason is known");
            Verdict::degraded(format!("the last recovery cycle could not run: {why}"), Some(at))
        } else if rate.is_some_and(|rate| rate < lowest_success) {
            let what = format!(
                "only {finished} of {ended} recovered jobs that ended within a day finished; see by which rules they \
                 were recovered"
            );
            Verdict::degraded(what, None)
        } else if !recovery.enabled {
            Verdict::ok("recovery runs only when somebody asks for it")
        } else if ended == 0 {
            Verdict::ok("recovery runs; no recovered job has ended within a day")
        } else {
            Verdict::ok(format!(
                "recovery runs; {finished} of {ended} recovered jobs that ended within a day finished"
            ))
        };
        verdict.of("recovery", Figures::Recovery(recovery))
    }

    fn queues(self, queues: Option<Queues>) -> Indicator {
        let verdict = match &queues {
            None => Verdict::degraded("the queues cannot be read", None),
            Some(queues) if queues.stuck > 0 => {
                let or_more = if queues.more_stuck { " or more" } else { "" };
                let what = format!(
                    "{}{or_more} running jobs lost their lease and are not looked after by recovery",
                    queues.stuck
                );
                Verdict::degraded(what, None)
            }
            Some(queues) => {
                let Queues { queued, running, failed, quarantined, .. } = queues;
                let person = if *quarantined > 0 { "; quarantined ones wait for a person" } else { "" };
                Verdict::ok(format!(
                    "{queued} jobs wait, {running} run, {failed} failed, {quarantined} are quarantined{person}"
                ))
            }
        };
        verdict.of("queues", Figures::Queues(queues))
    }

    fn turning(self, turning: Loop) -> Indicator {
        let silent = Duration::from_millis(turning.silent_for_ms);
        let verdict = match turning.overdue_by_ms {
            Some(_) => {
                let what = format!(
                    "the loop `{}` has not turned for {}; restart the server if it stays so",
                    turning.name,
                    spoken(silent)
                );
                Verdict::degraded(what, Some(before(self.now, silent)))
            }
            None => Verdict::ok(format!("the loop `{}` turns", turning.name)),
        };
        verdict.of(turning.name.clone(), Figures::Loop(turning))
    }

    fn link(self, link: Link) -> Indicator {
        let name = &link.name;
        let verdict = if link.connected {
            let heard = link
                .last_heartbeat_at
                .map_or_else(String::new, |at| format!("; last heard of {} ago", spoken(self.ago(at))));
            Verdict::ok(format!("link `{name}` is connected{heard}"))
        } else {
            match link.mode {
                LinkMode::Listen => Verdict::ok(format!(
                    "nobody is connected to link `{name}`; its workers connect by themselves"
                )),
                LinkMode::Dial => self.away(&link),
            }
        };
        verdict.of(link.name.clone(), Figures::Link(link))
    }

    /// A link that we dial and that is not connected.
    fn away(self, link: &Link) -> Verdict {
        let name = &link.name;
        let error = link.last_error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
        let again = |at: Option<DateTime<Utc>>| {
            at.map_or_else(String::new, |at| format!("; tried again at {}", rfc3339(at)))
        };
        let next = link.next_attempt_at;
        let due = next.max(link.breaker.as_ref().and_then(|breaker| match breaker.state {
            BreakerState::Open => breaker.next_probe_at,
            BreakerState::HalfOpen => Some(breaker.since),
            BreakerState::Closed | BreakerState::ForcedOpen | BreakerState::ForcedClosed => None,
        }));
        let what = match &link.breaker {
            Some(breaker) if breaker.state == BreakerState::ForcedOpen => {
                format!("link `{name}` is forced open until it is set to `auto` or `reset`")
            }
            _ if due.is_some_and(|at| self.ago(at) > self.limits.undialled_after) => {
                let due = due.map(rfc3339).unwrap_or_default();
                format!(
                    "nobody dials link `{name}` any more: it was to be tried again at {due}; restart the server"
                )
            }
            Some(breaker) if breaker.state == BreakerState::Open => {
                let failures = breaker.consecutive_failures;
                let next = again(breaker.next_probe_at.or(next));
                format!(
                    "the circuit of link `{name}` is open after {failures} failures in a row{error}{next}"
                )
            }
            _ => format!("link `{name}` is not connected{error}{}", again(next)),
        };
        Verdict::degraded(what, link.away_since)
    }

    fn process(self, process: Process) -> Indicator {
        let name = &process.name;
        let end = process.last_end.as_ref().map_or_else(String::new, |end| format!("; it last {end}"));
        let verdict = match process.state {
            ProcessState::Running => Verdict::ok(format!("worker process `{name}` runs")),
            ProcessState::Ended => Verdict::ok(format!("worker process `{name}` is not meant to run{end}")),
            ProcessState::Restarting if process.restarts == 0 && process.last_end.is_none() => {
                Verdict::ok(format!("worker process `{name}` is being started"))
            }
            ProcessState::Restarting => {
                Verdict::degraded(format!("worker process `{name}` is being started again{end}"), None)
            }
            ProcessState::Exhausted => {
                let what = format!(
                    "worker process `{name}` is given up{end}; mend it, then `reclaimer workers restart {name}`"
                );
                Verdict::degraded(what, None)
            }
        };
        verdict.of(process.name.clone(), Figures::Process(process))
    }

    fn worker(self, worker: Worker, queues: &[Queue]) -> Indicator {
        let name = &worker.name;
        let verdict = match self.deaf(&worker, queues) {
            Some((queue, since)) => {
                let what = format!(
                    "worker `{name}` is heard but has asked for nothing for {}, while jobs wait in queue `{queue}`; \
                     restart it",
                    spoken(self.ago(since))
                );
                Verdict::degraded(what, Some(since))
            }
            None if worker.paused => Verdict::ok(format!("worker `{name}` is paused")),
            None => Verdict::ok(format!("worker `{name}` is connected and holds {} jobs", worker.held)),
        };
        verdict.of(worker.name.clone(), Figures::Worker(worker))
    }

    /// The queue that a worker should take from and does not, and since when.
    fn deaf<'a>(self, worker: &Worker, queues: &'a [Queue]) -> Option<(&'a str, DateTime<Utc>)> {
        if worker.paused || worker.held > 0 {
            return None;
        }
        let idle_since = worker.active_at.unwrap_or(worker.connected_at).max(worker.connected_at);
        let serves =
            |queue: &&Queue| worker.queue.as_ref().is_none_or(|own| *own == queue.name) && !queue.paused;
        let waits = queues.iter().filter(serves).filter_map(|queue| Some((queue, queue.oldest_queued_at?)));
        let (queue, oldest) = waits.min_by_key(|(_, at)| *at)?;
        let since = idle_since.max(oldest);
        (self.ago(since) >= self.limits.deaf_after).then_some((queue.name.as_str(), since))
    }

    fn queue(self, queue: Queue) -> Indicator {
        let name = &queue.name;
        let still = queue.oldest_queued_at.filter(|_| !queue.paused).map(|oldest| {
            // Nothing was taken although something could be.
            queue.last_taken_at.map_or(oldest, |taken| taken.max(oldest))
        });
        let verdict = match still.filter(|since| self.ago(*since) >= self.limits.standstill_after) {
            Some(since) => {
                let what = format!(
                    "queue `{name}` stands still: {} jobs wait and none was taken for {}",
                    queue.queued,
                    spoken(self.ago(since))
                );
                Verdict::degraded(what, Some(since))
            }
            None if queue.paused => {
                Verdict::ok(format!("queue `{name}` is paused; {} jobs wait", queue.queued))
            }
            None => {
                Verdict::ok(format!("{} jobs wait in queue `{name}`, {} run", queue.queued, queue.running))
            }
        };
        verdict.of(queue.name.clone(), Figures::Queue(queue))
    }
}
