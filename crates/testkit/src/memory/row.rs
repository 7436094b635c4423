//! One job with all that belongs to it.

use chrono::{DateTime, Utc};
use reclaimer_domain::history::{EventKind, HistoryEntry, JobEvent};
use reclaimer_domain::id::RunId;
use reclaimer_domain::job::{Job, LateResult, Progress, Status};
use reclaimer_domain::ports::{self, BrokenRow};
use serde_json::{Map, Value, json};

/// A row as found: a job, or what is wrong with it.
pub(super) type Found = Result<Job, BrokenRow>;

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) job: Job,
    /// What another program wrote over the job's `progress`, if it cannot be read.
    progress: Option<String>,
    /// What another program wrote over the job's status, if it is none.
    status: Option<String>,
    pub(super) events: Vec<JobEvent>,
    pub(super) late: Vec<LateResult>,
    /// What recovery changed last.
    pub(super) change: Option<Change>,
}

/// What a run changed.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) run: RunId,
    pub(super) at: DateTime<Utc>,
    pub(super) before: Job,
}

/// A column that cannot be read.
struct Fault<'a> {
    column: &'static str,
    stored: &'a str,
    reason: String,
}

impl Row {
    pub(super) fn new(job: Job) -> Self {
        Self { job, progress: None, status: None, events: Vec::new(), late: Vec::new(), change: None }
    }

    pub(super) fn write_progress(&mut self, text: &str) {
        match serde_json::from_str::<Progress>(text) {
            Ok(progress) => (self.job.progress, self.progress) = (progress, None),
            Err(_) => self.progress = Some(text.to_owned()),
        }
    }

    pub(super) fn write_status(&mut self, text: &str) {
        match text.parse() {
            Ok(status) => (self.job.status, self.status) = (status, None),
            Err(_) => self.status = Some(text.to_owned()),
        }
    }

    /// The status as stored, if it is one.
    pub(super) fn status(&self) -> Option<Status> {
        self.status.is_none().then_some(self.job.status)
    }

    /// The status as stored.
    pub(super) fn status_text(&self) -> &str {
        self.status.as_deref().unwrap_or(self.job.status.as_str())
    }

    /// Whether it holds its unique key.
    pub(super) fn is_live(&self) -> bool {
        self.status().is_none_or(|status| !status.is_terminal())
    }

    /// What happened to it after an event, as a listener is told.
    pub(super) fn changes_after(&self, event: i64) -> impl Iterator<Item = ports::Change> + '_ {
        self.events.iter().filter(move |its| its.id > event).map(|its| ports::Change {
            event_id: its.id,
            job: its.job_id.clone(),
            queue: self.job.queue.clone(),
            command: self.job.command.clone(),
            run_at: self.job.run_at,
            recoveries: self.job.recoveries,
            entry: its.entry.clone(),
        })
    }

    pub(super) fn read(&self) -> Found {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(self.job.clone());
        }
        let (id, status) = (self.job.id.to_string(), self.status_text().to_owned());
        Err(BrokenRow { id, status, reason: told(&faults) })
    }

    pub(super) fn is_broken(&self) -> bool {
        self.progress.is_some() || self.status.is_some()
    }

    fn faults(&self) -> Vec<Fault<'_>> {
        let mut faults = Vec::new();
        if let Some(stored) = &self.status {
            let reason = stored.parse::<Status>().err().map(|error| error.to_string()).unwrap_or_default();
            faults.push(Fault { column: "status", stored, reason });
        }
        if let Some(stored) = &self.progress {
            faults.push(Fault { column: "progress", stored, reason: "not a JSON object".to_owned() });
        }
        faults
    }

    /// What could be read of a row that cannot be, set aside; and what history says of it.
    pub(super) fn salvaged(
        &self,
        actor: reclaimer_domain::history::Actor,
        now: DateTime<Utc>,
    ) -> (Job, HistoryEntry) {
        let faults = self.faults();
        let stored = |fault: &Fault<'_>| (fault.column.to_owned(), Value::from(fault.stored));
        let stored = json!({ "stored": faults.iter().map(stored).collect::<Map<_, _>>() });
        let mut job = self.job.clone();
        if self.progress.is_some() {
            job.progress = Progress::new();
        }
        let entry = job.set_aside(self.status(), &told(&faults), stored, actor, now);
        (job, entry)
    }

    /// Writes a job over it that can be read.
    pub(super) fn mend(&mut self, job: Job) {
        (self.job, self.progress, self.status) = (job, None, None);
    }

    /// Whether its last event says the same as this one already. A stale report is no event of the job: it changed
    /// nothing.
    pub(super) fn repeats_last(&self, entry: &HistoryEntry) -> bool {
        let last = self.events.iter().rev().find(|event| event.entry.kind != EventKind::StaleReport);
        last.is_some_and(|last| entry.repeats(&last.entry))
    }
}

fn told(faults: &[Fault<'_>]) -> String {
    let one = |fault: &Fault<'_>| format!("`{}`: {}", fault.column, fault.reason);
    faults.iter().map(one).collect::<Vec<_>>().join("; ")
}
