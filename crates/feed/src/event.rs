//! What is told, and in which words.

use chrono::{DateTime, Utc};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::id::RunId;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::RunBegun;
use reclaimer_domain::recovery::{RecoveryType, RunReport, Trigger};
use reclaimer_domain::time::{millis, millis_option};
use serde::{Serialize, Serializer};

/// Something that happened, other than to a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A recovery run began or ended.
    Run(Run),
    /// A link's breaker changed.
    Breaker(BreakerChange),
    /// A worker's connection or process changed.
    Worker(WorkerChange),
    /// How it stands, and what went through in the last second.
    Stats(Stats),
}

/// Whether a run begins or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It begins.
    Begun,
    /// It is over, and on record.
    Ended,
}

/// A recovery run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its name.
    pub run_id: RunId,
    /// Whether it begins or is over.
    pub state: RunState,
    /// When.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// What it looks at.
    #[serde(rename = "type")]
    pub kind: RecoveryType,
    /// What set it off.
    pub trigger: Trigger,
    /// Whether nothing is changed, by request.
    pub dry_run: bool,
    /// What it did, once it is over.
    #[serde(flatten)]
    pub counts: Option<RunCounts>,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCounts {
    /// False where the run itself broke off.
    pub success: bool,
    /// Jobs queued again.
    pub recovered_jobs: u32,
    /// Jobs that should have been, and could not.
    pub failed_recoveries: u32,
    /// Jobs looked at and not changed.
    pub skipped_jobs: u32,
    /// Jobs set aside for a person.
    pub quarantined_jobs: u32,
    /// How long it took.
    pub duration_ms: u64,
    /// Whether it stopped with work left.
    pub more: bool,
    /// One line for people.
    pub message: String,
}

impl Run {
    /// A run that begins; `None` for a look for expired leases, which is told of when it found something.
    #[must_use]
    pub fn begun(run: &RunBegun) -> Option<Self> {
        (run.trigger != Trigger::LeaseWatch).then(|| Self {
            run_id: run.run.clone(),
            state: RunState::Begun,
            at: run.at,
            kind: run.kind,
            trigger: run.trigger,
            dry_run: run.dry_run,
            counts: None,
        })
    }

    /// A run that is over; `None` for a look for expired leases that found nothing to look at.
    #[must_use]
    pub fn ended(report: &RunReport, at: DateTime<Utc>) -> Option<Self> {
        let result = &report.result;
        if result.trigger == Trigger::LeaseWatch && report.success && result.decisions.is_empty() {
            return None;
        }
        Some(Self {
            run_id: result.run_id.clone(),
            state: RunState::Ended,
            at,
            kind: report.kind,
            trigger: result.trigger,
            dry_run: result.dry_run,
            counts: Some(RunCounts {
                success: report.success,
                recovered_jobs: result.recovered_jobs,
                failed_recoveries: result.failed_recoveries,
                skipped_jobs: result.skipped_jobs,
                quarantined_jobs: result.quarantined_jobs,
                duration_ms: result.duration_ms,
                more: result.more,
                message: report.message.clone(),
            }),
        })
    }
}

/// A link's breaker that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerChange {
    /// Which link's.
    pub link: String,
    /// When it was seen.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// The state that was seen before.
    pub from: &'static str,
    /// The state now.
    pub to: &'static str,
    /// How many attempts failed in a row.
    pub consecutive_failures: u32,
    /// When the next probe may be made.
    #[serde(with = "millis_option")]
    pub next_probe_at: Option<DateTime<Utc>>,
}

/// What of a worker changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerOf {
    /// Its connection.
    Connection,
    /// Its supervised process.
    Process,
}

/// A worker's connection or process that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerChange {
    /// Which worker's, or which process.
    pub name: String,
    /// What changed.
    pub of: WorkerOf,
    /// When it was seen.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// Over which link; none for a process.
    pub link: Option<String>,
    /// The state that was seen before; none where there was no such connection or process.
    pub from: Option<&'static str>,
    /// The state now; none where there is none any more.
    pub to: Option<&'static str>,
}

/// How it stands, and what went through since the last time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// When.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// Jobs per state, every state named; none while the store cannot tell.
    #[serde(serialize_with = "per_state")]
    pub jobs: Option<Vec<(Status, u64)>>,
    /// What went through.
    #[serde(flatten)]
    pub flow: Flow,
    /// Within how many milliseconds.
    pub within_ms: u64,
}

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Jobs claimed.
    pub claimed: u64,
    /// Reports that ended or paused a job.
    pub reported: u64,
    /// Jobs that recovery queued again.
    pub recovered: u64,
}

impl Flow {
    /// Counts what happened to a job.
    pub(crate) fn count(&mut self, entry: &HistoryEntry) {
        match (entry.kind, &entry.actor) {
            (EventKind::Claimed, _) => self.claimed += 1,
            (EventKind::Finished | EventKind::Failed | EventKind::Paused, Actor::Worker(_)) => {
                self.reported += 1
            }
            (EventKind::Recovered | EventKind::Reclaimed, _) if entry.to == Some(Status::Queued) => {
                self.recovered += 1;
            }
            _ => {}
        }
    }
}

fn per_state<S: Serializer>(jobs: &Option<Vec<(Status, u64)>>, serializer: S) -> Result<S::Ok, S::Error> {
    match jobs {
        Some(jobs) => serializer.collect_map(jobs.iter().map(|(status, jobs)| (status.as_str(), jobs))),
        None => serializer.serialize_none(),
    }
}
