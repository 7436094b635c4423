//! A real store, the model beside it, and what is done to both.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::sample::Index;
use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::{Failure, Holder, Outcome, Report, Retryable};
use reclaimer_domain::job::{LeaseToken, NewJob, Priority, Progress};
use reclaimer_domain::name::{QueueName, WorkerId};
use reclaimer_domain::ports::{
    AdminAction, Applied, Claim, Claimed, Create, Created, CreatedJob, JobStore, Outcome as Answer, Planned,
    RecoveryStore, Refused, Release, Renew, ReportAnswer, ReportOrder, Seen,
};
use reclaimer_persistence::{Durability, SqliteConfig, SqliteStore};
use reclaimer_testkit::{Recorded, noon};

use crate::model::{Fate, LEASE, Model, ModelJob};
use crate::operation::{By, ByHand, End, Operation, Verdict};

const LEASE_FOR: Duration = Duration::from_secs(LEASE.unsigned_abs());

pub(crate) struct World {
    /// The file goes with it.
    _folder: tempfile::TempDir,
    pub(crate) store: SqliteStore,
    /// Another server on the same file.
    other: SqliteStore,
    pub(crate) now: DateTime<Utc>,
    pub(crate) model: Model,
    /// Every lease that there ever was.
    leases: Vec<LeaseToken>,
    /// How each job looked after each step, by its place in the model.
    pub(crate) looks: Vec<Vec<Seen>>,
    last_report: Option<Report>,
    names: u32,
}

fn worker(number: u8) -> WorkerId {
    format!("worker-{number}").parse().unwrap()
}

