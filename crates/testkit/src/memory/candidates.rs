//! Which jobs recovery should look at.

use chrono::{DateTime, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::ports::{Candidate, Candidates, Case, Search};
use reclaimer_domain::recovery::RecoveryType;

use super::data::Data;
use super::late::latest;
use super::row::Row;

/// A page of them.
pub(super) fn candidates(data: &Data, search: &Search) -> Candidates {
    let mut answer = Candidates::default();
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    if search.after.is_none() && !search.expired_leases_only {
        // Beside the page, not in it: rows whose status is none have no place in its order.
        let strange = data.rows().filter(|row| row.status().is_none()).take(limit);
        answer.broken.extend(strange.filter_map(|row| row.read().err()));
    }
    let (in_failed, in_running) = match search.kind {
        RecoveryType::Failed => (true, false),
        RecoveryType::Stuck => (false, true),
        RecoveryType::Comprehensive => (true, true),
    };
    let failed = data.rows().filter(|row| in_failed && is_sought(row, search, Status::Failed));
    let running = data.rows().filter(|row| in_running && is_sought(row, search, Status::Running));
    let running = running.filter(|row| may_be_stuck(&row.job, search));
    let mut page: Vec<&Row> = failed.chain(running).take(limit.saturating_add(1)).collect();
    answer.more = page.len() > limit;
    page.truncate(limit);
    for row in page {
        match row.read() {
            Ok(job) => answer.jobs.push(candidate(data, job, search.now)),
            Err(broken) => answer.broken.push(broken),
        }
    }
    answer
}

/// Whether it is in this status, behind where the last page ended, and does not rest.
fn is_sought(row: &Row, search: &Search, status: Status) -> bool {
    let place = |status, id: &JobId| (status == Status::Running, id.clone());
    let is_behind = |(last, id): &(Status, JobId)| place(status, &row.job.id) > place(*last, id);
    row.status() == Some(status)
        && search.after.as_ref().is_none_or(is_behind)
        && row.job.recover_after.is_none_or(|at| search.resting || at <= search.now)
}

/// Coarse on purpose: the policy looks closely.
fn may_be_stuck(job: &Job, search: &Search) -> bool {
    let over = job.lease.as_ref().is_some_and(|lease| lease.expires_at <= search.now);
    let silent = search.silent_since.is_some_and(|since| job.updated_at <= since);
    let too_long = job.deadline().is_some_and(|deadline| deadline <= search.now);
    over || (!search.expired_leases_only && (silent || too_long))
}

/// A job with the state of its account.
fn candidate(data: &Data, job: Job, now: DateTime<Utc>) -> Candidate {
    let account = job.account_id.as_ref().and_then(|id| data.account(id));
    let account = AccountState::of(job.account_id.as_ref(), account, now);
    Candidate { job, account }
}

/// What is known of one job.
pub(super) fn case(data: &Data, id: &JobId, now: DateTime<Utc>) -> Option<Case> {
    let row = data.row(id)?;
    Some(match row.read() {
        Err(broken) => Case::Broken(broken),
        Ok(job) => {
            Case::Whole { candidate: Box::new(candidate(data, job, now)), history: latest(row).to_vec() }
        }
    })
}
