//! One job after another, living as real ones do, with everything that happens to them on record.

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision, Unmet};
use reclaimer_domain::history::{Actor, HistoryEntry, JobEvent};
use reclaimer_domain::job::lifecycle::Verdict;
use reclaimer_domain::job::report::{Failure, Holder, Outcome, Report, Retryable};
use reclaimer_domain::job::{Job, LeaseToken, NewJob, Progress, Reset, Status};
use reclaimer_domain::ports::Recorded;
use reclaimer_domain::time::after;
use reclaimer_policy::{Policy, StuckLimits, Subject};
use reclaimer_testkit::{noon, seeded};

const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) struct Tape {
    pub(crate) job: Job,
    pub(crate) events: Vec<Recorded>,
    pub(crate) now: DateTime<Utc>,
    pub(crate) stuck: StuckLimits,
    leases: u32,
}

pub(crate) fn policy(text: &str) -> Policy {
    text.parse().unwrap()
}

impl Tape {
    pub(crate) fn new() -> Self {
        let job = Job::new("none".parse().unwrap(), NewJob::of("X".parse().unwrap()), noon());
        let mut tape =
            Self { job, events: Vec::new(), now: noon(), stuck: StuckLimits::default(), leases: 0 };
        tape.next_job("a", NewJob::of("PROJECT".parse().unwrap()));
        tape
    }

    /// Goes on with another job.
    pub(crate) fn next_job(&mut self, name: &str, order: NewJob) {
        self.job = Job::new(name.parse().unwrap(), order, self.now);
        let created = self.job.created(Actor::Producer);
        self.put(created);
    }

    fn put(&mut self, entry: HistoryEntry) {
        let id = i64::try_from(self.events.len()).unwrap() + 1;
        self.events.push(Recorded {
            event: JobEvent { id, job_id: self.job.id.clone(), entry },
            queue: self.job.queue.clone(),
            command: self.job.command.clone(),
            account_id: self.job.account_id.clone(),
            max_attempts: self.job.max_attempts,
        });
    }

    pub(crate) fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now += TimeDelta::seconds(seconds);
        self
    }

    fn token(&self) -> LeaseToken {
        format!("lease-{}", self.leases).parse().unwrap()
    }

    pub(crate) fn claim(&mut self) -> &mut Self {
        self.leases += 1;
        self.now = self.now.max(self.job.run_at);
        let entry = self.job.claim(&"w".parse().unwrap(), self.token(), LEASE, self.now).unwrap();
        self.put(entry);
        self
    }

    fn told(&self, outcome: Outcome) -> Report {
        Report {
            job: self.job.id.clone(),
            holder: Holder::Lease(self.token()),
            sender: None,
            outcome,
            stamp: None,
            digest: None,
            said: Progress::new(),
            resume_state: None,
            areas: Vec::new(),
        }
    }

    /// The holder reports.
    pub(crate) fn report(&mut self, outcome: Outcome) -> &mut Self {
        let report = self.told(outcome);
        match self.job.report(&report, LEASE, self.now).unwrap() {
            Verdict::Applied(entries) => entries.into_iter().for_each(|entry| self.put(entry)),
            Verdict::Stale => {
                let history: Vec<JobEvent> = self.events.iter().map(|it| it.event.clone()).collect();
                let stale = self.job.stale_report(&report, &history, 0, self.now).unwrap();
                self.put(stale.entry);
            }
            other @ (Verdict::Duplicate | Verdict::Overtaken) => unreachable!("{other:?}"),
        }
        self
    }

    pub(crate) fn fail(&mut self, error: &str, error_type: Option<&str>, retryable: Retryable) -> &mut Self {
        let error_type = error_type.map(ToOwned::to_owned);
        self.report(Outcome::Failed(Failure { error: error.to_owned(), error_type, retryable }))
    }

    pub(crate) fn finish(&mut self) -> &mut Self {
        self.report(Outcome::Completed)
    }

    /// Recovery looks at the job, as the engine does, and decides by this policy.
    pub(crate) fn recover(&mut self, policy: &Policy, account: Standing) -> &mut Self {
        let account = account.of(self.job.account_id.as_ref());
        let sign = self.stuck.sign(&self.job, self.now);
        if self.job.status != Status::Failed && sign.is_none() {
            return self;
        }
        let subject = Subject { job: &self.job, account: &account, sign };
        let decision = policy.decide(&subject, self.now, &mut seeded(u64::from(self.leases)));
        self.apply(&decision)
    }

    /// Recovery looks at the job, and where it wants to queue it again, the budget is used up; answers whether it was so.
    pub(crate) fn hold_back(&mut self, policy: &Policy) -> bool {
        let account = Standing::NotNeeded.of(None);
        let subject = Subject { job: &self.job, account: &account, sign: None };
        let decision = policy.decide(&subject, self.now, &mut seeded(1));
        let wants = matches!(decision.action, Action::Requeue { .. });
        if wants {
            let until = after(self.now, LEASE);
            let action = Action::Skip { unmet: Unmet::RecoveryBudget, until };
            self.apply(&Decision { action, reason: "too many at once".to_owned(), ..decision });
        }
        wants
    }

    fn apply(&mut self, decision: &Decision) -> &mut Self {
        let entry = self.job.recover(decision, &"run".parse().unwrap(), self.now).unwrap();
        self.put(entry);
        self
    }

    pub(crate) fn retry(&mut self) -> &mut Self {
        let (entry, _) = self.job.retry(Reset::ALL, Actor::Admin, self.now).unwrap();
        self.put(entry);
        self
    }
}
