//! What a worker gets: its environment, its limits, its user; and what listeners may do to us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reclaimer_supervisor::{Cause, Config, Instance, Listener, Restart, Spec, State, Supervisor};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, deps, launcher, lines, sh, state_file};

fn once(script: &str) -> Spec {
    Spec { restart: Restart::Never, ..sh(script) }
}

#[tokio::test]
async fn a_worker_gets_its_environment_and_not_ours() {
    // Cargo sets it for tests.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let mut worker =
        once("echo $RECLAIMER_WORKER $OWN ${CARGO_MANIFEST_DIR-none} ${RECLAIMER_WORKER_RUN:+run}; pwd");
    worker.env.insert("OWN".to_owned(), "own value".to_owned());
    worker.dir = Some("/usr".into());
    let mut rig = Rig::start([Spec { count: 2, ..worker }]);
    for _ in 0..2 {
        let ended = rig.ended().await;
        let expected = format!("{} own value none run", ended.instance);
        assert_eq!(lines(&ended), [expected.as_str(), "/usr"]);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_has_a_group_of_its_own_and_no_more_files_than_it_may() {
    let script = "ulimit -Sn; ulimit -Hn; set -- $(cut -d' ' -f5,6 /proc/$$/stat); \
                  [ $1 = $$ ] && echo own group; cat /proc/self/oom_score_adj; echo $(ls /proc/self/fd)";
    let mut rig = Rig::start([Spec { open_files: Some(64), ..once(script) }]);
    let ended = rig.ended().await;
    let lines = lines(&ended);
    assert_eq!(lines[..3], ["64", "64", "own group"]);
    assert!(lines[3].parse::<i32>().unwrap() >= 500, "it is killed for memory before we are");
    assert_eq!(
        lines[4], "0 1 2 3",
        "no descriptor of ours is left open; the last is that of the folder listed"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_runs_as_its_user_or_says_that_it_cannot() {
    let root = nix::unistd::geteuid().is_root();
    let user = if root { "nobody" } else { "root" }.to_owned();
    let mut rig = Rig::start([Spec { user: Some(user), ..once("id -un; id -Gn; echo $USER $HOME") }]);
    let ended = rig.ended().await;
    if root {
        let home = nix::unistd::User::from_name("nobody").unwrap().unwrap().dir;
        let lines = lines(&ended);
        assert_eq!(lines[0], "nobody");
        assert!(!lines[1].contains("root"), "no group of ours is kept: {lines:?}");
        assert_eq!(lines[2], format!("nobody {}", home.display()));
    } else {
        let Cause::NotStarted { why } = &ended.cause else { panic!("{ended:?}") };
        assert!(why.contains("run the server as root, or leave `user` out"), "{why}");
    }
    rig.stop().await;
}

/// Panics the first time that it is told something.
#[derive(Debug)]
struct Clumsy {
    panicked: AtomicBool,
    started: mpsc::UnboundedSender<String>,
}

impl Listener for Clumsy {
    fn started(&self, instance: &Instance, _: u32) {
        self.started.send(instance.to_string()).unwrap();
        assert!(self.panicked.swap(true, Ordering::SeqCst), "a listener's defect");
    }
}

#[tokio::test]
async fn a_listener_that_panics_costs_one_worker_until_it_is_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(vec![sh("exec sleep 1000")], launcher(), state_file(folder.path()));
    let (tell, mut started) = mpsc::unbounded_channel();
    let listener = Arc::new(Clumsy { panicked: AtomicBool::new(false), started: tell });
    let (supervisor, handle) =
        Supervisor::new(config, reclaimer_supervisor::Deps { listener, ..deps() }).unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(supervisor.run(shutdown.clone()));
    started.recv().await.unwrap();
    // The panic happens in the same breath; what follows it runs before this task goes on for long.
    while handle.workers()[0].state != State::Held {
        tokio::task::yield_now().await;
    }
    assert!(handle.workers()[0].given_up);
    handle.restart("worker").unwrap();
    started.recv().await.unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
