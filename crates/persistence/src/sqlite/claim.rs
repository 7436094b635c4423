//! Handing out jobs.

use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::ports::{Arrival, Claim, Claimed, Flow};

use super::due::{Wanted, due, next_due};
use super::effects::Effects;
use super::job_table::Loaded;
use super::set_aside::set_aside;
use super::stamp::read_stamp;
use super::statement::prepared;
use super::{event_table, job_table};

/// Leases up to as many jobs as there are tokens. Rows that cannot be read are set aside on the way, and make room
/// for the next.
pub(super) fn claim(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    claim: &Claim,
) -> QueryResult<Claimed> {
    let Claim { worker, queue, commands, only, tokens, lease_for, now } = claim;
    let (lease_for, now) = (*lease_for, *now);
    let wanted = Wanted { queue: queue.as_ref(), commands, only: only.as_ref() };
    let mut tokens = tokens.iter();
    let mut jobs = Vec::with_capacity(tokens.len());
    while tokens.len() > 0 {
        let due = effects.claims.due(conn, &wanted, tokens.len(), now)?;
        let mut again = false;
        for found in due {
            match found {
                Ok(Loaded { mut job, guard }) => {
                    let Some(token) = tokens.next() else { break };
                    let Ok(entry) = job.claim(worker, token.clone(), lease_for, now) else { continue };
                    if !job_table::update(conn, effects, &guard, &job)? {
                        // A claim that wanted something else has taken it since it was found.
                        again = true;
                        continue;
                    }
                    event_table::append(conn, effects, &job, entry)?;
                    effects.count(Flow { claims: 1, ..Flow::default() }, now);
                    jobs.push(job);
                }
                Err(mut unreadable) => {
                    again |= set_aside(conn, effects, &mut unreadable, Actor::System, now)?
                }
            }
        }
        if !again {
            break;
        }
    }
    let next_due = if jobs.is_empty() { next_due(conn, &wanted, now)? } else { None };
    Ok(Claimed { jobs, next_due })
}

/// The jobs a claim would get.
pub(super) fn peek(
    conn: &mut SqliteConnection,
    queue: Option<&QueueName>,
    command: Option<&Command>,
    limit: u32,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Job>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let commands: Vec<Command> = command.cloned().into_iter().collect();
    let kind = Wanted { queue, commands: &commands, only: None };
    let mut wanted = limit;
    loop {
        let found = due(conn, &kind, wanted, now)?;
        let all = found.len() < wanted;
        let mut jobs: Vec<Job> = found.into_iter().filter_map(Result::ok).map(|loaded| loaded.job).collect();
        // Rows that cannot be read take up room in what was asked for.
        if all || jobs.len() >= limit || wanted >= limit.saturating_mul(16) {
            jobs.truncate(limit);
            return Ok(jobs);
        }
        wanted = wanted.saturating_mul(2);
    }
}

/// The most arrivals that a queue's resumption makes: as many as workers may wait for.
const MOST_ARRIVALS: i64 = 1_000;

/// What waits in a queue: due jobs, and of each command the next that falls due.
pub(super) fn waiting(
    conn: &mut SqliteConnection,
    queue: &QueueName,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Arrival>> {
    let mut found: Vec<(String, String)> = prepared!(
        "SELECT command, run_at FROM job WHERE status = 'queued' AND queue = ? AND run_at <= ? \
         ORDER BY priority, run_at, id LIMIT +?",
        queue.as_str(),
        now,
        MOST_ARRIVALS
    )
    .rows::<(Text, Text)>()
    .all(conn)?;
    let later: Vec<(String, String)> = prepared!(
        "SELECT command, min(run_at) FROM job WHERE status = 'queued' AND queue = ? AND run_at > ? GROUP BY command",
        queue.as_str(),
        now,
    )
    .rows::<(Text, Text)>()
    .all(conn)?;
    found.extend(later);
    let arrival = |(command, run_at): (String, String)| {
        Some(Arrival { queue: queue.clone(), command: command.parse().ok()?, run_at: read_stamp(&run_at)? })
    };
    Ok(found.into_iter().filter_map(arrival).collect())
}
