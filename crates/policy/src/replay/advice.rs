//! Which limit for silences the observed ones advise.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::history::{EventKind, HistoryEntry};
use reclaimer_domain::id::JobId;
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::ports::Recorded;
use reclaimer_domain::saw::Saw;
use reclaimer_domain::time::{between, spoken};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stuck::StuckLimits;

/// The limits that are looked at beside the present one, in seconds.
const LADDER: [u64; 12] =
    [60, 300, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800];

/// Gathers how long live jobs were silent, per queue and command.
///
/// A job was alive if its holder reported its end, in time or too late. How long it was never heard of at most is on
/// record with that end.
#[derive(Debug)]
pub struct Advisor {
    stuck: StuckLimits,
    groups: BTreeMap<(QueueName, Command), Group>,
    /// Jobs that were taken back because of their silence: when they were last heard of.
    taken: BTreeMap<JobId, DateTime<Utc>>,
}

#[derive(Debug, Default)]
struct Group {
    ran: Vec<u64>,
    silent: Vec<u64>,
    taken: u64,
    taken_alive: u64,
}

/// What the observed silences of one kind of jobs advise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// The queue.
    pub queue: String,
    /// The command.
    pub command: String,
    /// How many attempts were observed whose worker reported the end.
    pub attempts: u64,
    /// For how long they ran.
    pub ran: Spread,
    /// For how long each was never heard of at most.
    pub silent: Spread,
    /// How many jobs were taken back for their silence.
    pub taken: u64,
    /// How many of these were alive: their workers reported the end afterwards.
    pub taken_alive: u64,
    /// The limit in force, in seconds; null = they may stay silent for ever.
    pub stuck_after: Option<u64>,
    /// What other limits would have done, shortest first; the one in force among them.
    pub would_take: Vec<WouldTake>,
    /// The shortest of these limits that leaves a quarter of room above the longest silence, in seconds; null when none
    /// does.
    pub advised: Option<u64>,
    /// All of it in one sentence.
    pub summary: String,
}

/// How lengths of time are spread, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half are not longer than this.
    pub p50: u64,
    /// 99 of 100 are not longer than this.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// How many live jobs a limit would have taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WouldTake {
    /// The limit, in seconds.
    pub stuck_after: u64,
    /// How many jobs.
    pub live_jobs: u64,
}

impl Advisor {
    /// An advisor that has seen nothing yet. `stuck` are the limits in force.
    #[must_use]
    pub fn new(stuck: StuckLimits) -> Self {
        Self { stuck, groups: BTreeMap::new(), taken: BTreeMap::new() }
    }

    /// Takes the next event. Events come in the order in which they happened.
    pub fn event(&mut self, recorded: &Recorded) {
        let entry = &recorded.event.entry;
        let id = &recorded.event.job_id;
        match entry.kind {
            EventKind::Finished | EventKind::Failed | EventKind::Paused => {
                self.taken.remove(id);
                if let Some((ran, silent)) = measured(entry) {
                    let group = self.group(recorded);
                    group.ran.push(ran);
                    group.silent.push(silent);
                }
            }
            EventKind::Reclaimed | EventKind::Quarantined => {
                if let Some(since) = silent_since(entry) {
                    self.group(recorded).taken += 1;
                    self.taken.insert(id.clone(), since);
                }
            }
            EventKind::StaleReport if is_result(entry) => {
                if let Some(since) = self.taken.remove(id) {
                    let silent = between(since, entry.at).as_secs();
                    let group = self.group(recorded);
                    group.taken_alive += 1;
                    group.silent.push(silent);
                }
            }
            EventKind::Claimed | EventKind::Cancelled => {
                self.taken.remove(id);
            }
            EventKind::StaleReport
            | EventKind::Created
            | EventKind::Resumed
            | EventKind::Released
            | EventKind::Recovered
            | EventKind::NotRecovered
            | EventKind::Retried
            | EventKind::Unquarantined
            | EventKind::SetAside
            | EventKind::Evidence
            | EventKind::LateAccepted
            | EventKind::Undone => {}
        }
    }

    fn group(&mut self, recorded: &Recorded) -> &mut Group {
        self.groups.entry((recorded.queue.clone(), recorded.command.clone())).or_default()
    }

