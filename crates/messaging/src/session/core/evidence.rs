//! What a worker says beside its reports: kept in the history of a job, or shown; never much of it.

use reclaimer_domain::id::JobId;
use serde_json::{Map, Value, json};

use super::Core;
use crate::session::effect::Effect;

/// Evidence about one attempt is kept so many times.
const MOST: u32 = 5;

/// So many jobs that a worker held last are remembered: what it logged about one may come after its last report.
const REMEMBERED: usize = 32;

/// Of evidence, so many fields are kept, and of each so many characters.
const MOST_FIELDS: usize = 16;
const MOST_TEXT: usize = 2_000;

/// A status of more bytes is not shown.
const MOST_STATUS: usize = 16 * 1_024;

/// A job that the worker held.
#[derive(Debug)]
pub(super) struct Ended {
    job: JobId,
    evidence: u32,
}

impl Core {
    pub(super) fn remember_ended(&mut self, job: JobId, evidence: u32) {
        self.ended.push_back(Ended { job, evidence });
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
    }

    /// A worker logged a failure, and all that it said before has had its effect.
    pub(super) fn logged(&mut self, job: JobId, detail: Value) -> Vec<Effect> {
        let held = self.held.values_mut().find(|held| held.job == job).map(|held| &mut held.evidence);
        let ended = self.ended.iter_mut().rfind(|ended| ended.job == job).map(|ended| &mut ended.evidence);
        match held.or(ended) {
            None => {
                let reason = "this connection neither holds the job nor held it last";
                vec![Effect::Decline { job, reason }]
            }
            Some(kept) if *kept >= MOST => {
                vec![Effect::Decline { job, reason: "enough is kept about this attempt" }]
            }
            Some(kept) => {
                *kept += 1;
                vec![Effect::Testify { job, detail: clipped(detail) }]
            }
        }
    }
}

/// The beginning of each of the first fields.
fn clipped(detail: Value) -> Value {
    let Value::Object(fields) = detail else { return Value::Null };
    let left_out = fields.len().saturating_sub(MOST_FIELDS);
    let mut kept: Map<String, Value> = fields
        .into_iter()
        .take(MOST_FIELDS)
        .map(|(key, value)| {
            let value = match value {
                Value::String(text) => text.chars().take(MOST_TEXT).collect::<String>().into(),
                value => smaller(value, MOST_TEXT),
            };
            (key.chars().take(64).collect(), value)
        })
        .collect();
    if left_out > 0 {
        kept.insert("dropped".to_owned(), format!("{left_out} more fields").into());
    }
    Value::Object(kept)
}

/// A status, or how large it is.
pub(super) fn status(status: Value) -> Value {
    smaller(status, MOST_STATUS)
}

fn smaller(value: Value, most: usize) -> Value {
    match value.to_string().len() {
        size if size > most => json!({ "dropped": format!("{size} bytes; at most {most} are kept") }),
        _ => value,
    }
}
