//! Ending workers in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reclaimer_supervisor::{AskToFinish, Asked, Cause, Ended, Instance, Spec, State};
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use tokio::sync::Notify;

use crate::rig::{Event, Fifo, Process, Rig, Setup, lines, sh, state_file};

/// Says when it is asked to ask, and is done when it is let go.
#[derive(Debug, Default)]
struct Asking {
    asked: Notify,
    done: Arc<Notify>,
}

impl AskToFinish for Asking {
    fn ask(&self, _: &Instance) -> Asked {
        self.asked.notify_one();
        let done = Arc::clone(&self.done);
        Box::pin(async move { done.notified().await })
    }
}

/// Says when it runs; ends in order when it gets `SIGTERM`.
fn orderly(fifo: &Fifo) -> Spec {
    let script = format!(
        "trap 'echo told; kill $!; exit 5' TERM; sleep 1000 & echo up > {}; while true; do wait; done",
        fifo.path()
    );
    sh(&script)
}

fn only_end(events: Vec<Event>) -> Arc<Ended> {
    let mut ends = events.into_iter().filter_map(|event| match event {
        Event::Ended(ended) => Some(ended),
        _ => None,
    });
    let end = ends.next().unwrap();
    assert!(ends.next().is_none());
    end
}

#[tokio::test]
async fn at_the_end_of_the_supervisor_workers_end_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let rig = Rig::start([orderly(&fifo)]);
    fifo.read().await;
    let handle = rig.handle.clone();
    let ended = only_end(rig.stop().await);
    assert_eq!((&ended.cause, ended.exit_code), (&Cause::Stopped, Some(5)));
    assert_eq!(lines(&ended), ["told"]);
    assert_eq!(handle.workers()[0].state, State::Stopped);
}

#[tokio::test]
async fn a_worker_that_somebody_halted_can_end_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let mut rig = Rig::start([orderly(&fifo)]);
    let worker = Process::of(rig.started().await);
    fifo.read().await;
    worker.signal(Signal::STOP);
    rig.handle.stop("worker").unwrap();
    assert_eq!(rig.ended().await.exit_code, Some(5));
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_is_asked_to_finish_before_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let ask = Arc::new(Asking::default());
    let mut rig = Rig::with(Setup { ask: ask.clone(), ..Setup::of([orderly(&fifo)]) });
    fifo.read().await;
    rig.handle.stop("worker").unwrap();
    ask.asked.notified().await;
    assert_eq!(rig.view().state, State::Stopping);
    ask.done.notify_one();
    assert_eq!(rig.ended().await.exit_code, Some(5));
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_finishes_when_asked_gets_no_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let (up, go) = (Fifo::new(folder.path(), "up"), Fifo::new(folder.path(), "go"));
    let script = format!(
        "trap 'echo told' TERM; echo up > {}; read line < {}; echo finished; exit 0",
        up.path(),
        go.path()
    );
    let ask = Arc::new(Asking::default());
    let mut rig = Rig::with(Setup { ask: ask.clone(), ..Setup::of([sh(&script)]) });
    up.read().await;
    rig.handle.stop("worker").unwrap();
    ask.asked.notified().await;
    go.release().await;
    let ended = rig.ended().await;
    assert_eq!((&ended.cause, ended.exit_code), (&Cause::Stopped, Some(0)));
    assert_eq!(lines(&ended), ["finished"]);
    rig.stop().await;
}

#[tokio::test]
async fn who_does_not_hear_the_request_gets_sigterm_and_who_does_not_hear_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let script =
        format!("trap 'echo told' TERM; echo up > {}; while true; do wait; sleep 0.01; done", fifo.path());
    let worker = Spec { stop_grace: Duration::from_millis(300), ..sh(&script) };
    let mut rig = Rig::with(Setup { ask: Arc::new(Asking::default()), ..Setup::of([worker]) });
    fifo.read().await;
    rig.handle.stop("worker").unwrap();
    let ended = rig.ended().await;
    assert_eq!((&ended.cause, ended.signal), (&Cause::Stopped, Some(9)));
    assert_eq!(lines(&ended), ["told"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_restarted_while_it_is_stopped_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let ask = Arc::new(Asking::default());
    let mut rig = Rig::with(Setup { ask: ask.clone(), ..Setup::of([orderly(&fifo)]) });
    fifo.read().await;
    rig.handle.stop("worker").unwrap();
    ask.asked.notified().await;
    rig.handle.restart("worker").unwrap();
    ask.done.notify_one();
    assert_eq!(rig.ended().await.cause, Cause::Stopped);
    rig.started().await;
    fifo.read().await;
    ask.done.notify_one();
    rig.stop().await;
}

/// Waits until a supervisor has given its state file back.
async fn released(state_file: &Path) {
    let lock = std::fs::File::open(state_file.with_extension("lock")).unwrap();
    let locked = tokio::task::spawn_blocking(move || rustix::fs::flock(lock, FlockOperation::LockExclusive));
    locked.await.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_supervisor_that_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::with_in(Setup::of([sh("exec sleep 1000")]), folder);
    let worker = Process::of(rig.started().await);
    let guard = worker.parent();
    let path = state_file(rig.folder.path());
    let folder = rig.abort().await;
    // Dropped, not stopped: the guards see to it.
    worker.dies().await;
    guard.dies().await;
    released(&path).await;

    let mut rig = Rig::with_in(Setup::of([sh("exec sleep 1000")]), folder);
    let worker = Process::of(rig.started().await);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("worker-1 ")).count(), 1, "{text}");
    rig.handle.stop("worker").unwrap();
    rig.ended().await;
    assert!(worker.is_dead());
    let folder = rig.stop_and_leave().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1, "only the title");

    // One after another in one program, without a pause.
    let mut rig = Rig::with_in(Setup::of([sh("exec sleep 1000")]), folder);
    rig.started().await;
    rig.stop().await;
}
