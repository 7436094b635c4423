mod evidence;
mod leases;
mod next_jobs;
mod refreshes;
mod reports;
mod requests;
mod watchdog;

use reclaimer_domain::job::{Lease, Status};
use reclaimer_domain::ports::{Refused, Renewed, ReportAnswer, StoreError, Taken};
use reclaimer_domain::time::after;
use reclaimer_domain::wire::JobOnTheWire;
use reclaimer_testkit::{a_job, noon};
use serde_json::json;

use super::*;
use crate::frame::Fault;
use crate::message::{BadRequest, JobRequest, Receipt, RefreshRequest};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    Settings {
        speaks_first: true,
        asks_when_idle: false,
        heartbeat_interval: SECOND * 10,
        heartbeat_timeout: SECOND * 30,
        first_frame_within: SECOND * 15,
        renew_every: SECOND * 15,
        jobs_at_once: 10,
        most_jobs: 100,
        queue: None,
        links: ["link", "flat"].map(str::to_owned).into(),
    }
}

fn peer() -> Peer {
    Peer { worker: "link:7".parse().unwrap(), is_process: true }
}

/// A session in progress.
struct Rig {
    core: Core,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        Self { core: Core::open(settings(), peer(), false, now).0, now }
    }

    /// A worker of protocol 2.
    fn registered() -> Self {
        let mut rig = Self::new();
        let features = ["lease", "cancel", "reattach", "ack", "next"].map(str::to_owned).to_vec();
        let registration =
            Registration { worker: Some("w".parse().unwrap()), features, ..Registration::default() };
        assert!(rig.hear(Inbound::Registered(registration)).is_empty());
        rig
    }

    fn hear(&mut self, message: Inbound) -> Vec<Effect> {
        self.core.heard(Ok(Heard::Message(message)), self.now)
    }

    fn pass(&mut self, length: Duration) -> Vec<Effect> {
        self.now += length;
        self.core.tick(self.now)
    }

    /// Hands a job out.
    fn holds(&mut self, job: &str, token: &str) {
        self.holds_of(job, token, None);
    }

    /// Hands a job of an account out.
    fn holds_of(&mut self, job: &str, token: &str, account: Option<&str>) {
        let mut job = handed_out(job, token);
        job.account_id = account.map(|account| account.parse().unwrap());
        let done = Done::Claimed { request_id: None, limit: 1, outcome: Ok(vec![job]) };
        assert!(matches!(&self.core.done(done)[..], [Effect::Send(Outbound::Jobs(jobs))] if jobs.len() == 1));
    }

    fn held(&self) -> Vec<&str> {
        let mut held: Vec<&str> = self.core.held().map(|(token, _)| token.expose()).collect();
        held.sort_unstable();
        held
    }

    fn report(&mut self, report: Value) -> (Box<reclaimer_domain::job::report::Report>, Subject) {
        match self.hear(reports(report)).pop() {
            Some(Effect::Report { report, subject, .. }) => (report, subject),
            other => panic!("{other:?}"),
        }
    }
}

fn reports(report: Value) -> Inbound {
    Inbound::Report { report, next: None }
}

fn handed_out(job: &str, token: &str) -> JobOnTheWire {
    let mut job = a_job().id(job).held_by("w").build();
    job.lease = Some(Lease {
        worker: "w".parse().unwrap(),
        token: token.parse().unwrap(),
        expires_at: after(noon(), SECOND * 60),
        excused: false,
    });
    JobOnTheWire::new(job, None)
}

fn lease(token: &str) -> LeaseToken {
    token.parse().unwrap()
}

fn sent(effects: &[Effect]) -> &Outbound {
    match effects {
        [Effect::Send(message)] => message,
        other => panic!("{other:?}"),
    }
}

fn unreadable() -> Unreadable {
    crate::dialect::Dialect::Flat(crate::dialect::Flat::default()).read(b"{}").unwrap_err()
}