    /// The advice for each queue and command, most attempts first.
    #[must_use]
    pub fn finish(self) -> Vec<Advice> {
        let Self { stuck, groups, .. } = self;
        let advice =
            groups.into_iter().map(|((queue, command), group)| group.advice(&queue, &command, &stuck));
        let mut advice: Vec<Advice> = advice.collect();
        advice.sort_by_key(|advice| std::cmp::Reverse(advice.attempts));
        advice
    }
}

impl Group {
    fn advice(mut self, queue: &QueueName, command: &Command, stuck: &StuckLimits) -> Advice {
        self.ran.sort_unstable();
        self.silent.sort_unstable();
        let stuck_after = stuck.limit(queue, command).map(|limit| limit.as_secs());
        let would_take = |limit: u64| {
            let shorter = self.silent.partition_point(|silent| *silent < limit);
            WouldTake { stuck_after: limit, live_jobs: (self.silent.len() - shorter) as u64 }
        };
        let mut limits: Vec<u64> = LADDER.into_iter().chain(stuck_after).collect();
        limits.sort_unstable();
        limits.dedup();
        let silent = Spread::of(&self.silent);
        let room = silent.max.saturating_add(silent.max / 4);
        let advised = LADDER.into_iter().find(|limit| *limit > room && !self.silent.is_empty());
        let mut advice = Advice {
            queue: queue.to_string(),
            command: command.to_string(),
            attempts: self.ran.len() as u64,
            ran: Spread::of(&self.ran),
            silent,
            taken: self.taken,
            taken_alive: self.taken_alive,
            stuck_after,
            would_take: limits.into_iter().map(would_take).collect(),
            advised,
            summary: String::new(),
        };
        advice.summary = advice.sentence();
        advice
    }
}

impl Advice {
    fn taken_by(&self, limit: u64) -> u64 {
        self.would_take.iter().find(|it| it.stuck_after == limit).map_or(0, |it| it.live_jobs)
    }

    fn sentence(&self) -> String {
        let said = |seconds: u64| spoken(Duration::from_secs(seconds));
        let live = |count: u64| match count {
            0 => "no live job".to_owned(),
            1 => "1 live job".to_owned(),
            count => format!("{count} live jobs"),
        };
        let present = match self.stuck_after {
            None => "silence never counts now".to_owned(),
            Some(limit) => {
                format!("`stuck_after` of {} would have taken {}", said(limit), live(self.taken_by(limit)))
            }
        };
        let longest = said(self.silent.max);
        match (self.stuck_after, self.advised) {
            (_, None) if self.silent.max == 0 => format!("{present}; too little is on record"),
            (_, None) => format!(
                "{present}; the longest silence of a live job was {longest}: none of the usual limits is long enough"
            ),
            (Some(limit), Some(advised)) if limit == advised => {
                format!("{present}, and the longest silence of a live job was {longest}: it fits")
            }
            (_, Some(advised)) => format!(
                "{present}; {} would have taken {}, and leaves room above the longest silence of a live job, {longest}",
                said(advised),
                live(self.taken_by(advised)),
            ),
        }
    }
}

impl Spread {
    fn of(sorted: &[u64]) -> Self {
        let at = |hundredths: usize| {
            let place = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
            sorted.get(place).copied().unwrap_or(0)
        };
        Self { p50: at(50), p99: at(99), max: sorted.last().copied().unwrap_or(0) }
    }
}

/// How long an attempt ran and was silent, in seconds rounded up, if its end says so.
fn measured(entry: &HistoryEntry) -> Option<(u64, u64)> {
    let detail = entry.detail.as_ref()?;
    let seconds = |key: &str| Some(detail.get(key)?.as_u64()?.div_ceil(1_000));
    Some((seconds("ranMs")?, seconds("longestSilenceMs")?))
}

/// When a job was last heard of that this decision took for its silence.
fn silent_since(entry: &HistoryEntry) -> Option<DateTime<Utc>> {
    let saw: Saw = serde::Deserialize::deserialize(entry.detail.as_ref()?.get("saw")?).ok()?;
    (saw.sign == Some(StuckSign::NoUpdate)).then_some(saw.since)
}

/// Whether a stale report told the end of a job.
fn is_result(entry: &HistoryEntry) -> bool {
    let reported = entry.detail.as_ref().and_then(|detail| detail.get("reported")).and_then(Value::as_str);
    matches!(reported, Some("completed" | "failed"))
}
