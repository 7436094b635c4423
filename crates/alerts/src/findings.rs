//! From indicators to what fires.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::time::{before, between, spoken};
use reclaimer_health::{Breaker, BreakerState, Figures, Health, Indicator, Limits, Link, ProcessState};

use crate::rule::Condition;

/// A condition that holds for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firing {
    /// For what.
    pub(crate) subject: String,
    /// What there is to say.
    pub(crate) what: String,
    /// Since when, as far as the indicator knows.
    pub(crate) since: Option<DateTime<Utc>>,
}

/// What a condition was found to come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// For what it holds.
    pub(crate) firing: Vec<Firing>,
    /// For what it cannot be told now.
    pub(crate) unsure: BTreeSet<String>,
}

impl From<Vec<Firing>> for Findings {
    fn from(firing: Vec<Firing>) -> Self {
        Self { firing, unsure: BTreeSet::new() }
    }
}

/// What remembers how often processes were started again.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    /// Since when counts are known.
    since: Option<DateTime<Utc>>,
    counts: BTreeMap<String, VecDeque<(DateTime<Utc>, u64)>>,
}

impl Restarts {
    /// Takes in the counts of now, and forgets what is older than `within`. One count before that is kept, to count from.
    pub(crate) fn note(&mut self, health: &Health, within: Duration) {
        self.since.get_or_insert(health.at);
        let begin = before(health.at, within);
        let mut seen = BTreeMap::new();
        for indicator in &health.indicators {
            let Figures::Process(process) = &indicator.figures else { continue };
            let mut counts = self.counts.remove(&indicator.name).unwrap_or_default();
            // A server that was restarted counts anew.
            if counts.back().is_some_and(|(_, last)| *last > process.restarts) {
                counts.clear();
            }
            if counts.back().is_none_or(|(_, last)| *last != process.restarts) {
                counts.push_back((health.at, process.restarts));
            }
            while counts.get(1).is_some_and(|(at, _)| *at <= begin) {
                counts.pop_front();
            }
            seen.insert(indicator.name.clone(), counts);
        }
        self.counts = seen;
    }

    /// How often a process was started again within the time that is remembered.
    fn of(&self, process: &str) -> u64 {
        let counts = self.counts.get(process);
        let ends = counts.and_then(|counts| Some((counts.front()?.1, counts.back()?.1)));
        ends.map_or(0, |(first, last)| last - first)
    }

    /// Whether all of this time is remembered: a server that has just started knows nothing of before.
    fn knows(&self, now: DateTime<Utc>, within: Duration) -> bool {
        self.since.is_some_and(|since| between(since, now) >= within)
    }
}

/// For what a condition holds; `None` where that cannot be told now of anything.
pub(crate) fn find(condition: Condition, health: &Health, restarts: &Restarts) -> Option<Findings> {
    let found = |find: &dyn Fn(&Indicator) -> Option<Firing>| {
        Some(health.indicators.iter().filter_map(find).collect::<Vec<_>>().into())
    };
    match condition {
        Condition::BreakerOpen => Some(breakers(health)),
        Condition::WorkerRestartsAbove { restarts: most, within } => {
            Some(restarted(health, restarts, most, within))
        }
        Condition::DatabaseNotWritable => found(&|indicator| match &indicator.figures {
            Figures::Database(database) if !database.writable => Some(as_said(indicator)),
            _ => None,
        }),
        Condition::LoopStopped => Some(loops(health)),
        Condition::RecoverySuccessBelow(least) => success(health, least),
        Condition::QuarantinedAbove(most) => {
            let queues = queues(health)?;
            let what = || format!("{} jobs are quarantined and wait for a person", queues.quarantined);
            let firing = (queues.quarantined > most).then(|| of_queues(what(), None));
            Some(firing.into_iter().collect::<Vec<_>>().into())
        }
        Condition::OldestQueuedAbove(longest) => {
            let since = queues(health)?.oldest_queued_at;
            let waited = since.map(|since| between(since, health.at)).filter(|waited| *waited > longest);
            let firing = waited.map(|waited| {
                let queue = since.and_then(|since| queue_of(health, since));
                let queue = queue.map(|queue| format!(" in queue `{queue}`")).unwrap_or_default();
                let what = format!("a job{queue} has been due for {} and nobody took it", spoken(waited));
                of_queues(what, since)
            });
            Some(firing.into_iter().collect::<Vec<_>>().into())
        }
    }
}

/// Loops that are overdue. Without a database they may only wait for it, and a restart would not help.
fn loops(health: &Health) -> Findings {
    let database_away =
        |indicator: &Indicator| matches!(&indicator.figures, Figures::Database(it) if !it.writable);
    let away = health.indicators.iter().any(database_away);
    let mut found = Findings::default();
    for indicator in &health.indicators {
        let Figures::Loop(turning) = &indicator.figures else { continue };
        let Some(overdue) = turning.overdue_by_ms.map(Duration::from_millis) else { continue };
        if away {
            found.unsure.insert(indicator.name.clone());
        } else {
            let since = Some(before(health.at, overdue));
            found.firing.push(Firing { since, ..as_said(indicator) });
        }
    }
    found
}

