//! One life of a process: from its start to its end, whoever brings that about.
//!
//! | phase | leaves it when | for |
//! |---|---|---|
//! | starting | said to be ready (or running, if nobody will say) | ready |
//! | | not ready in time | ending: never ready |
//! | ready | silent for too long | ending: deaf |
//! | any of these | somebody wants it to end | asking |
//! | asking | it has been asked, or `stop_grace` is over | terminating |
//! | terminating (`SIGTERM` was sent) | `stop_grace` is over | killing |
//! | killing (`SIGKILL` was ordered) | the guard does not answer | killing, the guard too |
//!
//! The life is over when the guard says so, or says nothing any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::AREA;
use crate::evidence::{Cause, Ended, Stream};
use crate::guarded::Guarded;
use crate::handle::State;
use crate::keeper::Means;
use crate::listener::Asked;
use crate::output::{Tail, read};
use crate::patience::Patience;
use crate::proc::{self, ProcessId};
use crate::report::{End, Report, Status, Want};
use crate::seat::Seat;
use crate::sweep;

/// How long a launcher may take until the worker's program runs, where no other limit says it: a user may be looked up
/// over a network.
const ENTER_WITHIN: Duration = Duration::from_secs(60);

/// How long a guard may take to kill its worker, before it is killed too.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A process that lives.
pub(crate) struct Life<'a> {
    means: &'a Means,
    seat: &'a Arc<Seat>,
    guarded: Guarded,
    worker: Option<ProcessId>,
    phase: Phase,
    /// Why it is being ended by us.
    ending: Option<Cause>,
    began: Instant,
    ready_since: Option<Instant>,
    output: Output,
}

enum Phase {
    Starting(Patience),
    Ready(Option<Patience>),
    Asking { asked: Asked, until: Instant },
    Terminating { until: Instant },
    Killing { until: Instant },
}

/// What the process writes.
struct Output {
    tail: Tail,
    readers: JoinSet<()>,
    ended: CancellationToken,
}

impl Output {
    /// What was kept, when nothing can be written any more.
    async fn finish(mut self) -> Vec<crate::evidence::Line> {
        self.ended.cancel();
        while self.readers.join_next().await.is_some() {}
        self.tail.take()
    }
}

impl<'a> Life<'a> {
    /// Starts a process.
    pub(crate) async fn begin(means: &'a Means, seat: &'a Arc<Seat>) -> Result<Self, Box<Ended>> {
        let began = Instant::now();
        seat.signs.reset();
        let started = Guarded::start(&means.spawner, &means.config, seat).await;
        let (guarded, stdout, stderr) = started.map_err(|error| {
            let launcher = means.config.launcher.program.display();
            let why = format!("cannot start the launcher {launcher}: {error}");
            Box::new(Ended::not_started(seat.instance.clone(), why, began.elapsed()))
        })?;
        let (tail, ended, mut readers) = (Tail::default(), CancellationToken::new(), JoinSet::new());
        let name = || seat.instance.clone();
        readers.spawn(read(stdout, Stream::Stdout, name(), tail.clone(), ended.clone()));
        readers.spawn(read(stderr, Stream::Stderr, name(), tail.clone(), ended.clone()));
        let patience = Patience::new(seat.spec.ready_within.unwrap_or(ENTER_WITHIN), began);
        Ok(Self {
            means,
            seat,
            guarded,
            worker: None,
            phase: Phase::Starting(patience),
            ending: None,
            began,
            ready_since: None,
            output: Output { tail, readers, ended },
        })
    }

