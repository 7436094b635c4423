//! What is known of an end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reclaimer_supervisor::{Cause, KEPT_LINES, Launcher, MAX_KEPT, Restart, Spec, State, Stream};
use rustix::process::Signal;

use crate::rig::{Event, Fifo, Process, Rig, Setup, lines, sh};

fn once(script: &str) -> Spec {
    Spec { restart: Restart::Never, ..sh(script) }
}

#[tokio::test]
async fn the_last_lines_are_kept_clipped_and_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    // The runtime has one thread, so this one's subscriber hears all tasks.
    let _guard = tracing::subscriber::set_default(subscriber);
    let script = "i=0; while [ $i -lt 70 ]; do echo line $i; i=$((i + 1)); done; \
                  head -c 10000 /dev/zero | tr '\\0' x; echo; echo careful >&2; printf 'no end'";
    let mut rig = Rig::start([once(script)]);
    let ended = rig.ended().await;
    assert_eq!(ended.output.len(), KEPT_LINES);
    let out: Vec<&str> = texts(&ended, Stream::Stdout);
    let numbered: Vec<&str> = out.iter().copied().filter(|line| line.starts_with("line ")).collect();
    let expected: Vec<String> = (70 - numbered.len()..70).map(|number| format!("line {number}")).collect();
    assert_eq!(numbered, expected, "the last ones, in order");
    assert_eq!(out.last(), Some(&"no end"));
    let long = out[out.len() - 2];
    assert!(long.len() <= MAX_KEPT && long.starts_with("xxx") && long.ends_with("x…"), "{long}");
    assert_eq!(texts(&ended, Stream::Stderr), ["careful"]);
    rig.stop().await;

    let log = log.text();
    let line = log.lines().find(|line| line.contains("line 3\"")).unwrap();
    for part in [r#""area":"SUPERVISOR""#, r#""worker_id":"worker-1""#, r#""stream":"stdout""#] {
        assert!(line.contains(part), "{line}");
    }
}

fn texts(ended: &reclaimer_supervisor::Ended, stream: Stream) -> Vec<&str> {
    ended.output.iter().filter(|line| line.stream == stream).map(|line| line.text.as_str()).collect()
}

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_that_passes_its_memory_limit_is_killed_and_recorded_as_such() {
    const LIMIT: u64 = 64 << 20;
    let hog = Spec { memory_limit: Some(LIMIT), ..once("echo hungry; tail /dev/zero") };
    let mut rig = Rig::start([hog]);
    let ended = rig.ended().await;
    assert_eq!(ended.cause, Cause::MemoryLimit);
    assert!(ended.out_of_memory);
    assert_eq!((ended.signal, ended.exit_code), (Some(9), None));
    assert!(ended.peak_memory > Some(LIMIT), "{ended:?}");
    assert_eq!(lines(&ended), ["hungry"]);
    rig.stop().await;
}

