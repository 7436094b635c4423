//! What links see of supervised processes, and what the end of a process means for its jobs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::StoreError;
use reclaimer_messaging::{self as messaging, PeerWatch, Roster};
use reclaimer_provisioning::Provisioning;
use reclaimer_supervisor::{AskToFinish, Asked, Cause, Ended, Handle, Instance, Listener};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use tracing::warn;

/// The connections of a process end with it; one that has not within this time is some other trouble's.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Knows what links have seen of each process, from its first sign of life until its end is in the books of its jobs.
#[derive(Debug)]
pub(super) struct Processes {
    sight: Arc<Sight>,
    /// Known once the links are put together.
    links: OnceLock<WorkerLinks>,
    settling: TaskTracker,
}

/// Over which link each worker is heard.
#[derive(Debug)]
pub(super) struct WorkerLinks {
    pub(super) handle: messaging::Handle,
    pub(super) by_worker: HashMap<String, String>,
}

impl WorkerLinks {
    fn of_worker(&self, worker: &str) -> Option<&str> {
        self.by_worker.get(worker).map(String::as_str)
    }
}

#[derive(Debug)]
struct Sight {
    roster: Arc<Roster>,
    provisioning: Provisioning,
    /// By the number of the process that the supervisor started.
    seen: Mutex<HashMap<u32, Seen>>,
}

/// What links have seen of a process.
#[derive(Debug, Clone)]
struct Seen {
    instance: Instance,
    /// Itself, and those it started, as far as they speak.
    pids: BTreeSet<i32>,
    /// What they call themselves.
    names: BTreeSet<WorkerId>,
    /// What they held over connections that ended.
    left: HashSet<LeaseToken>,
}

impl Sight {
    fn seen(&self) -> MutexGuard<'_, HashMap<u32, Seen>> {
        // Every change is a few insertions.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a process that ended held: over links, and over HTTP by the name that it was given.
    async fn held(&self, ended: &Ended) -> Result<Vec<(JobId, LeaseToken)>, StoreError> {
        let Some(pid) = ended.pid else { return Ok(Vec::new()) };
        let mut held = HashMap::new();
        // At once, while nobody else can go by its name.
        if let Ok(name) = ended.instance.as_str().parse() {
            let leases = self.provisioning.held_by(&name).await?.into_iter();
            let leases = leases.map(|held| (held.lease.token, held.job));
            held.extend(leases.filter(|(token, _)| !self.roster.holds(token)));
        }
        let pids = self.seen().get(&pid).map(|seen| seen.pids.clone()).unwrap_or_default();
        // Connections that outlive it have their leases held elsewhere.
        drop(tokio::time::timeout(GONE_WITHIN, self.roster.gone(&pids)).await);
        let Some(seen) = self.seen().remove(&pid) else { return Ok(pairs(held)) };
        for name in &seen.names {
            let leases = self.provisioning.held_by(name).await?.into_iter();
            let leases = leases.map(|held| (held.lease.token, held.job));
            held.extend(leases.filter(|(token, _)| seen.left.contains(token)));
        }
        Ok(pairs(held))
    }

    /// How a process ended goes into the history of the jobs it held; they come back at once, and at nobody's cost where it
    /// was asked to end.
    async fn settle(&self, ended: &Ended) -> Result<(), StoreError> {
        let held = self.held(ended).await?;
        if held.is_empty() {
            return Ok(());
        }
        let leases = held.iter().map(|(_, token)| token.clone()).collect();
        let reason = format!("its worker {} {}", ended.instance, ended.cause);
        if ended.cause == Cause::Stopped {
            return self.provisioning.release(leases, Some(reason), Duration::ZERO).await.map(drop);
        }
        for (job, _) in held {
            self.provisioning.testify(job, Actor::System, reason.clone(), detail(ended)).await?;
        }
        self.provisioning.hold(leases, Some(Duration::ZERO), false).await.map(drop)
    }
}

fn pairs(held: HashMap<LeaseToken, JobId>) -> Vec<(JobId, LeaseToken)> {
    held.into_iter().map(|(token, job)| (job, token)).collect()
}

