//! One recorded decision, and the job as it was then.

use chrono::{DateTime, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{StuckSign, Unmet};
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{Job, Lease, NewJob, Status};
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::Recorded;
use reclaimer_domain::saw::Saw;

use super::forecast::Verdict;
use crate::policy::Subject;

/// A recorded decision of recovery.
#[derive(Debug)]
pub(super) struct Moment {
    job: Job,
    account: AccountState,
    sign: Option<StuckSign>,
    pub(super) at: DateTime<Utc>,
    /// What was decided.
    pub(super) decided: Verdict,
}

impl Moment {
    /// Reads the event of a decision; `None` where it does not say what the decision saw, as those of older versions.
    pub(super) fn read(recorded: &Recorded, error: Option<&str>) -> Option<Self> {
        let entry = &recorded.event.entry;
        let saw: Saw = serde::Deserialize::deserialize(entry.detail.as_ref()?.get("saw")?).ok()?;
        let account = saw.account.of(recorded.account_id.as_ref());
        let sign = saw.sign;
        let decided = match (entry.to, saw.unmet.as_deref()) {
            (Some(Status::Queued), _) => Verdict::Requeue,
            (Some(Status::Quarantined), _) => Verdict::Quarantine,
            // The policy decided to queue it again; room for it is no matter of policies.
            (_, Some(unmet)) if unmet == Unmet::RecoveryBudget.as_str() => Verdict::Requeue,
            (_, Some(_)) => Verdict::Skip,
            (_, None) => Verdict::Leave,
        };
        let job = job(recorded, saw, error, entry.at);
        Some(Self { job, account, sign, at: entry.at, decided })
    }

    /// What a policy decides about.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { job: &self.job, account: &self.account, sign: self.sign }
    }
}

/// The job as it was, as far as policies look at it.
fn job(recorded: &Recorded, saw: Saw, error: Option<&str>, at: DateTime<Utc>) -> Job {
    let order = NewJob {
        queue: saw.queue,
        priority: saw.priority,
        account_id: recorded.account_id.clone(),
        max_attempts: recorded.max_attempts,
        ..NewJob::of(recorded.command.clone())
    };
    let mut job = Job::new(recorded.event.job_id.clone(), order, saw.since);
    job.status = saw.status;
    job.attempt = saw.attempt;
    job.recoveries = saw.recoveries;
    job.lease_losses = saw.lease_losses;
    job.updated_at = saw.since;
    job.finished_at = (saw.status == Status::Failed).then_some(saw.since);
    job.lease = saw.excused.then(|| excused_lease(at)).flatten();
    let said = match saw.retryable {
        Retryable::Yes => Some(true),
        Retryable::No => Some(false),
        Retryable::AskPolicy => None,
    };
    let words = [
        ("error", error.map(Into::into)),
        ("errorType", saw.error_type.map(Into::into)),
        ("retryable", said.map(Into::into)),
    ];
    job.progress.extend(words.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    job
}

/// Stands in for a lease of which only that its loss was nobody's fault is known.
fn excused_lease(at: DateTime<Utc>) -> Option<Lease> {
    let worker: WorkerId = "recorded".parse().ok()?;
    Some(Lease { worker, token: "recorded".parse().ok()?, expires_at: at, excused: true })
}