    /// Lives until its end; `leave` is done when somebody wants it to end.
    pub(crate) async fn live(mut self, leave: impl Future<Output = ()>) -> Ended {
        let mut leave = std::pin::pin!(leave);
        loop {
            let wake = self.wake_at();
            let may_leave = matches!(self.phase, Phase::Starting(_) | Phase::Ready(_));
            let may_get_ready = matches!(self.phase, Phase::Starting(_)) && self.worker.is_some();
            let asked = async {
                match &mut self.phase {
                    Phase::Asking { asked, .. } => asked.await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                report = self.guarded.next() => match report {
                    Some(Report::Started(worker)) => self.runs(worker),
                    Some(Report::Failed(why)) => return self.over(None, Some(Cause::NotStarted { why })).await,
                    Some(Report::Ended(end)) => return self.over(Some(end), None).await,
                    None => return self.lost().await,
                },
                () = &mut leave, if may_leave => self.ask(),
                () = self.seat.signs.ready(), if may_get_ready => self.ready(),
                () = asked => self.terminate(),
                () = sleep_until(wake) => self.look(),
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let stable = self.stable_at();
        let next = match &self.phase {
            Phase::Starting(patience) | Phase::Ready(Some(patience)) => Some(patience.next_look()),
            Phase::Ready(None) => None,
            Phase::Asking { until, .. } | Phase::Terminating { until } | Phase::Killing { until } => {
                Some(*until)
            }
        };
        next.into_iter().chain(stable).min().unwrap_or_else(|| Instant::now() + KILL_PATIENCE)
    }

    /// When a process that used up its restarts counts as stable again.
    fn stable_at(&self) -> Option<Instant> {
        let since = self.ready_since.filter(|_| self.seat.view().given_up)?;
        Some(since + self.seat.spec.within)
    }

    /// The worker's program runs.
    fn runs(&mut self, worker: ProcessId) {
        let pid = proc::number(worker.pid);
        self.worker = Some(worker);
        self.guarded.note(worker);
        self.seat.show(|view| view.pid = Some(pid));
        info!(area = AREA, worker_id = %self.seat.instance, pid, "worker started");
        self.means.listener.started(&self.seat.instance, pid);
        if self.seat.spec.ready_within.is_none() && self.ending.is_none() {
            self.ready();
        }
    }

    fn ready(&mut self) {
        let now = Instant::now();
        self.ready_since = Some(now);
        self.phase = Phase::Ready(self.seat.spec.liveness.map(|interval| Patience::new(interval, now)));
        self.seat.show(|view| view.state = State::Ready);
        info!(area = AREA, worker_id = %self.seat.instance, "worker ready");
        self.means.listener.ready(&self.seat.instance);
    }

    /// Some time has come.
    fn look(&mut self) {
        let now = Instant::now();
        if self.stable_at().is_some_and(|at| at <= now) {
            info!(area = AREA, worker_id = %self.seat.instance, "worker is stable again");
            self.seat.show(|view| view.given_up = false);
            self.means.listener.recovered(&self.seat.instance);
        }
        let last = self.seat.signs.last();
        match &mut self.phase {
            Phase::Starting(patience) => {
                if patience.is_over(None, now) {
                    self.give_up_on(self.worker.map_or_else(never_ran, |_| Cause::NeverReady));
                }
            }
            Phase::Ready(patience) => {
                if patience.as_mut().is_some_and(|patience| patience.is_over(last, now)) {
                    self.give_up_on(Cause::Deaf);
                }
            }
            Phase::Asking { until, .. } if *until <= now => self.terminate(),
            Phase::Terminating { until } if *until <= now => self.kill(),
            Phase::Killing { until } if *until <= now => self.kill_guard(),
            Phase::Asking { .. } | Phase::Terminating { .. } | Phase::Killing { .. } => {}
        }
    }

    /// Somebody wants it to end.
    fn ask(&mut self) {
        self.ending = Some(Cause::Stopped);
        self.seat.show(|view| view.state = State::Stopping);
        info!(area = AREA, worker_id = %self.seat.instance, "worker is asked to end");
        let asked = self.means.ask.ask(&self.seat.instance);
        self.phase = Phase::Asking { asked, until: Instant::now() + self.seat.spec.stop_grace };
    }

    /// It does not do what it is there for.
    fn give_up_on(&mut self, cause: Cause) {
        warn!(area = AREA, worker_id = %self.seat.instance, cause = cause.code(), "worker is ended");
        self.ending = Some(cause);
        self.seat.show(|view| view.state = State::Stopping);
        self.terminate();
    }

    fn terminate(&mut self) {
        self.guarded.terminate();
        self.phase = Phase::Terminating { until: Instant::now() + self.seat.spec.stop_grace };
    }

    fn kill(&mut self) {
        warn!(area = AREA, worker_id = %self.seat.instance, "worker does not end when asked to; killed");
        self.guarded.kill();
        self.phase = Phase::Killing { until: Instant::now() + KILL_PATIENCE };
    }

    fn kill_guard(&mut self) {
        error!(area = AREA, worker_id = %self.seat.instance, "the guard does not answer; killed with its worker");
        self.guarded.kill_guard();
        self.phase = Phase::Killing { until: Instant::now() + KILL_PATIENCE };
    }

    /// The guard said its last word.
    async fn over(self, end: Option<End>, failure: Option<Cause>) -> Ended {
        let Self { seat, guarded, worker, ending, began, ready_since, output, .. } = self;
        guarded.bury().await;
        let now = Instant::now();
        let want = end.map_or(Want::None, |end| end.want);
        let (exit_code, signal, by_itself) = match end.map(|end| end.status) {
            Some(Status::Exited(code)) => (Some(code), None, Cause::Exited { code }),
            Some(Status::Signalled(signal)) => (None, Some(signal), Cause::Signalled { signal }),
            None => (None, None, failure.unwrap_or(Cause::GuardLost)),
        };
        let cause = match (ending, want) {
            (Some(Cause::Stopped), _) => Cause::Stopped,
            (_, Want::Limit) => Cause::MemoryLimit,
            (_, Want::Machine) => Cause::OutOfMemory,
            (ending, Want::None) => ending.unwrap_or(by_itself),
        };
        Ended {
            instance: seat.instance.clone(),
            pid: worker.map(|worker| proc::number(worker.pid)),
            cause,
            exit_code,
            signal,
            out_of_memory: want != Want::None,
            peak_memory: end.map(|end| end.peak_memory).filter(|bytes| *bytes > 0),
            ready_for: ready_since.map(|since| now - since),
            ran_for: now - began,
            output: output.finish().await,
        }
    }

    /// The guard is gone, and did not say what became of the worker.
    async fn lost(mut self) -> Ended {
        error!(area = AREA, worker_id = %self.seat.instance, "the guard ended before its worker; the worker is killed");
        // It may only have become mute; what it guards is ended below.
        self.guarded.kill_guard();
        let record = self.guarded.record(self.worker);
        let swept = tokio::task::spawn_blocking(move || sweep::end(&record)).await;
        if let Err(error) = swept {
            error!(area = AREA, worker_id = %self.seat.instance, %error, "cannot look for what it left");
        }
        self.over(None, None).await
    }
}

fn never_ran() -> Cause {
    Cause::NotStarted {
        why: "its program did not come to run in time; see `user`, `dir` and `command`".to_owned(),
    }
}

impl Ended {
    fn not_started(instance: crate::instance::Instance, why: String, ran_for: Duration) -> Self {
        Self {
            instance,
            pid: None,
            cause: Cause::NotStarted { why },
            exit_code: None,
            signal: None,
            out_of_memory: false,
            peak_memory: None,
            ready_for: None,
            ran_for,
            output: Vec::new(),
        }
    }
}
