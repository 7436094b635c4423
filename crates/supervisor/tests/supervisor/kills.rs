//! The supervisor itself is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use reclaimer_supervisor::{RunError, Supervisor};
use rustix::process::{Pid, Signal};
use tokio_util::sync::CancellationToken;

use crate::rig::{Fifo, Process, Rig, Setup, sh, state_file};

/// A program that supervises one worker.
struct Victim(Child);

impl Victim {
    fn start(folder: &Path, script: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_supervisor-victim"))
            .arg("supervise")
            .arg(state_file(folder))
            .arg(script)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn process(&self) -> Process {
        Process::of(Pid::from_child(&self.0))
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A worker, a child of it, and one that left its session and its parent; they tell their numbers.
fn family(fifo: &Fifo) -> String {
    format!(
        "sleep 1000 & child=$!; \
         lost=$(sh -c 'setsid sleep 1000 > /dev/null & echo $!'); \
         echo $$ $child $lost > {}; while true; do sleep 1000; done",
        fifo.path()
    )
}

#[tokio::test]
async fn no_process_outlives_a_supervisor_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let mut victim = Victim::start(folder.path(), &family(&fifo));
    let family = fifo.processes().await;
    assert_eq!(family.len(), 3);
    let guard = family[0].parent();
    victim.kill();
    for process in family {
        process.dies().await;
    }
    guard.dies().await;
}

#[tokio::test]
async fn what_outlives_even_its_guard_is_swept_away_by_the_next_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let mut victim = Victim::start(folder.path(), &family(&fifo));
    let family = fifo.processes().await;
    let guard = family[0].parent();
    // Stopped, neither can act on the death of the other.
    guard.signal(Signal::STOP);
    victim.process().signal(Signal::STOP);
    guard.signal(Signal::KILL);
    guard.dies().await;
    victim.kill();
    let [worker, child, lost] = <[Process; 3]>::try_from(family).unwrap();
    worker.dies().await;
    assert!(!child.is_dead() && !lost.is_dead(), "nobody was left to end them");

    let mut rig = Rig::with_in(Setup::of([sh("exec sleep 1000")]), folder);
    rig.started().await;
    assert!(child.is_dead() && lost.is_dead(), "swept away before anything new starts");
    rig.stop().await;
}

#[tokio::test]
async fn a_guard_that_hangs_is_swept_away_with_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let mut victim = Victim::start(folder.path(), &family(&fifo));
    let family = fifo.processes().await;
    let guard = family[0].parent();
    guard.signal(Signal::STOP);
    victim.kill();
    assert!(!family[0].is_dead());

    let mut rig = Rig::with_in(Setup::of([sh("exec sleep 1000")]), folder);
    rig.started().await;
    assert!(family.iter().all(Process::is_dead) && guard.is_dead());
    rig.stop().await;
}

#[tokio::test]
async fn two_supervisors_do_not_share_a_state_file() {
    let mut rig = Rig::start([sh("exec sleep 1000")]);
    let worker = Process::of(rig.started().await);
    let config =
        reclaimer_supervisor::Config::new(Vec::new(), crate::rig::launcher(), state_file(rig.folder.path()));
    let (second, _) = Supervisor::new(config, crate::rig::deps()).unwrap();
    let refused = second.run(CancellationToken::new()).await.unwrap_err();
    assert!(matches!(refused, RunError::Taken(_)), "{refused}");
    assert!(!worker.is_dead());
    rig.stop().await;
}
