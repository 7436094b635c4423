//! What the log hears of a peer: enough to know what is wrong with it, and however much it sends, little.

use std::time::Duration;

use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::ReportAnswer;
use reclaimer_domain::wire::InvalidReport;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::effect::Done;
use super::run::{AREA, Session};
use crate::frame::Fault;
use crate::message::{BadRequest, Heard, Inbound, Unreadable};

/// Of each kind of line the log hears so many of one connection at most, within this time.
const WITHIN: Duration = Duration::from_secs(10);
const MOST: u32 = 5;

/// Lines of one kind.
#[derive(Debug)]
struct Lines {
    most: u32,
    since: Instant,
    said: u32,
    left_out: u64,
}

impl Lines {
    fn new(most: u32, now: Instant) -> Self {
        Self { most, since: now, said: 0, left_out: 0 }
    }

    /// Whether one more may be said; with how many were left out before it.
    fn may_say(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= WITHIN {
            (self.since, self.said) = (now, 0);
        }
        if self.said >= self.most {
            self.left_out += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The lines of one connection.
#[derive(Debug)]
pub(super) struct Said {
    rubbish: Lines,
    unreadable: Lines,
    refused: Lines,
    unwritten: Lines,
}

impl Said {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            // Rubbish is all the same; of the others each may be different.
            rubbish: Lines::new(1, now),
            unreadable: Lines::new(MOST, now),
            refused: Lines::new(MOST, now),
            unwritten: Lines::new(1, now),
        }
    }
}

impl Session {
    /// Says which message had no effect.
    pub(super) fn say_unheard(&mut self, heard: &Result<Heard, Unreadable>, now: Instant) {
        let (link, worker_id) = (&self.context.link, self.core.worker());
        let reason = match heard {
            Ok(Heard::Message(Inbound::BadRequest(
                BadRequest::Jobs { reason, .. } | BadRequest::Credentials { reason, .. },
            ))) => reason.clone(),
            Ok(Heard::Message(_)) => return,
            Ok(Heard::Foreign { destination }) => {
                debug!(area = AREA, link, %worker_id, destination, "a message for somebody else was dropped");
                return;
            }
            Ok(Heard::Unknown { kind }) => {
                debug!(area = AREA, link, %worker_id, kind, "a message of no known kind was ignored");
                return;
            }
            Err(unreadable) => unreadable.without_content(),
        };
        if let Some(left_out) = self.said.unreadable.may_say(now) {
            warn!(area = AREA, link, %worker_id, left_out, reason, "a message was ignored");
        }
    }

    /// Says that there was rubbish, with a sample.
    pub(super) fn say_rubbish(&mut self, fault: &Fault, sample: &[u8], now: Instant) {
        if let Some(left_out) = self.said.rubbish.may_say(now) {
            let (link, worker_id, sample) = (&self.context.link, self.core.worker(), masked(sample));
            warn!(area = AREA, link, %worker_id, left_out, %fault, sample, "rubbish on the link was skipped");
        }
    }

    /// Says which report was refused: its sender may be one who gets no receipts.
    pub(super) fn say_refused(&mut self, done: &Done, now: Instant) {
        let (subject, code, reason) = match done {
            Done::Refused { subject, code, message } => (subject, code.as_str(), message.clone()),
            Done::Reported { subject, outcome: Ok(ReportAnswer::Refused(refused)), .. } => {
                (subject, refused.code(), refused.to_string())
            }
            Done::Reported { subject, outcome: Err(error), .. } => (subject, error.code(), error.to_string()),
            _ => return,
        };
        if let Some(left_out) = self.said.refused.may_say(now) {
            let (link, worker_id) = (&self.context.link, self.core.worker());
            let job_id = subject.task.as_deref().unwrap_or_default();
            warn!(area = AREA, link, %worker_id, job_id, code, left_out, reason, "a report was refused");
        }
    }

    /// Says that what was sent about a job is not kept.
    pub(super) fn say_declined(&mut self, job_id: &JobId, reason: &'static str) {
        if let Some(left_out) = self.said.refused.may_say(Instant::now()) {
            let (link, worker_id) = (&self.context.link, self.core.worker());
            warn!(area = AREA, link, %worker_id, %job_id, left_out, reason, "evidence is not kept");
        }
    }

    /// Says what of a report could not be read.
    pub(super) fn say_left_out(&mut self, job_id: &JobId, faults: &[InvalidReport]) {
        if let Some(left_out) = self.said.refused.may_say(Instant::now()) {
            let (link, worker_id) = (&self.context.link, self.core.worker());
            let reason = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            warn!(area = AREA, link, %worker_id, %job_id, code = "invalid_report", left_out, reason, "a report counts without what could not be read");
        }
    }

    /// Says that something could not be said.
    pub(super) fn say_outbox_full(&mut self) {
        if let Some(left_out) = self.said.unwritten.may_say(Instant::now()) {
            let (link, worker_id) = (&self.context.link, self.core.worker());
            warn!(area = AREA, link, %worker_id, left_out, "a message was refused: too much waits to be written to this worker");
        }
    }
}

/// A sample of rubbish without what is in its texts, which may be secret. Where it is the beginning of an object, texts
/// can be told from the rest; elsewhere any letter may be of one.
fn masked(sample: &[u8]) -> String {
    let structured = sample.first() == Some(&b'{');
    let (mut in_text, mut escaped) = (false, false);
    let shown: Vec<u8> = sample
        .iter()
        .map(|byte| match byte {
            b'"' if structured && !escaped => {
                in_text = !in_text;
                b'"'
            }
            byte => {
                escaped = in_text && !escaped && *byte == b'\\';
                if (in_text || !structured) && byte.is_ascii_alphanumeric() { b'x' } else { *byte }
            }
        })
        .collect();
    shown.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_are_said_and_the_others_counted() {
        let now = Instant::now();
        let mut lines = Lines::new(2, now);
        let said: Vec<_> = (0..5).map(|_| lines.may_say(now)).collect();
        assert_eq!(said, [Some(0), Some(0), None, None, None]);
        assert_eq!(lines.may_say(now + WITHIN), Some(3));
        assert_eq!(lines.may_say(now + WITHIN), Some(0));
    }

    #[test]
    fn a_sample_shows_no_texts() {
        assert_eq!(
            masked(br#"{"a": 17, "lease": "SECRET\"1"}}"#),
            r#"{\"x\": 17, \"xxxxx\": \"xxxxxx\\\"x\"}}"#
        );
        assert_eq!(masked(b"ecret\",1}\xff"), "xxxxx\\\",x}\\xff");
    }
}