fn queue(number: u8) -> QueueName {
    format!("queue-{number}").parse().unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            // Nothing here loses its power; not to wait for the disk makes room for more cases.
            let path = folder.path().join("model.db");
            let config =
                SqliteConfig { durability: Durability::Normal, min_free: 0, ..SqliteConfig::at(path) };
            SqliteStore::open(config, Arc::new(Recorded::default())).unwrap()
        };
        let (store, other) = (open(), open());
        // One after the other: the first makes the tables.
        store.probe(noon()).await.unwrap();
        other.probe(noon()).await.unwrap();
        Self {
            store,
            other,
            _folder: folder,
            now: noon(),
            model: Model::default(),
            leases: Vec::new(),
            looks: Vec::new(),
            last_report: None,
            names: 100,
        }
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    fn pick(&self, job: &Index) -> Option<JobId> {
        (!self.model.jobs.is_empty()).then(|| job.get(&self.model.jobs).id.clone())
    }

    fn tokens(&mut self, most: usize) -> Vec<LeaseToken> {
        (0..most).map(|_| self.name("lease").parse().unwrap()).collect()
    }

    /// Does it to the store and to the model, and compares the answers.
    pub(crate) async fn run(&mut self, operation: Operation) {
        self.now += TimeDelta::seconds(1);
        match operation {
            Operation::Create { queue: number, priority, delay, key, max_attempts } => {
                let order = NewJob {
                    queue: queue(number),
                    priority: Priority::try_from(priority).unwrap(),
                    run_at: Some(self.now + TimeDelta::seconds(delay)),
                    unique_key: key.map(|key| format!("key-{key}").parse().unwrap()),
                    max_attempts,
                    ..NewJob::of("X".parse().unwrap())
                };
                self.create(order).await;
            }
            Operation::Claim { worker: number, queue: wanted, most } => {
                self.claim(worker(number), wanted.map(queue), most).await;
            }
            Operation::ClaimAtOnce { most } => self.claim_at_once(most).await,
            Operation::Report { job, by, end, stamp } => {
                if let Some(job) = self.pick(&job) {
                    let report = self.make_report(job, by, end, stamp);
                    self.report(report).await;
                }
            }
            Operation::RepeatReport => {
                if let Some(report) = self.last_report.clone() {
                    self.report(report).await;
                }
            }
            Operation::Renew { leases } => self.renew(&leases).await,
            Operation::Release { lease, delay } => self.release(&lease, delay).await,
            Operation::Recover { job, looked, verdict } => {
                if let Some(job) = self.pick(&job) {
                    self.recover(job, looked, verdict).await;
                }
            }
            Operation::Administer { job, by_hand } => {
                if let Some(job) = self.pick(&job) {
                    self.administer(job, by_hand).await;
                }
            }
            Operation::PauseQueue { queue: number, paused } => {
                self.store.pause_queue(queue(number), paused, self.now).await.unwrap();
                if paused {
                    self.model.paused.insert(queue(number));
                } else {
                    self.model.paused.remove(&queue(number));
                }
            }
            Operation::Grace { seconds } => {
                let until = self.now + TimeDelta::seconds(seconds);
                let granted = self.store.grant_grace(until).await.unwrap();
                let expected =
                    self.model.jobs.iter_mut().filter_map(|job| job.grant_grace(until).then_some(()));
                assert_eq!(usize::try_from(granted).unwrap(), expected.count());
            }
            Operation::Pass { seconds } => self.now += TimeDelta::seconds(seconds),
        }
    }

    async fn create(&mut self, order: NewJob) {
        let id: JobId = self.name("job").parse().unwrap();
        let jobs = vec![(id.clone(), order.clone())];
        let create = Create { jobs, idempotency: None, actor: Actor::Producer, now: self.now };
        let answer = self.store.create(create).await.unwrap();
        let expected = match self.model.holder_of(order.unique_key.as_ref()) {
            Some(holder) => CreatedJob { id: holder.clone(), created: false },
            None => {
                self.model.jobs.push(ModelJob::new(id.clone(), order, self.now));
                CreatedJob { id, created: true }
            }
        };
        let Created::Done { jobs, replayed: false, .. } = answer else { panic!("not created: {answer:?}") };
        assert_eq!(jobs, [expected]);
    }

    async fn claim(&mut self, worker: WorkerId, queue: Option<QueueName>, most: usize) {
        let tokens = self.tokens(most);
        let claim = Claim {
            worker: worker.clone(),
            queue: queue.clone(),
            commands: Vec::new(),
            only: None,
            tokens: tokens.clone(),
            lease_for: LEASE_FOR,
            now: self.now,
        };
        let Claimed { jobs, next_due } = self.store.claim(claim).await.unwrap();
        let expected: Vec<JobId> = self.model.due(queue.as_ref(), self.now).into_iter().take(most).collect();
        assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        if jobs.is_empty() {
            assert_eq!(next_due, self.model.next_due(queue.as_ref(), self.now));
        }
        for (id, token) in expected.iter().zip(tokens) {
            self.leases.push(token.clone());
            let now = self.now;
            self.model.job(id).claim(&worker, token, now);
        }
    }

    async fn claim_at_once(&mut self, most: usize) {
        let (first, second) = (self.tokens(most), self.tokens(most));
        let claim = |number, tokens: &Vec<LeaseToken>| Claim {
            worker: worker(number),
            queue: None,
            commands: Vec::new(),
            only: None,
            tokens: tokens.clone(),
            lease_for: LEASE_FOR,
            now: self.now,
        };
        let (one, two) =
            tokio::join!(self.store.claim(claim(0, &first)), self.other.claim(claim(1, &second)));
        let mut expected: Vec<JobId> = self.model.due(None, self.now).into_iter().take(2 * most).collect();
        for (number, tokens, claimed) in [(0, first, one.unwrap()), (1, second, two.unwrap())] {
            for job in claimed.jobs {
                let place = expected.iter().position(|id| *id == job.id);
                expected.remove(place.unwrap_or_else(|| panic!("{} was not due, or went to both", job.id)));
                let token = job.lease.unwrap().token;
                assert!(tokens.contains(&token), "a token that the caller did not bring");
                self.leases.push(token.clone());
                let now = self.now;
                self.model.job(&job.id).claim(&worker(number), token, now);
            }
        }
        assert!(expected.is_empty(), "due, and handed out to neither: {expected:?}");
    }

    fn make_report(&mut self, job: JobId, by: By, end: End, stamp: Option<i64>) -> Report {
        let stranger = self.name("stranger").parse().unwrap();
        let holder = match by {
            By::Holder => {
                let lease = self.model.job(&job).row.lease.as_ref();
                Holder::Lease(lease.map_or(stranger, |lease| lease.token.clone()))
            }
            By::Lease(index) if !self.leases.is_empty() => Holder::Lease(index.get(&self.leases).clone()),
            By::Lease(_) | By::Stranger => Holder::Lease(stranger),
            By::Worker(number) => Holder::Worker(worker(number)),
        };
        let outcome = match end {
            End::Progress => Outcome::Progress,
            End::Completed => Outcome::Completed,
            End::Failed => Outcome::Failed(Failure {
                error: "it broke".to_owned(),
                error_type: None,
                retryable: Retryable::AskPolicy,
            }),
            End::Paused => Outcome::Paused,
        };
        Report {
            job,
            holder,
            sender: None,
            outcome,
            stamp: stamp.map(|seconds| self.now + TimeDelta::seconds(seconds)),
            digest: stamp.map(|_| self.name("digest")),
            said: Progress::new(),
            resume_state: None,
            areas: Vec::new(),
        }
    }

    async fn report(&mut self, report: Report) {
        let order =
            ReportOrder { report: report.clone(), spawn: Vec::new(), lease_for: LEASE_FOR, now: self.now };
        let answer = self.store.report(order).await.unwrap();
        let now = self.now;
        let job = self.model.job(&report.job);
        let fate = job.report(&report, now);
        let (status, lease) = (job.row.status, job.row.lease.as_ref());
        let expected = match fate {
            Fate::Applied => {
                ReportAnswer::Applied { status, expires_at: lease.map(|lease| lease.expires_at), spawned: 0 }
            }
            Fate::Duplicate => ReportAnswer::Duplicate { status },
            Fate::Stale => ReportAnswer::Stale { status },
        };
        assert_eq!(answer, expected);
        self.last_report = Some(report);
    }

    async fn renew(&mut self, indices: &[Index]) {
        if self.leases.is_empty() {
            return;
        }
        let leases: Vec<LeaseToken> = indices.iter().map(|index| index.get(&self.leases).clone()).collect();
        let order = Renew { leases: leases.clone(), named: true, lease_for: LEASE_FOR, now: self.now };
        let answer = JobStore::renew(&self.store, order).await.unwrap();
        let (mut renewed, mut lost, mut cancelled) = (Vec::new(), Vec::new(), Vec::new());
        for token in leases {
            if let Some(job) = self.model.jobs.iter_mut().find(|job| job.is_held_by(&token)) {
                job.renew(self.now);
                renewed.push((job.id.clone(), job.row.lease.clone().unwrap()));
            } else if let Some(job) = self.model.jobs.iter().find(|job| job.was_cancelled_under(&token)) {
                cancelled.push((job.id.clone(), token));
            } else {
                lost.push(token);
            }
        }
        assert_eq!((answer.renewed, answer.lost, answer.cancelled), (renewed, lost, cancelled));
    }

    async fn release(&mut self, index: &Index, delay: u64) {
        if self.leases.is_empty() {
            return;
        }
        let token = index.get(&self.leases).clone();
        let leases = vec![token.clone()];
        let order = Release { leases, reason: None, delay: Duration::from_secs(delay), now: self.now };
        let answer = self.store.release(order).await.unwrap();
        let held = self.model.jobs.iter_mut().find(|job| job.is_held_by(&token));
        let expected = match held {
            Some(job) => {
                job.give_back(delay.cast_signed(), self.now);
                (vec![(job.id.clone(), token)], vec![])
            }
            None => (vec![], vec![token]),
        };
        assert_eq!((answer.released, answer.lost), expected);
    }

    async fn recover(&mut self, id: JobId, looked: Option<Index>, verdict: Verdict) {
        let place = self.model.jobs.iter().position(|job| job.id == id).unwrap();
        let looks = &self.looks[place];
        let present = looks.last().unwrap().clone();
        let seen = looked.map_or(present.clone(), |index| index.get(looks).clone());
        let after = |seconds| self.now + TimeDelta::seconds(seconds);
        let (action, reason) = match verdict {
            Verdict::Requeue { delay } => {
                (Action::Requeue { run_at: after(delay), priority: None, queue: None }, "again".to_owned())
            }
            Verdict::Quarantine => (Action::Quarantine, "hopeless".to_owned()),
            Verdict::Leave { reason, rest } => (
                Action::Leave { until: after(rest) },
                if reason == 0 { "so" } else { "otherwise" }.to_owned(),
            ),
        };
        let decision = Decision {
            action,
            rule: None,
            reason,
            sign: None,
            account: Standing::NotNeeded,
            policy: "a1b2c3d4e5f6".parse().unwrap(),
        };
        let planned = vec![Planned { job: id.clone(), seen: seen.clone(), decision }];
        let answer = self.store.apply("run".parse().unwrap(), planned, self.now).await.unwrap().remove(0);
        let now = self.now;
        let job = self.model.job(&id);
        if seen != present {
            assert_eq!(answer, Answer::LostRace { found: Some(job.row.status) });
        } else if job.recover(verdict, now) {
            assert_eq!(answer, Answer::Applied);
        } else {
            assert!(matches!(&answer, Answer::Refused(Refused::Illegal(it)) if it.from == job.row.status));
        }
    }

    async fn administer(&mut self, id: JobId, by_hand: ByHand) {
        let again: JobId = self.name("job").parse().unwrap();
        let now = self.now;
        let answer = match by_hand {
            ByHand::Retry(reset) => self.by_hand(&id, AdminAction::Retry(reset)).await,
            ByHand::Cancel => self.by_hand(&id, AdminAction::Cancel).await,
            ByHand::Pause => self.by_hand(&id, AdminAction::Pause).await,
            ByHand::Resume => self.by_hand(&id, AdminAction::Resume).await,
            ByHand::Release(reset) => self.by_hand(&id, AdminAction::Release(reset)).await,
            ByHand::Rerun => {
                let rerun = self.store.rerun(id.clone(), again.clone(), Actor::Admin, now).await.unwrap();
                match rerun {
                    Applied::Done(_) => None,
                    Applied::Refused(refused) => Some(refused),
                }
            }
        };
        let job = self.model.job(&id);
        let (status, order) = (job.row.status, job.order.clone());
        let expected = match by_hand {
            ByHand::Rerun => {
                let holder = self.model.holder_of(order.unique_key.as_ref()).cloned();
                match (status.is_terminal(), order.unique_key.clone(), holder) {
                    (false, ..) => Some(Refused::NotTerminal(status)),
                    (true, Some(key), Some(holder)) => Some(Refused::KeyHeld { key, holder }),
                    (true, ..) => {
                        let order = NewJob { run_at: None, spawned_from: Some(id), ..order };
                        self.model.jobs.push(ModelJob::new(again, order, now));
                        None
                    }
                }
            }
            _ if job.administer(by_hand, now) => None,
            _ => match &answer {
                Some(refused @ Refused::Illegal(illegal)) if illegal.from == status => Some(refused.clone()),
                _ => panic!("{by_hand:?} of a {status} job: {answer:?}"),
            },
        };
        assert_eq!(answer, expected);
    }

    /// Does something by hand to the store; answers why it was refused, if it was.
    async fn by_hand(&self, id: &JobId, action: AdminAction) -> Option<Refused> {
        match self.store.administer(id.clone(), action, Actor::Admin, self.now).await.unwrap() {
            Applied::Done(_) => None,
            Applied::Refused(refused) => Some(refused),
        }
    }
}
