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

/// Carries out an order; nothing is written unless the whole of it can be.
pub(super) fn create(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: &Create,
) -> QueryResult<Created> {
    let Create { jobs, idempotency, actor, now } = order;
    let now = *now;
    if let Some(key) = idempotency
        && let Some(answer) = answered_before(conn, key, now)?
    {
        return Ok(answer);
    }
    let ordered: Vec<JobId> = jobs.iter().map(|(id, _)| id.clone()).collect();
    for (index, (_, new)) in jobs.iter().enumerate() {
        if let Some(account) = &new.account_id
            && !account_exists(conn, account)?
        {
            return Ok(Created::UnknownAccount { index, account: account.clone() });
        }
        if let Some(parent) = &new.spawned_from
            && !ordered[..index].contains(parent)
            && !exists(conn, parent)?
        {
            return Ok(Created::UnknownParent { index, parent: parent.clone() });
        }
    }
    let mut answers: Vec<CreatedJob> = Vec::with_capacity(jobs.len());
    let mut newest = None;
    for (id, new) in jobs {
        let mut new = new.clone();
        if let Some(parent) = &mut new.spawned_from
            && let Some(place) = ordered[..answers.len()].iter().position(|id| id == parent)
        {
            // Where the parent's key was held, its holder stands in the parent's place.
            parent.clone_from(&answers[place].id);
        }
        let job = Job::new(id.clone(), new, now);
        let answer = insert_new(conn, effects, &job, actor.clone())?;
        if answer.created {
            effects.now_waits(&job);
            newest = Some(Box::new(job));
        }
        answers.push(answer);
    }
    if let Some(key) = idempotency {
        remember(conn, key, &answers, now)?;
    }
    let single = match (answers.as_slice(), newest) {
        ([only], Some(job)) if only.created => Some(job),
        _ => single(conn, &answers)?,
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
    job: &Job,
    actor: Actor,
) -> QueryResult<CreatedJob> {
    if let Some(key) = &job.unique_key
        && let Some(holder) = job_table::key_holder(conn, key)?
    {
        // A holder whose id another program made unreadable still holds the key.
        let id = holder.parse().unwrap_or_else(|_| job.id.clone());
        return Ok(CreatedJob { id, created: false });
    }
    job_table::insert(conn, effects, job)?;
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
