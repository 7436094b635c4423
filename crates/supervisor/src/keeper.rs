//! A keeper: keeps one seat taken, life after life, as the policy and people want.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::AREA;
use crate::config::Config;
use crate::evidence::{Cause, Ended};
use crate::handle::State;
use crate::life::Life;
use crate::listener::{AskToFinish, GivenUp, Listener};
use crate::policy::{History, Next, Terms};
use crate::seat::{Seat, Wish};
use crate::spawner::Spawner;

/// What all keepers work with.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) config: Arc<Config>,
    pub(crate) spawner: Spawner,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) ask: Arc<dyn AskToFinish>,
}

/// Keeps one seat.
#[derive(Debug)]
pub(crate) struct Keeper {
    means: Arc<Means>,
    seat: Arc<Seat>,
    wishes: watch::Receiver<Wish>,
    terms: Terms,
    history: History,
    rng: StdRng,
    shutdown: CancellationToken,
}

/// When the next life begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Now,
    At(Instant),
    /// Not before somebody wishes it.
    OnWish,
}

impl Keeper {
    pub(crate) fn new(means: Arc<Means>, seat: Arc<Seat>, rng: StdRng, shutdown: CancellationToken) -> Self {
        let terms = Terms::new(&seat.spec, means.config.slow_retry);
        let wishes = seat.wishes();
        Self { means, seat, wishes, terms, history: History::default(), rng, shutdown }
    }

    /// Keeps the seat until the shutdown. Nothing runs on it any more then.
    pub(crate) async fn keep(mut self, mut begin: Begin) {
        if begin == Begin::Now {
            // Somebody may have wished something before we came.
            self.wishes.mark_changed();
        }
        let mut first = true;
        while self.wait(begin).await {
            if !std::mem::replace(&mut first, false) {
                self.seat.show(|view| view.restarts += 1);
            }
            let ended = Arc::new(self.live().await);
            begin = self.follow(ended);
        }
    }

    /// Waits for the next life; false when there will be none.
    async fn wait(&mut self, mut begin: Begin) -> bool {
        loop {
            let due = async {
                match begin {
                    Begin::Now => {}
                    Begin::At(at) => sleep_until(at).await,
                    Begin::OnWish => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return false,
                Ok(()) = self.wishes.changed() => begin = self.take_wish(),
                () = due => return true,
            }
        }
    }

    /// Does as was wished.
    fn take_wish(&mut self) -> Begin {
        let Wish { run } = *self.wishes.borrow_and_update();
        self.history = History::default();
        let state = if run { State::Starting } else { State::Stopped };
        self.seat.show(|view| {
            view.state = state;
            view.given_up = false;
        });
        if run { Begin::Now } else { Begin::OnWish }
    }

    async fn live(&mut self) -> Ended {
        self.seat.show(|view| view.state = State::Starting);
        let life = match Life::begin(&self.means, &self.seat).await {
            Ok(life) => life,
            Err(ended) => return *ended,
        };
        let (shutdown, wishes) = (&self.shutdown, &mut self.wishes);
        life.live(async move {
            // The wish itself is left for the time after.
            let wished = async {
                if wishes.changed().await.is_ok() {
                    wishes.mark_changed();
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = wished => {}
            }
        })
        .await
    }

    /// Records an end, and decides what follows.
    fn follow(&mut self, ended: Arc<Ended>) -> Begin {
        self.log(&ended);
        let now = Instant::now();
        let (cause, ready_for) = (&ended.cause, ended.ready_for);
        let next = self.terms.decide(&mut self.history, cause, ready_for, now, &mut self.rng);
        let known = self.seat.view().given_up;
        let (state, begin) = match next {
            Next::Restart { after } => (State::Waiting { until: now + after }, Begin::At(now + after)),
            Next::GiveUp { retry_after: Some(after), .. } => {
                (State::GivenUp { until: now + after }, Begin::At(now + after))
            }
            Next::GiveUp { retry_after: None, .. } => (State::Held, Begin::OnWish),
            Next::Done if *cause == Cause::Stopped => (State::Stopped, Begin::OnWish),
            Next::Done => (State::Done, Begin::OnWish),
        };
        self.seat.show(|view| {
            view.state = state;
            view.pid = None;
            view.given_up = matches!(next, Next::GiveUp { .. });
            view.last_end = Some(Arc::clone(&ended));
        });
        self.means.listener.ended(&ended);
        if let Next::GiveUp { why, retry_after } = next
            && !known
        {
            let retry_in_ms = retry_after.map(millis);
            let instance = ended.instance.clone();
            error!(area = AREA, worker_id = %instance, retry_in_ms, "worker given up: {why}");
            self.means.listener.given_up(&GivenUp { instance, why, retry_after });
        }
        begin
    }

    fn log(&self, ended: &Ended) {
        let Ended { instance, cause, exit_code, signal, peak_memory, ran_for, .. } = ended;
        let (wanted, elapsed_ms) = (*cause == Cause::Stopped, millis(*ran_for));
        let expected = wanted || *cause == Cause::Exited { code: 0 };
        if expected {
            info!(area = AREA, worker_id = %instance, exit_code, signal, peak_memory, elapsed_ms, "worker {cause}");
        } else {
            warn!(area = AREA, worker_id = %instance, exit_code, signal, peak_memory, elapsed_ms, "worker {cause}");
        }
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