#[tokio::test]
async fn the_limit_is_for_all_processes_together() {
    const LIMIT: u64 = 100 << 20;
    // Each keeps what it read, as nobody takes it.
    let script = "for part in 1 2 3; do head -c 40000000 /dev/zero | tail | sleep 1000 & done; wait";
    let mut rig = Rig::start([Spec { memory_limit: Some(LIMIT), ..once(script) }]);
    let ended = rig.ended().await;
    assert_eq!((&ended.cause, ended.signal), (&Cause::MemoryLimit, Some(9)));
    assert!(ended.peak_memory > Some(LIMIT), "{ended:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_the_kernel_kills_for_memory_is_recorded_as_such() {
    // Joins a control group whose memory is bounded, if this machine lets it have one; else it kills itself, which must
    // not be taken for the same.
    let group = ControlGroup::new(64 << 20);
    let script = match &group {
        Some(ControlGroup(path)) => format!("echo $$ > {}/cgroup.procs; exec tail /dev/zero", path.display()),
        None => "kill -KILL $$".to_owned(),
    };
    let mut rig = Rig::start([once(&script)]);
    let ended = rig.ended().await;
    assert_eq!(ended.signal, Some(9));
    assert_eq!(ended.out_of_memory, group.is_some());
    assert_eq!(ended.cause == Cause::OutOfMemory, group.is_some());
    rig.stop().await;
}

/// A control group whose memory is bounded.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("supervisor-test-{}", std::process::id());
        // The older hierarchy, and the present one.
        for (root, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Self(Path::new(root).join(&name));
            let bounded = std::fs::create_dir(&group.0)
                .and_then(|()| std::fs::write(group.0.join(limit), bytes.to_string()));
            if bounded.is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // One that could not be made need not be removed.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn the_peak_is_that_of_the_worker_alone() {
    let mut rig = Rig::start([
        Spec { name: "large".to_owned(), ..once("head -c 80000000 /dev/zero | tail | wc -c") },
        Spec { name: "small".to_owned(), ..once("true") },
    ]);
    for _ in 0..2 {
        let ended = rig.ended().await;
        let peak = ended.peak_memory.unwrap();
        match ended.instance.worker() {
            "large" => assert!((80_000_000..400_000_000).contains(&peak), "{peak}"),
            _ => assert!((100_000..60_000_000).contains(&peak), "{peak}"),
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_never_ready_is_ended() {
    let ready_within = Some(Duration::from_millis(200));
    let mut rig = Rig::start([Spec { ready_within, ..once("exec sleep 1000") }]);
    rig.started().await;
    let ended = rig.ended().await;
    assert_eq!((&ended.cause, ended.signal, ended.ready_for), (&Cause::NeverReady, Some(15), None));
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_is_ready_when_it_is_said_to_be() {
    let ready_within = Some(Duration::from_secs(3_600));
    let mut rig = Rig::start([Spec { ready_within, ..once("exec sleep 1000") }]);
    assert!(matches!(rig.next().await, Event::Started(..)));
    assert_eq!(rig.view().state, State::Starting);
    assert!(rig.handle.ready("worker-1"));
    assert!(!rig.handle.ready("worker"), "a worker is no process");
    let event = rig.next().await;
    assert!(matches!(&event, Event::Ready(instance) if instance.as_str() == "worker-1"), "{event:?}");
    assert_eq!(rig.view().state, State::Ready);
    assert!(rig.handle.heard("worker-1") && !rig.handle.heard("other"));
    rig.stop().await;
}

#[tokio::test]
async fn a_deaf_worker_is_ended() {
    let liveness = Some(Duration::from_millis(200));
    let mut rig = Rig::start([Spec { liveness, ..once("exec sleep 1000") }]);
    let ended = rig.ended().await;
    assert_eq!((&ended.cause, ended.signal), (&Cause::Deaf, Some(15)));
    assert!(ended.ready_for.is_some());
    rig.stop().await;
}

#[tokio::test]
async fn a_stopped_worker_is_killed_when_it_does_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let script = format!("trap '' TERM; echo $$ > {}; while true; do sleep 1000; done", fifo.path());
    let mut rig = Rig::start([Spec {
        liveness: Some(Duration::from_millis(300)),
        stop_grace: Duration::from_millis(200),
        ..once(&script)
    }]);
    for process in fifo.processes().await {
        process.signal(Signal::STOP);
    }
    let ended = rig.ended().await;
    assert_eq!((&ended.cause, ended.signal), (&Cause::Deaf, Some(9)));
    rig.stop().await;
}

#[tokio::test]
async fn nothing_of_a_worker_outlives_it() {
    let script = "sleep 1000 & echo $!; (setsid sh -c 'echo $$; exec sleep 1000' &) ; \
                  setsid sh -c 'trap \"\" TERM; sleep 1000 & echo $!; wait' & read line < \"$GO\"";
    let folder = tempfile::tempdir().unwrap();
    let go = Fifo::new(folder.path(), "go");
    let mut worker = once(script);
    worker.env.insert("GO".to_owned(), go.path().to_string());
    let mut rig = Rig::start([worker]);
    rig.started().await;
    go.release().await;
    let ended = rig.ended().await;
    assert_eq!(ended.exit_code, Some(0));
    for pid in lines(&ended) {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} is left");
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let named = |name: &str, spec: Spec| Spec { name: name.to_owned(), ..spec };
    let mut rig = Rig::start([
        named("lost", Spec { command: "/nowhere/to/be/found".into(), ..once("") }),
        named("folder", Spec { dir: Some("/nowhere".into()), ..once("") }),
        named("plain", Spec { command: "/etc/passwd".into(), ..once("") }),
        named("user", Spec { user: Some("nobody-of-this-name".to_owned()), ..once("") }),
    ]);
    for _ in 0..4 {
        let ended = rig.ended().await;
        let Cause::NotStarted { why } = &ended.cause else { panic!("{ended:?}") };
        let expected = match ended.instance.worker() {
            "lost" => {
                "cannot run /nowhere/to/be/found: No such file or directory (os error 2); give its full path"
            }
            "folder" => "cannot enter the folder /nowhere: No such file or directory (os error 2); see `dir`",
            "plain" => "cannot run /etc/passwd: Permission denied (os error 13); make it executable",
            _ => "there is no user nobody-of-this-name; see `user`",
        };
        assert!(why.starts_with(expected), "{why}");
        assert_eq!((ended.pid, ended.exit_code, ended.signal), (None, None, None));
    }
    rig.stop().await;
}

#[tokio::test]
async fn without_a_launcher_nothing_starts_and_it_is_said() {
    let setup = Setup::of([once("true")]);
    let mut rig = Rig::with(Setup { launcher: Launcher::at("/nowhere/launcher"), ..setup });
    let ended = rig.ended().await;
    let Cause::NotStarted { why } = &ended.cause else { panic!("{ended:?}") };
    assert!(why.contains("/nowhere/launcher"), "{why}");
    rig.stop().await;

    // A program that is no launcher.
    let mut rig = Rig::with(Setup { launcher: Launcher::at("/bin/echo"), ..Setup::of([once("true")]) });
    let ended = rig.ended().await;
    assert_eq!(ended.cause, Cause::GuardLost);
    assert!(lines(&ended)[0].starts_with("guard name=worker-1"), "{ended:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_without_its_guard_is_killed_with_all_that_is_below() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path(), "fifo");
    let script = format!(
        "sleep 1000 & one=$!; setsid sleep 1000 & echo $$ $one $! > {}; while true; do sleep 1000; done",
        fifo.path()
    );
    let mut rig = Rig::start([once(&script)]);
    let processes = fifo.processes().await;
    assert_eq!(processes.len(), 3);
    processes[0].parent().signal(Signal::KILL);
    let ended = rig.ended().await;
    assert_eq!(ended.cause, Cause::GuardLost);
    for process in &processes {
        assert!(process.is_dead(), "{process:?}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_guard_that_does_not_answer_is_killed_too() {
    let mut rig = Rig::start([Spec { stop_grace: Duration::from_millis(100), ..once("exec sleep 1000") }]);
    let worker = Process::of(rig.started().await);
    worker.parent().signal(Signal::STOP);
    rig.handle.stop("worker").unwrap();
    assert_eq!(rig.ended().await.cause, Cause::Stopped);
    assert!(worker.is_dead());
    rig.stop().await;
}
