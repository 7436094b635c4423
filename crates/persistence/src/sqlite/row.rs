//! Rows of the `job` table as jobs, and what to do with rows that are none.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use reclaimer_domain::job::{EndedLease, Job, Lease, NewJob, Priority, Progress, Status};
use reclaimer_domain::ports::BrokenRow;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::counts::Place;
use super::stamp::{Stamp, read_stamp};

/// The columns of [`Row`], in order.
macro_rules! job_columns {
    () => {
        "id, queue, command, full_path, account_id, spawned_from, payload, status, priority, progress, \
         resume_state, attempt, max_attempts, recoveries, recover_after, run_at, timeout_seconds, unique_key, \
         worker_id, lease_token, lease_expires_at, lease_excused, lease_epoch, lease_losses, ended_lease, ended_as, \
         last_report, created_at, updated_at, started_at, finished_at, longest_silence_ms, \
         counted_in, counted_as"
    };
}
pub(crate) use job_columns;

type Maybe = Nullable<Text>;

/// The types of [`job_columns`] in SQL.
pub(crate) type RowSql = (
    (Text, Text, Text, Maybe, Maybe, Maybe, Text, Text, BigInt, Text, Maybe),
    (BigInt, BigInt, BigInt, Maybe, Text, Nullable<BigInt>, Maybe),
    (Maybe, Maybe, Maybe, BigInt, BigInt, BigInt, Maybe, Maybe, Maybe),
    (Text, Text, Maybe, Maybe, BigInt, Maybe, Maybe),
);

/// A row as stored.
pub(crate) type Row = (
    (
        String,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<String>,
        String,
        String,
        i64,
        String,
        Option<String>,
    ),
    (i64, i64, i64, Option<String>, String, Option<i64>, Option<String>),
    (
        Option<String>,
        Option<String>,
        Option<String>,
        i64,
        i64,
        i64,
        Option<String>,
        Option<String>,
        Option<String>,
    ),
    (String, String, Option<String>, Option<String>, i64, Option<String>, Option<String>),
);

/// A row that cannot be read: what is wrong with it, and a job made from what could be.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The id as stored.
    pub(crate) id: String,
    /// The status as stored.
    pub(crate) status: String,
    /// Under what the row is counted.
    pub(crate) counted: Option<Place>,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// The job with defaults in the place of what could not be read.
    pub(crate) salvage: Job,
}

/// One column that cannot be read.
#[derive(Debug)]
pub(crate) struct Fault {
    column: &'static str,
    stored: String,
    reason: String,
}

/// The most characters of an unreadable value that are kept in its event.
const MOST_KEPT: usize = 4_096;

impl Unreadable {
    /// What is wrong, in one line.
    pub(crate) fn reason(&self) -> String {
        let faults = self.faults.iter().map(|fault| format!("`{}`: {}", fault.column, fault.reason));
        faults.collect::<Vec<_>>().join("; ")
    }

    /// Whether this column is one of those that could not be read.
    pub(crate) fn is_faulty(&self, column: &str) -> bool {
        self.faults.iter().any(|fault| fault.column == column)
    }

    /// The stored values that could not be read, as evidence.
    pub(crate) fn evidence(&self) -> Value {
        let kept = |fault: &Fault| {
            let stored: String = fault.stored.chars().take(MOST_KEPT).collect();
            (fault.column.to_owned(), Value::from(stored))
        };
        json!({ "stored": self.faults.iter().map(kept).collect::<Map<_, _>>() })
    }

    /// How it is reported.
    pub(crate) fn broken(&self) -> BrokenRow {
        BrokenRow { id: self.id.clone(), status: self.status.clone(), reason: self.reason() }
    }
}

/// Reads cells one by one, and remembers what could not be read.
#[derive(Debug, Default)]
struct Cells {
    faults: Vec<Fault>,
}

impl Cells {
    fn fault(&mut self, column: &'static str, stored: impl Display, reason: impl Display) {
        self.faults.push(Fault { column, stored: stored.to_string(), reason: reason.to_string() });
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, column: &'static str, text: &str) -> Option<T> {
        text.parse().map_err(|error| self.fault(column, text, error)).ok()
    }

    fn maybe<T: FromStr<Err: Display>>(&mut self, column: &'static str, text: Option<&str>) -> Option<T> {
        text.and_then(|text| self.parsed(column, text))
    }

    fn stamp(&mut self, column: &'static str, text: Option<&str>) -> Option<DateTime<Utc>> {
        let text = text?;
        let at = read_stamp(text);
        if at.is_none() {
            self.fault(column, text, "not a timestamp YYYY-MM-DD HH:MM:SS.ffffff");
        }
        at
    }

    fn json(&mut self, column: &'static str, text: &str) -> Option<Value> {
        serde_json::from_str(text)
            .map_err(|error| self.fault(column, text, format!("not JSON: {error}")))
            .ok()
    }

    fn count<T: TryFrom<i64> + Default>(&mut self, column: &'static str, number: i64) -> T {
        number.try_into().unwrap_or_else(|_| {
            self.fault(column, number, "out of range");
            T::default()
        })
    }
}

