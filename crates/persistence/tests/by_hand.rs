//! Rows that people and other programs wrote, in SQLite's own forms and in others.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets something unexpected has failed")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::job::report::{Holder, Outcome, Report};
use reclaimer_domain::job::{Job, NewJob, Progress, Reset, Status};
use reclaimer_domain::ports::{
    AdminAction, Applied, Candidates, Claim, Create, JobRead, JobStore, Outcome as Answer, Planned,
    QueueState, RecoveryStore, ReportAnswer, ReportOrder, Reports, Search, Seen,
};
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_testkit::{Recorded, noon};

const LEASE: Duration = Duration::from_secs(60);

struct Rig {
    folder: tempfile::TempDir,
    store: SqliteStore,
}

fn at(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

/// What the holder of a lease reports when it is done.
fn completed(job: &str, token: &str) -> ReportOrder {
    let report = Report {
        job: job.parse().unwrap(),
        holder: Holder::Lease(token.parse().unwrap()),
        sender: None,
        outcome: Outcome::Completed,
        stamp: None,
        digest: None,
        said: Progress::new(),
        resume_state: None,
        areas: Vec::new(),
    };
    ReportOrder { report, spawn: vec![], lease_for: LEASE, now: at(30) }
}

impl Rig {
    /// A store with jobs of these names.
    async fn with(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig { min_free: 0, ..SqliteConfig::at(folder.path().join("test.db")) };
        let store = SqliteStore::open(config, Arc::new(Recorded::default())).unwrap();
        let jobs =
            names.iter().map(|name| (name.parse().unwrap(), NewJob::of("X".parse().unwrap()))).collect();
        store.create(Create { jobs, idempotency: None, actor: Actor::Producer, now: noon() }).await.unwrap();
        Self { folder, store }
    }

    /// What somebody types into the `sqlite3` program.
    fn sql(&self, sql: &str) {
        let path = self.folder.path().join("test.db");
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        // That program checks no references unless told to.
        let pragmas = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = OFF;";
        conn.batch_execute(&format!("{pragmas} {sql}")).unwrap();
    }

    /// Claims as many jobs as tokens; answers their ids.
    async fn claim(&self, tokens: &[&str], now: DateTime<Utc>) -> Vec<String> {
        let tokens = tokens.iter().map(|token| token.parse().unwrap()).collect();
        let worker = "w".parse().unwrap();
        let claim =
            Claim { worker, queue: None, commands: Vec::new(), only: None, tokens, lease_for: LEASE, now };
        self.store.claim(claim).await.unwrap().jobs.into_iter().map(|job| job.id.to_string()).collect()
    }

    async fn report(&self, job: &str, token: &str) -> ReportAnswer {
        self.store.report(completed(job, token)).await.unwrap()
    }

    async fn read(&self, job: &str) -> Job {
        match self.store.job(&job.parse().unwrap()).await.unwrap() {
            Some(JobRead::Whole(job)) => *job,
            other => panic!("`{job}` cannot be read: {other:?}"),
        }
    }

    async fn candidates(&self, now: DateTime<Utc>) -> Candidates {
        let search = Search {
            kind: RecoveryType::Comprehensive,
            expired_leases_only: false,
            resting: false,
            silent_since: Some(now - TimeDelta::hours(2)),
            after: None,
            limit: 10,
            now,
        };
        self.store.candidates(search).await.unwrap()
    }

    /// Recovery takes the job back as it now looks.
    async fn recover(&self, job: &Job) -> Answer {
        let action = Action::Requeue { run_at: at(90), priority: None, queue: None };
        let decision = Decision {
            action,
            rule: None,
            reason: "stuck".to_owned(),
            sign: None,
            account: Standing::NotNeeded,
            policy: "a1b2c3d4e5f6".parse().unwrap(),
        };
        let planned = vec![Planned { job: job.id.clone(), seen: Seen::of(job), decision }];
        self.store.apply("run".parse().unwrap(), planned, at(90)).await.unwrap().remove(0)
    }

    /// Everything that cannot be read is set aside, and can be let go again.
    async fn heal(&self, found: Candidates, job: &str) {
        let named: Vec<&str> = found.broken.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(named, [job]);
        assert_eq!(self.store.set_aside(found.broken, "run".parse().unwrap(), at(90)).await.unwrap(), 1);
        assert_eq!(self.read(job).await.status, Status::Quarantined);
        let id = job.parse().unwrap();
        let answer =
            self.store.administer(id, AdminAction::Release(Reset::ALL), Actor::Admin, at(91)).await.unwrap();
        assert!(matches!(answer, Applied::Done(done) if done.job.status == Status::Queued));
    }
}

#[tokio::test]
async fn a_lease_written_as_sqlite_writes_is_a_lease_like_any_other() {
    let rig = Rig::with(&["a", "b"]).await;
    assert_eq!(rig.claim(&["1", "2"], noon()).await, ["a", "b"]);
    rig.sql("UPDATE job SET lease_expires_at = datetime('2026-01-05 12:00:20')");
    assert_eq!(rig.read("a").await.lease.unwrap().expires_at, at(20));
    assert!(matches!(rig.report("a", "1").await, ReportAnswer::Applied { status: Status::Finished, .. }));
    let found = rig.candidates(at(30)).await.jobs;
    assert_eq!(found.len(), 1);
    assert_eq!(rig.recover(&found[0].job).await, Answer::Applied);
    assert_eq!(rig.read("b").await.status, Status::Queued);
}

#[tokio::test]
async fn a_running_job_with_half_a_lease_is_recovered() {
    for half in ["worker_id", "lease_token", "lease_expires_at"] {
        let rig = Rig::with(&["a"]).await;
        rig.claim(&["1"], noon()).await;
        rig.sql(&format!("UPDATE job SET {half} = NULL"));
        let found = rig.candidates(at(7_200)).await.jobs;
        assert_eq!(found.len(), 1, "{half}");
        assert_eq!(rig.recover(&found[0].job).await, Answer::Applied, "{half}");
        assert_eq!(rig.claim(&["2"], at(90)).await, ["a"], "{half}");
    }
}

#[tokio::test]
async fn names_that_are_none_are_set_aside_and_dropped() {
    let rig = Rig::with(&["parent", "a"]).await;
    rig.sql("UPDATE job SET id = 'my parent' WHERE id = 'parent'");
    rig.sql(
        "UPDATE job SET unique_key = 'my key', spawned_from = 'my parent', status = 'failed' WHERE id = 'a'",
    );
    let mut found = rig.candidates(at(30)).await;
    found.broken.retain(|row| row.id == "a");
    rig.heal(found, "a").await;
    let job = rig.read("a").await;
    assert_eq!((job.unique_key, job.spawned_from), (None, None));
}

#[tokio::test]
async fn a_moment_in_another_form_is_found_and_set_aside() {
    for (status, column) in [("queued", "run_at"), ("failed", "recover_after"), ("running", "recover_after")]
    {
        for moment in ["2026-01-05T11:00:00Z", "2026-1-5 11:00:00", "tomorrow", ""] {
            let rig = Rig::with(&["a"]).await;
            rig.sql(&format!("UPDATE job SET status = '{status}', {column} = '{moment}'"));
            rig.heal(rig.candidates(at(30)).await, "a").await;
        }
    }
}

#[tokio::test]
async fn what_was_set_aside_keeps_its_evidence() {
    let rig = Rig::with(&["a", "b"]).await;
    rig.sql("UPDATE job SET progress = '[1]', payload = 'oops' WHERE id = 'a'");
    assert_eq!(rig.claim(&["1"], noon()).await, ["b"]);
    let page = rig.store.events(&"a".parse().unwrap(), None, 10).await.unwrap().unwrap();
    let entry = &page.items.last().unwrap().entry;
    assert_eq!((entry.kind, entry.from), (EventKind::SetAside, Some(Status::Queued)));
    let stored = &entry.detail.as_ref().unwrap()["stored"];
    assert_eq!((stored["progress"].as_str(), stored["payload"].as_str()), (Some("[1]"), Some("oops")));
}

#[tokio::test]
async fn jobs_that_other_programs_wrote_are_counted_all_the_same() {
    let rig = Rig::with(&["a", "b", "c", "d"]).await;
    let counted = async || -> Vec<(String, Status, u64)> {
        let queues = rig.store.queues().await.unwrap();
        let of = |queue: &QueueState| {
            let name = queue.name.to_string();
            queue.jobs.iter().map(|(status, jobs)| (name.clone(), *status, *jobs)).collect::<Vec<_>>()
        };
        queues.iter().flat_map(of).collect()
    };
    let place = |queue: &str, status, jobs| (queue.to_owned(), status, jobs);
    rig.claim(&["1"], noon()).await;
    assert_eq!(counted().await, [place("default", Status::Queued, 3), place("default", Status::Running, 1)]);
    rig.sql(
        "UPDATE job SET status = 'finished' WHERE id = 'b'; UPDATE job SET queue = 'bulk' WHERE id = 'c';
         DELETE FROM job WHERE id = 'd';
         INSERT INTO job (id, queue, command, payload, status, priority, progress, max_attempts, run_at, created_at, updated_at)
         VALUES ('e', 'new', 'X', '{}', 'failed', 0, '{}', 3, '2026-01-05 12:00:00.000000', '2026-01-05 12:00:00.000000',
         '2026-01-05 12:00:00.000000')",
    );
    let expected = [
        place("bulk", Status::Queued, 1),
        place("default", Status::Running, 1),
        place("default", Status::Finished, 1),
        place("new", Status::Failed, 1),
    ];
    assert_eq!(counted().await, expected);
    // The look made the store count them under where they are; what we change of them is counted from there.
    assert_eq!(counted().await, expected);
    rig.report("a", "1").await;
    rig.sql("DELETE FROM job WHERE id = 'e'");
    assert_eq!(counted().await, [place("bulk", Status::Queued, 1), place("default", Status::Finished, 2)]);
}

#[tokio::test]
async fn reports_that_are_refused_together_change_nothing() {
    let rig = Rig::with(&["a", "b", "c"]).await;
    rig.claim(&["first", "second"], noon()).await;
    rig.sql(
        "CREATE TRIGGER guard BEFORE UPDATE ON job WHEN new.id = 'b' \
         BEGIN SELECT RAISE(ABORT, 'b stays as it is'); END",
    );
    let reports = [completed("a", "first"), completed("b", "second")].into();
    let refused = rig.store.report_all(Reports { reports, next: None }).await.unwrap_err();
    assert_eq!(refused.code(), "storage_failed");
    let ended = ReportAnswer::Applied { status: Status::Finished, expires_at: None, spawned: 0 };
    assert_eq!(rig.report("a", "first").await, ended, "it was not applied before");
}
