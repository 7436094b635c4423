//! Creating jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::AccountId;
use reclaimer_domain::ports::{Create, Created, CreatedJob, Idempotency};
use reclaimer_domain::time::before;

use super::effects::Effects;
use super::statement::prepared;
use super::{event_table, job_table};

/// How long an idempotency key is remembered.
const KEY_KEPT: Duration = Duration::from_secs(86_400);

/// A job that is to be written, and its payload as text: what takes time is made before the writer gets it.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) job: Job,
    pub(crate) payload: String,
}

impl NewRow {
    pub(crate) fn of(job: Job) -> Self {
        let payload = job.payload.to_string();
        Self { job, payload }
    }
}

/// An order of jobs.
#[derive(Debug)]
pub(super) struct Order {
    rows: Vec<NewRow>,
    idempotency: Option<Idempotency>,
    actor: Actor,
    now: DateTime<Utc>,
}

impl Order {
    pub(super) fn new(order: Create) -> Self {
        let Create { jobs, idempotency, actor, now } = order;
        let rows = jobs.into_iter().map(|(id, new)| NewRow::of(Job::new(id, new, now))).collect();
        Self { rows, idempotency, actor, now }
    }

    /// Puts the job of an order of one into the answer, where it was created as it was ordered.
    pub(super) fn answer(&self, created: Created) -> Created {
        match (created, self.rows.as_slice()) {
            (Created::Done { jobs, single: None, replayed: false }, [only])
                if jobs.iter().all(|job| job.created) =>
            {
                Created::Done { jobs, single: Some(Box::new(only.job.clone())), replayed: false }
            }
            (created, _) => created,
        }
    }
}

/// Carries out an order; nothing is written unless the whole of it can be.
pub(super) fn create(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: &Order,
) -> QueryResult<Created> {
    let Order { rows, idempotency, actor, now } = order;
    let now = *now;
    if let Some(key) = idempotency
        && let Some(answer) = answered_before(conn, key, now)?
    {
        return Ok(answer);
    }
    let place_of =
        |parent: &JobId, before: usize| rows[..before].iter().position(|row| row.job.id == *parent);
    for (index, NewRow { job, .. }) in rows.iter().enumerate() {
        if let Some(account) = &job.account_id
            && !account_exists(conn, account)?
        {
            return Ok(Created::UnknownAccount { index, account: account.clone() });
        }
        if let Some(parent) = &job.spawned_from
            && place_of(parent, index).is_none()
            && !exists(conn, parent)?
        {
            return Ok(Created::UnknownParent { index, parent: parent.clone() });
        }
    }
    let mut answers: Vec<CreatedJob> = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let place = row.job.spawned_from.as_ref().and_then(|parent| place_of(parent, index));
        let answer = match place.map(|place| answers[place].id.clone()) {
            // Where the parent's key was held, its holder stands in the parent's place.
            Some(parent) if row.job.spawned_from.as_ref() != Some(&parent) => {
                let job = Job { spawned_from: Some(parent), ..row.job.clone() };
                insert_new(conn, effects, &NewRow::of(job), actor.clone())?
            }
            _ => insert_new(conn, effects, row, actor.clone())?,
        };
        if answer.created {
            effects.now_waits(&row.job);
        }
        answers.push(answer);
    }
    if let Some(key) = idempotency {
        remember(conn, key, &answers, now)?;
    }
    let single = match answers.as_slice() {
        [only] if !only.created => single(conn, &answers)?,
        _ => None,
    };
    Ok(Created::Done { jobs: answers, single, replayed: false })
}

/// The job of an order of one, as it is stored.
fn single(conn: &mut SqliteConnection, answers: &[CreatedJob]) -> QueryResult<Option<Box<Job>>> {
    let [only] = answers else { return Ok(None) };
    let found = job_table::find(conn, only.id.as_str())?;
    Ok(found.and_then(Result::ok).map(|loaded| Box::new(loaded.job)))
}

/// Writes a new job and its first event, unless a live job holds its unique key.
pub(crate) fn insert_new(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    row: &NewRow,
    actor: Actor,
) -> QueryResult<CreatedJob> {
    let job = &row.job;
    if let Some(key) = &job.unique_key
        && let Some(holder) = job_table::key_holder(conn, key)?
    {
        // A holder whose id another program made unreadable still holds the key.
        let id = holder.parse().unwrap_or_else(|_| job.id.clone());
        return Ok(CreatedJob { id, created: false });
    }
    job_table::insert(conn, effects, row)?;
    event_table::append(conn, effects, job, job.created(actor))?;
    Ok(CreatedJob { id: job.id.clone(), created: true })
}

/// Whether an account exists and was not erased.
pub(super) fn account_exists(conn: &mut SqliteConnection, account: &AccountId) -> QueryResult<bool> {
    let found: Option<(i64,)> =
        prepared!("SELECT 1 FROM account WHERE id = ? AND erased_at IS NULL", account.as_str())
            .rows::<(BigInt,)>()
            .first(conn)?;
    Ok(found.is_some())
}

fn exists(conn: &mut SqliteConnection, job: &JobId) -> QueryResult<bool> {
    let found: Option<(i64,)> =
        prepared!("SELECT 1 FROM job WHERE id = ?", job.as_str()).rows::<(BigInt,)>().first(conn)?;
    Ok(found.is_some())
}

fn answered_before(
    conn: &mut SqliteConnection,
    key: &Idempotency,
    now: DateTime<Utc>,
) -> QueryResult<Option<Created>> {
    let found: Option<(String, String)> = prepared!(
        "SELECT digest, answer FROM idempotency WHERE key = ? AND created_at >= ?",
        &key.key,
        before(now, KEY_KEPT)
    )
    .rows::<(Text, Text)>()
    .first(conn)?;
    let Some((digest, answer)) = found else { return Ok(None) };
    if digest != key.digest {
        return Ok(Some(Created::KeyReused));
    }
    let jobs = read_answer(&answer);
    let single = single(conn, &jobs)?;
    Ok(Some(Created::Done { jobs, single, replayed: true }))
}

fn remember(
    conn: &mut SqliteConnection,
    key: &Idempotency,
    answers: &[CreatedJob],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    prepared!(
        "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE created_at < ? LIMIT 100)",
        before(now, KEY_KEPT)
    )
    .run(conn)?;
    prepared!(
        "INSERT OR REPLACE INTO idempotency (key, digest, answer, created_at) VALUES (?, ?, ?, ?)",
        &key.key,
        &key.digest,
        write_answer(answers),
        now,
    )
    .run(conn)
    .map(drop)
}

/// One line per job: `+` for a new one, `=` for one that was there, and its id.
fn write_answer(answers: &[CreatedJob]) -> String {
    let line = |answer: &CreatedJob| format!("{}{}", if answer.created { '+' } else { '=' }, answer.id);
    answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn read_answer(text: &str) -> Vec<CreatedJob> {
    let line = |line: &str| {
        let id = line.get(1..)?.parse().ok()?;
        Some(CreatedJob { id, created: line.starts_with('+') })
    };
    text.lines().filter_map(line).collect()
}
