//! What links hear of supervised processes, and what the end of a process means for its jobs.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use nix::unistd::{Pid, getpgid};
use reclaimer_domain::history::Actor;
use reclaimer_domain::name::WorkerId;
use reclaimer_messaging::{PeerWatch, Roster};
use reclaimer_provisioning::Provisioning;
use reclaimer_supervisor::{AskToFinish, Asked, Cause, Ended, Handle, Instance, Listener};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::GONE_WITHIN;

/// Knows which names each process goes by, from its first sign of life to the settling of its end.
#[derive(Debug)]
pub(super) struct Processes {
    roster: Arc<Roster>,
    provisioning: Provisioning,
    names: Mutex<HashMap<String, BTreeSet<WorkerId>>>,
    settling: TaskTracker,
}

impl Processes {
    pub(super) fn new(roster: Arc<Roster>, provisioning: Provisioning) -> Self {
        Self { roster, provisioning, names: Mutex::default(), settling: TaskTracker::new() }
    }

    /// Tells the supervisor of what links hear.
    pub(super) fn watch(self: &Arc<Self>, supervisor: Handle) -> Watch {
        Watch { processes: Arc::clone(self), supervisor }
    }

    /// The workers that a process is known as: those heard of it, and its own name.
    pub(super) fn names(&self, instance: &str) -> BTreeSet<WorkerId> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = names.get(instance).cloned().unwrap_or_default();
        found.extend(instance.parse::<WorkerId>());
        found
    }

    /// Waits until every end is in the books.
    pub(super) async fn settle_all(&self) {
        self.settling.close();
        self.settling.wait().await;
    }
}

/// The process of a worker that a process belongs to, by its group.
pub(super) fn instance_of(pid: i32, supervisor: &Handle) -> Option<Instance> {
    let group = u32::try_from(getpgid(Some(Pid::from_raw(pid))).ok()?.as_raw()).ok()?;
    supervisor.workers().into_iter().find(|view| view.pid == Some(group)).map(|view| view.instance)
}

/// Passes signs of life on.
#[derive(Debug)]
pub(super) struct Watch {
    processes: Arc<Processes>,
    supervisor: Handle,
}

impl PeerWatch for Watch {
    fn heard(&self, pid: i32, worker: &WorkerId) {
        // Whoever was not started here is heard all the same.
        let Some(instance) = instance_of(pid, &self.supervisor) else { return };
        let mut names = self.processes.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.entry(instance.as_str().to_owned()).or_default().insert(worker.clone());
        drop(names);
        self.supervisor.ready(instance.as_str());
        self.supervisor.heard(instance.as_str());
    }
}

impl Listener for Processes {
    fn ended(&self, ended: &Arc<Ended>) {
        let workers = self.names(ended.instance.as_str());
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(ended.instance.as_str());
        let (roster, provisioning) = (Arc::clone(&self.roster), self.provisioning.clone());
        let ended = Arc::clone(ended);
        self.settling.spawn(async move {
            for worker in workers {
                settle(&roster, &provisioning, &worker, &ended).await;
            }
        });
    }
}

impl AskToFinish for Processes {
    fn ask(&self, instance: &Instance) -> Asked {
        let workers = self.names(instance.as_str());
        let roster = Arc::clone(&self.roster);
        Box::pin(async move {
            let reason = "its process is to end";
            join_all(workers.iter().map(|worker| roster.finish(worker, reason))).await;
        })
    }
}

/// What a process held is nobody's when it has ended. How it ended goes into the history of those jobs; they come back at
/// once, and at nobody's cost where the process was asked to end.
async fn settle(roster: &Roster, provisioning: &Provisioning, worker: &WorkerId, ended: &Ended) {
    if tokio::time::timeout(GONE_WITHIN, roster.gone(worker)).await.is_err() {
        // Somebody else goes by the same name, and holds what it held.
        return;
    }
    let settled = async {
        let held = provisioning.held_by(worker).await?;
        if held.is_empty() {
            return Ok(());
        }
        let leases = held.iter().map(|(_, lease)| lease.token.clone()).collect();
        let reason = format!("its worker {} {}", ended.instance, ended.cause);
        if ended.cause == Cause::Stopped {
            return provisioning.release(leases, Some(reason), Duration::ZERO).await.map(drop);
        }
        for (job, _) in held {
            provisioning.testify(job, Actor::System, reason.clone(), detail(ended)).await?;
        }
        provisioning.hold(leases, Some(Duration::ZERO), false).await.map(drop)
    };
    if let Err(error) = settled.await {
        warn!(
            area = "SUPERVISOR",
            worker_id = %worker,
            %error,
            "the end of a worker is not in the history of its jobs; their leases end as they would have"
        );
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
