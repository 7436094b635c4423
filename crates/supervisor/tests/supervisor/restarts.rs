//! When a process is started again, and when not.

use std::time::Duration;

use reclaimer_supervisor::{Cause, GivenUp, OnExhausted, Restart, Spec, State, Why};

use crate::rig::{Event, Fifo, Process, Rig, Setup, lines, sh};

const SECOND: Duration = Duration::from_secs(1);

/// A worker with quick restarts, three of them.
fn quick(script: &str) -> Spec {
    Spec { restart_delay: Duration::from_millis(10), max_restarts: 3, within: SECOND * 6, ..sh(script) }
}

#[tokio::test]
async fn a_worker_that_ends_at_once_is_given_up_and_tried_slowly() {
    let slow_retry = Duration::from_millis(50);
    let mut rig = Rig::with(Setup { slow_retry, ..Setup::of([quick("echo no; exit 1")]) });
    for _ in 0..4 {
        let ended = rig.ended().await;
        assert_eq!((&ended.cause, ended.exit_code), (&Cause::Exited { code: 1 }, Some(1)));
        assert_eq!(lines(&ended), ["no"]);
    }
    let GivenUp { instance, why, retry_after } = rig.given_up().await;
    assert_eq!(instance.as_str(), "worker-1");
    assert_eq!(why, Why::Exhausted { restarts: 3, within: SECOND * 6 });
    assert!(retry_after.is_some());
    // Tried on and on, told once.
    for _ in 0..3 {
        let event = rig.next().await;
        assert!(matches!(event, Event::Started(..)), "{event:?}");
        assert!(matches!(rig.next().await, Event::Ready(_)));
        assert!(matches!(rig.next().await, Event::Ended(_)));
        let view = rig.view();
        assert!(view.given_up);
    }
    rig.stop().await;
}

#[tokio::test]
async fn an_exhausted_worker_may_be_held_until_somebody_restarts_it() {
    let mut rig = Rig::start([Spec { on_exhausted: OnExhausted::Hold, ..quick("exit 1") }]);
    let given_up = rig.given_up().await;
    assert_eq!(given_up.retry_after, None);
    let view = rig.view();
    assert_eq!((view.state, view.restarts, view.given_up, view.pid), (State::Held, 3, true, None));

    rig.handle.restart("worker").unwrap();
    rig.started().await;
    assert_eq!(rig.given_up().await, given_up, "afresh: as many restarts as before");
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_stable_again_is_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let well = folder.path().join("well");
    let script = format!("[ -e {} ] || exit 1; exec sleep 1000", well.display());
    let worker =
        Spec { restart_delay: Duration::from_millis(10), max_restarts: 1, within: SECOND, ..sh(&script) };
    let mut rig = Rig::with(Setup { slow_retry: Duration::from_millis(20), ..Setup::of([worker]) });
    rig.given_up().await;
    std::fs::write(well, "").unwrap();
    assert_eq!(rig.recovered().await.as_str(), "worker-1");
    let view = rig.view();
    assert_eq!((view.state, view.given_up), (State::Ready, false));
    rig.stop().await;
}

#[tokio::test]
async fn on_failure_means_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let tried = folder.path().join("tried");
    let script = format!("[ -e {0} ] && exit 0; touch {0}; kill -USR1 $$", tried.display());
    let mut rig = Rig::start([Spec { restart: Restart::OnFailure, ..quick(&script) }]);
    let first = rig.ended().await;
    assert_eq!((&first.cause, first.signal), (&Cause::Signalled { signal: 10 }, Some(10)));
    assert_eq!(rig.ended().await.exit_code, Some(0));
    let view = rig.view();
    assert_eq!((view.state, view.restarts), (State::Done, 1));
    assert_eq!(view.last_end.unwrap().exit_code, Some(0));
    rig.quiet();
    rig.stop().await;
}

#[tokio::test]
async fn never_means_never() {
    let mut rig = Rig::start([Spec { restart: Restart::Never, ..quick("exit 3") }]);
    assert_eq!(rig.ended().await.exit_code, Some(3));
    let view = rig.view();
    assert_eq!((view.state, view.given_up), (State::Done, false));
    rig.quiet();
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_says_that_a_restart_cannot_help_is_believed() {
    for code in [64, 78] {
        let mut rig = Rig::start([quick(&format!("exit {code}"))]);
        let GivenUp { why, retry_after, .. } = rig.given_up().await;
        assert_eq!((why, retry_after), (Why::Hopeless { code }, None));
        let view = rig.view();
        assert_eq!((view.state, view.restarts, view.given_up), (State::Held, 0, true));
        rig.quiet();
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_waiting_worker_says_when_and_starts_at_once_when_restarted() {
    let worker = Spec { restart_delay: SECOND * 3_000, within: SECOND * 86_400, ..sh("exit 1") };
    let mut rig = Rig::start([worker]);
    rig.ended().await;
    let state = rig.view().state;
    assert!(matches!(state, State::Waiting { .. }) && state.starts_in().is_some(), "{state:?}");
    rig.handle.restart("worker-1").unwrap();
    rig.started().await;
    rig.stop().await;
}

#[tokio::test]
async fn one_process_of_several_can_be_restarted_and_stopped() {
    let mut rig = Rig::start([Spec { count: 3, ..sh("exec sleep 1000") }]);
    let mut pids = Vec::new();
    for _ in 0..3 {
        pids.push(rig.started().await);
    }
    let names: Vec<String> = rig.handle.workers().iter().map(|view| view.instance.to_string()).collect();
    assert_eq!(names, ["worker-1", "worker-2", "worker-3"]);

    rig.handle.restart("worker-2").unwrap();
    let ended = rig.ended().await;
    assert_eq!((ended.instance.as_str(), &ended.cause), ("worker-2", &Cause::Stopped));
    rig.started().await;

    rig.handle.stop("worker").unwrap();
    for _ in 0..3 {
        assert_eq!(rig.ended().await.cause, Cause::Stopped);
    }
    for view in rig.handle.workers() {
        assert_eq!((view.state, view.pid), (State::Stopped, None));
    }
    rig.handle.restart("worker-3").unwrap();
    rig.started().await;
    let error = rig.handle.restart("worker-4").unwrap_err();
    assert_eq!(error.to_string(), "there is no worker `worker-4`; there are: worker-1, worker-2, worker-3");
    assert!(rig.handle.stop("").is_err());
    rig.stop().await;
}

#[tokio::test]
async fn who_is_stopped_before_the_start_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let script = format!("echo $$ > {}; exec sleep 1000", fifo.path());
    let rig = Rig::start([Spec { count: 2, ..sh(&script) }]);
    // Nothing ran yet: the runtime has one thread, and it is here.
    rig.handle.stop("worker-1").unwrap();
    let runs: Vec<Process> = fifo.processes().await;
    assert_eq!(runs.len(), 1);
    assert_eq!(rig.view().state, State::Stopped);
    rig.stop().await;
}