/// All queues together, where they could be read.
fn queues(health: &Health) -> Option<&reclaimer_health::Queues> {
    health.indicators.iter().find_map(|indicator| match &indicator.figures {
        Figures::Queues(queues) => queues.as_ref(),
        _ => None,
    })
}

/// The queue whose oldest job has been due since then, where so few queues are shown that it is among them.
fn queue_of(health: &Health, since: DateTime<Utc>) -> Option<&str> {
    health.indicators.iter().find_map(|indicator| match &indicator.figures {
        Figures::Queue(queue) if !queue.paused && queue.oldest_queued_at == Some(since) => Some(&*queue.name),
        _ => None,
    })
}

fn of_queues(what: String, since: Option<DateTime<Utc>>) -> Firing {
    Firing { subject: "queues".to_owned(), what, since }
}

fn as_said(indicator: &Indicator) -> Firing {
    Firing { subject: indicator.name.clone(), what: indicator.what.clone(), since: indicator.since }
}

fn breakers(health: &Health) -> Findings {
    let mut found = Findings::default();
    for indicator in &health.indicators {
        let Figures::Link(link) = &indicator.figures else { continue };
        let Some(breaker) = &link.breaker else { continue };
        match breaker.state {
            // Half open is how an open one finds out that it should stay so.
            BreakerState::Open | BreakerState::HalfOpen => found.firing.push(open(link, breaker)),
            // It is closed from the start, and knows nothing until an attempt succeeded or enough of them failed.
            BreakerState::Closed if !link.connected => drop(found.unsure.insert(link.name.clone())),
            BreakerState::Closed | BreakerState::ForcedOpen | BreakerState::ForcedClosed => {}
        }
    }
    found
}

fn open(link: &Link, breaker: &Breaker) -> Firing {
    let error = link.last_error.as_ref().map(|error| format!("; last: {error}")).unwrap_or_default();
    let failures = breaker.consecutive_failures;
    let what = format!(
        "link `{}` is not reached: its breaker has opened after {failures} failures in a row{error}",
        link.name
    );
    Firing { subject: link.name.clone(), what, since: Some(breaker.since) }
}

/// One finding per worker of the configuration, however many of its processes die: what kills one kills the others.
fn restarted(health: &Health, restarts: &Restarts, most: u64, within: Duration) -> Findings {
    let known = restarts.knows(health.at, within);
    let mut by_worker: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut unsure = BTreeSet::new();
    for indicator in &health.indicators {
        let Figures::Process(process) = &indicator.figures else { continue };
        let count = restarts.of(&indicator.name);
        let what = if process.state == ProcessState::Exhausted {
            indicator.what.clone()
        } else if count > most {
            let end = process.last_end.as_ref().map(|end| format!("; it last {end}")).unwrap_or_default();
            format!(
                "process `{}` was started again {count} times within {}{end}",
                process.name,
                spoken(within)
            )
        } else {
            if !known {
                unsure.insert(process.worker.clone());
            }
            continue;
        };
        by_worker.entry(&process.worker).or_default().push(what);
    }
    let firing = by_worker.into_iter().map(|(worker, mut found)| {
        let others = match found.len() {
            1 => String::new(),
            count => format!("; so it is with {} others of worker `{worker}`", count - 1),
        };
        Firing { subject: worker.to_owned(), what: found.swap_remove(0) + &others, since: None }
    });
    Findings { firing: firing.collect(), unsure }
}

/// What a server counted for so long covers the day, but for the part of it that is being forgotten.
const A_DAY: Duration = Duration::from_secs(20 * 3_600);

/// Of few ends chance would tell: they are no finding, and nothing at all in the first day of a server, which knows of none
/// before.
fn success(health: &Health, least: f64) -> Option<Findings> {
    let recovery = health.indicators.iter().find_map(|indicator| match &indicator.figures {
        Figures::Recovery(recovery) => Some((indicator, recovery)),
        _ => None,
    });
    let (indicator, recovery) = recovery?;
    let (finished, ended) = (recovery.finished, recovery.ended);
    let Some(rate) = recovery.success_rate.filter(|_| ended >= Limits::default().fewest_ended) else {
        let known = between(recovery.counted_since, health.at) >= A_DAY;
        return known.then(Findings::default);
    };
    let what = || {
        format!(
            "only {finished} of {ended} recovered jobs that ended within a day finished; see by which rules they were recovered"
        )
    };
    let firing =
        (rate < least).then(|| Firing { subject: indicator.name.clone(), what: what(), since: None });
    Some(firing.into_iter().collect::<Vec<_>>().into())
}

#[cfg(test)]
mod tests;