impl Processes {
    pub(super) fn new(roster: Arc<Roster>, provisioning: Provisioning) -> Self {
        let sight = Arc::new(Sight { roster, provisioning, seen: Mutex::default() });
        Self { sight, links: OnceLock::new(), settling: TaskTracker::new() }
    }

    /// Tells over which links workers are heard, before any is started.
    pub(super) fn know_links(&self, links: WorkerLinks) {
        // There is one set of links.
        drop(self.links.set(links));
    }

    /// Tells the supervisor of what links hear.
    pub(super) fn watch(&self, supervisor: Handle) -> Watch {
        Watch { sight: Arc::clone(&self.sight), supervisor }
    }

    /// The workers that a process is known as.
    pub(super) fn names(&self, instance: &Instance) -> BTreeSet<WorkerId> {
        let seen = self.sight.seen();
        let own = seen.values().filter(|seen| seen.instance == *instance);
        own.flat_map(|seen| seen.names.clone()).collect()
    }

    /// Waits until every end is in the books.
    pub(super) async fn settle_all(&self) {
        self.settling.close();
        self.settling.wait().await;
    }
}

/// Passes on what links hear.
#[derive(Debug)]
pub(super) struct Watch {
    sight: Arc<Sight>,
    supervisor: Handle,
}

impl PeerWatch for Watch {
    fn heard(&self, pid: i32, worker: &WorkerId) {
        // Whoever was not started here is heard all the same.
        let Some((process, instance)) = self.supervisor.instance_of(pid) else { return };
        {
            let mut seen = self.sight.seen();
            let seen = seen.entry(process).or_insert_with(|| Seen {
                instance: instance.clone(),
                pids: BTreeSet::new(),
                names: BTreeSet::new(),
                left: HashSet::new(),
            });
            seen.pids.insert(pid);
            seen.names.insert(worker.clone());
        }
        self.supervisor.ready(instance.as_str());
        self.supervisor.heard(instance.as_str());
    }

    fn lost(&self, pid: i32, leases: &[LeaseToken]) -> Duration {
        let mut seen = self.sight.seen();
        let Some(seen) = seen.values_mut().find(|seen| seen.pids.contains(&pid)) else {
            return Duration::ZERO;
        };
        seen.left.extend(leases.iter().cloned());
        // It is asked to end, then told to, and then killed.
        let grace = self.supervisor.stop_grace(seen.instance.as_str()).unwrap_or_default();
        grace.saturating_mul(2).saturating_add(GONE_WITHIN)
    }
}

impl Listener for Processes {
    fn started(&self, instance: &Instance, _: u32) {
        let link =
            self.links.get().and_then(|links| links.of_worker(instance.worker()).map(|link| (links, link)));
        if let Some((links, link)) = link {
            links.handle.worker_started(link);
        }
    }

    fn ended(&self, ended: &Arc<Ended>) {
        let (sight, ended) = (Arc::clone(&self.sight), Arc::clone(ended));
        self.settling.spawn(async move {
            if let Err(error) = sight.settle(&ended).await {
                let worker = &ended.instance;
                warn!(
                    area = "SUPERVISOR",
                    worker_id = %worker,
                    %error,
                    "the end of a worker is not in the history of its jobs; their leases end as they would have"
                );
            }
        });
    }
}

impl AskToFinish for Processes {
    fn ask(&self, instance: &Instance) -> Asked {
        let seen = self.sight.seen();
        let own = seen.values().filter(|seen| seen.instance == *instance);
        let pids: BTreeSet<i32> = own.flat_map(|seen| seen.pids.iter().copied()).collect();
        let roster = Arc::clone(&self.sight.roster);
        Box::pin(async move { roster.finish(&pids, "its process is to end").await })
    }
}

/// What is kept of the end of a process with each job it held.
fn detail(ended: &Ended) -> Value {
    let output: Vec<&str> = ended.output.iter().map(|line| line.text.as_str()).collect();
    json!({
        "process": ended.instance.as_str(),
        "pid": ended.pid,
        "cause": ended.cause.code(),
        "exitCode": ended.exit_code,
        "signal": ended.signal,
        "outOfMemory": ended.out_of_memory,
        "peakMemory": ended.peak_memory,
        "ranForMs": u64::try_from(ended.ran_for.as_millis()).unwrap_or(u64::MAX),
        "output": output,
    })
}
