//! An event as text.

use std::io::Write;

use chrono::{DateTime, Utc};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::{Command, QueueName, RuleName};
use reclaimer_domain::ports::{Change, Recorded};
use reclaimer_domain::time::millis;
use serde::Serialize;
use tracing::error;

use crate::event::Event;
use crate::filter::Topic;
use crate::place::Place;

/// Longer reasons are cut: an event is for a glance, and the history has all of it.
const MOST_REASON: usize = 1_000;

/// What can be told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'a> {
    /// Something happened to a job.
    Change(&'a Change),
    /// The same, as the history has it.
    Recorded(&'a Recorded),
    /// Something else happened.
    Other(&'a Event),
    /// Something is not told.
    Gap(Gap),
}

/// Something is not told: the reader loads anew what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Gap {
    /// Whether events of jobs are among it; otherwise it is only runs, breakers, workers and statistics.
    pub(crate) jobs: bool,
}

impl Told<'_> {
    pub(crate) fn topic(&self) -> Topic {
        match self {
            Self::Change(_) | Self::Recorded(_) => Topic::Job,
            Self::Other(Event::Run(_)) => Topic::Run,
            Self::Other(Event::Breaker(_)) => Topic::Breaker,
            Self::Other(Event::Worker(_)) => Topic::Worker,
            Self::Other(Event::Stats(_)) => Topic::Stats,
            Self::Gap(_) => Topic::Gap,
        }
    }

    /// Appends it as server-sent events have it, with the place to go on from.
    pub(crate) fn write(&self, text: &mut Vec<u8>, place: Place) {
        let begin = text.len();
        let head = write!(text, "id: {place}\nevent: {}\ndata: ", self.topic().as_str());
        let written = head.map_err(serde_json::Error::io).and_then(|()| match self {
            Self::Change(change) => serde_json::to_writer(&mut *text, &JobShape::from(*change)),
            Self::Recorded(recorded) => serde_json::to_writer(&mut *text, &JobShape::from(*recorded)),
            Self::Other(event) => serde_json::to_writer(&mut *text, event),
            Self::Gap(gap) => serde_json::to_writer(&mut *text, gap),
        });
        match written {
            Ok(()) => text.extend_from_slice(b"\n\n"),
            Err(error) => {
                text.truncate(begin);
                error!(area = "JOB-MANAGER", %error, "an event could not be written and is not told");
            }
        }
    }
}

/// Something that happened to a job. Its detail is not told: it may be large, and the history has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobShape<'a> {
    id: i64,
    job_id: &'a JobId,
    queue: &'a QueueName,
    command: &'a Command,
    #[serde(with = "millis")]
    at: DateTime<Utc>,
    kind: EventKind,
    from: Option<Status>,
    to: Option<Status>,
    actor: &'a Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a RuleName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> From<&'a Change> for JobShape<'a> {
    fn from(change: &'a Change) -> Self {
        let Change { event_id, job, queue, command, entry, .. } = change;
        Self::new(*event_id, job, queue, command, entry)
    }
}

impl<'a> From<&'a Recorded> for JobShape<'a> {
    fn from(recorded: &'a Recorded) -> Self {
        let Recorded { event, queue, command, .. } = recorded;
        Self::new(event.id, &event.job_id, queue, command, &event.entry)
    }
}

impl<'a> JobShape<'a> {
    fn new(
        id: i64,
        job_id: &'a JobId,
        queue: &'a QueueName,
        command: &'a Command,
        entry: &'a HistoryEntry,
    ) -> Self {
        let HistoryEntry { at, kind, from, to, actor, rule, reason, detail: _ } = entry;
        Self {
            id,
            job_id,
            queue,
            command,
            at: *at,
            kind: *kind,
            from: *from,
            to: *to,
            actor,
            rule: rule.as_ref(),
            reason: reason.as_deref().map(cut),
        }
    }
}

fn cut(reason: &str) -> &str {
    let end = reason.char_indices().nth(MOST_REASON).map(|(end, _)| end);
    end.and_then(|end| reason.get(..end)).unwrap_or(reason)
}