/// Reads a row.
pub(crate) fn read_row(row: Row) -> Result<Job, Box<Unreadable>> {
    let (
        (
            id,
            queue,
            command,
            full_path,
            account_id,
            spawned_from,
            payload,
            status,
            priority,
            progress,
            resume_state,
        ),
        (attempt, max_attempts, recoveries, recover_after, run_at, timeout_seconds, unique_key),
        (
            worker_id,
            lease_token,
            lease_expires_at,
            lease_excused,
            lease_epoch,
            lease_losses,
            ended,
            ended_as,
            last,
        ),
        (created_at, updated_at, started_at, finished_at, longest_silence_ms, counted_in, counted_as),
    ) = row;
    let mut cells = Cells::default();
    let created = cells.stamp("created_at", Some(&created_at)).unwrap_or_default();
    let job_id = cells.parsed("id", &id);
    let order = NewJob {
        queue: cells.parsed("queue", &queue).unwrap_or_default(),
        full_path,
        account_id: cells.maybe("account_id", account_id.as_deref()),
        spawned_from: cells.maybe("spawned_from", spawned_from.as_deref()),
        payload: cells.json("payload", &payload).unwrap_or_else(|| json!({})),
        priority: match Priority::try_from(priority) {
            Ok(priority) => priority,
            Err(error) => {
                cells.fault("priority", priority, error);
                Priority::default()
            }
        },
        run_at: cells.stamp("run_at", Some(&run_at)),
        max_attempts: cells.count("max_attempts", max_attempts),
        timeout: timeout_seconds.map(|seconds| Duration::from_secs(cells.count("timeout_seconds", seconds))),
        unique_key: cells.maybe("unique_key", unique_key.as_deref()),
        ..NewJob::of(cells.parsed("command", &command).unwrap_or_else(unreadable_name))
    };
    let mut job = Job::new(job_id.unwrap_or_else(unreadable_name), order, created);
    job.status = cells.parsed("status", &status).unwrap_or(Status::Queued);
    job.progress = match cells.json("progress", &progress) {
        Some(Value::Object(object)) => object,
        Some(_) => {
            cells.fault("progress", &progress, "not a JSON object");
            Progress::new()
        }
        None => Progress::new(),
    };
    job.resume_state = resume_state.as_deref().and_then(|text| cells.json("resume_state", text));
    job.attempt = cells.count("attempt", attempt);
    job.recoveries = cells.count("recoveries", recoveries);
    job.recover_after = cells.stamp("recover_after", recover_after.as_deref());
    job.lease = lease(&mut cells, worker_id.as_deref(), lease_token.as_deref(), lease_expires_at.as_deref());
    if let Some(lease) = &mut job.lease {
        lease.excused = lease_excused != 0;
    }
    job.lease_epoch = cells.count("lease_epoch", lease_epoch);
    job.lease_losses = cells.count("lease_losses", lease_losses);
    job.ended_lease = ended.as_deref().zip(ended_as.as_deref()).and_then(|(token, ended_as)| {
        let ended_as = cells.json("ended_as", ended_as)?;
        let worker = cells.parsed("ended_as", ended_as.get("worker")?.as_str()?)?;
        let became = cells.parsed("ended_as", ended_as.get("became")?.as_str()?)?;
        Some(EndedLease { worker, token: cells.parsed("ended_lease", token)?, became })
    });
    if let Some(last) = last.as_deref().and_then(|text| cells.json("last_report", text)) {
        job.report_stamp = last.get("at").and_then(Value::as_str).and_then(read_stamp);
        let digests = last.get("digests").and_then(Value::as_array).into_iter().flatten();
        // Rows of an older version have one.
        let digests = digests.chain(last.get("digest")).filter_map(Value::as_str);
        job.report_digests = digests.map(ToOwned::to_owned).collect();
    }
    job.updated_at = cells.stamp("updated_at", Some(&updated_at)).unwrap_or(created);
    job.started_at = cells.stamp("started_at", started_at.as_deref());
    job.finished_at = cells.stamp("finished_at", finished_at.as_deref());
    job.longest_silence = Duration::from_millis(cells.count("longest_silence_ms", longest_silence_ms));
    if cells.faults.is_empty() {
        Ok(job)
    } else {
        let counted = Place::of(counted_in, counted_as);
        Err(Box::new(Unreadable { id, status, counted, faults: cells.faults, salvage: job }))
    }
}

/// A lease, when the row has one. Half a lease counts as none: recovery finds such a job by its silence.
fn lease(
    cells: &mut Cells,
    worker: Option<&str>,
    token: Option<&str>,
    expires_at: Option<&str>,
) -> Option<Lease> {
    let worker = cells.maybe("worker_id", worker);
    let token = token.and_then(|text| match text.parse() {
        Ok(token) => Some(token),
        Err(error) => {
            cells.fault("lease_token", "***", error);
            None
        }
    });
    let expires_at = cells.stamp("lease_expires_at", expires_at);
    Some(Lease { worker: worker?, token: token?, expires_at: expires_at?, excused: false })
}

/// Stands in for a name that cannot be read.
fn unreadable_name<T: FromStr<Err: std::fmt::Debug>>() -> T {
    match "unreadable".parse() {
        Ok(name) => name,
        Err(error) => unreachable!("a plain word is a name: {error:?}"),
    }
}

/// What the `ended_as` column says.
#[derive(Serialize)]
struct EndedAs<'a> {
    worker: &'a str,
    became: &'a str,
}

/// The `ended_as` column.
pub(crate) fn ended_as(ended: &EndedLease) -> String {
    let words = EndedAs { worker: ended.worker.as_str(), became: ended.became.as_str() };
    serde_json::to_string(&words).unwrap_or_else(|_| "{}".to_owned())
}

/// The `last_report` column.
pub(crate) fn last_report(job: &Job) -> Option<String> {
    let at = Stamp::of(job.report_stamp?);
    Some(json!({ "at": at.as_str(), "digests": job.report_digests }).to_string())
}
