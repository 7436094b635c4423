//! The supervisor: a keeper for each process of each worker.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::AREA;
use crate::config::Config;
use crate::handle::{Handle, State};
use crate::keeper::{Begin, Keeper, Means};
use crate::listener::{AskToFinish, Listener};
use crate::seat::Seat;
use crate::spawner::Spawner;
use crate::spec::{self, SpecError};

/// What the supervisor works with.
#[derive(Debug)]
pub struct Deps {
    /// Is told what happens; `Arc::new(())` when nobody needs to be.
    pub listener: Arc<dyn Listener>,
    /// Asks a process to finish before `SIGTERM`; `Arc::new(())` when there is no way to.
    pub ask: Arc<dyn AskToFinish>,
    /// Spreads restarts.
    pub rng: StdRng,
}

/// Keeps workers alive until it is stopped. Made by [`Supervisor::new`], driven by [`Supervisor::run`].
#[derive(Debug)]
pub struct Supervisor {
    config: Arc<Config>,
    deps: Deps,
    seats: Arc<[Arc<Seat>]>,
}

/// Why a supervisor cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another supervisor uses the state file.
    #[error("another supervisor uses {0}; end that server first, or choose another data folder")]
    Taken(PathBuf),
    /// The state file cannot be opened or read.
    #[error(
        "cannot use {path}, where it is written down which workers run; see that its folder is there and writable"
    )]
    StateFile {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread that starts workers could not be started.
    #[error("cannot start the thread that starts workers; see how many threads this user may have")]
    Thread(#[source] io::Error),
}

impl Supervisor {
    /// A supervisor, and the handle that the rest of the program holds. Nothing is started before it runs.
    ///
    /// # Errors
    /// When a worker is written down in a way that cannot be meant.
    pub fn new(config: Config, deps: Deps) -> Result<(Self, Handle), SpecError> {
        spec::check(&config.workers)?;
        let seats: Arc<[Arc<Seat>]> = config
            .workers
            .iter()
            .flat_map(|worker| {
                let shared = Arc::new(worker.clone());
                worker.instances().map(move |instance| Arc::new(Seat::new(instance, Arc::clone(&shared))))
            })
            .collect();
        let handle = Handle { seats: Arc::clone(&seats) };
        Ok((Self { config: Arc::new(config.in_range()), deps, seats }, handle))
    }

    /// Ends what an earlier supervisor left, then keeps all workers until `shutdown` is cancelled, and ends them: each is
    /// asked to finish, gets `SIGTERM`, and is killed after its `stop_grace`, all of them at the same time.
    ///
    /// # Errors
    /// When the state file or the thread that starts workers cannot be had. Nothing was started then.
    ///
    /// # Cancel safety
    /// Dropping the future kills all workers, without asking.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        let Self { config, deps: Deps { listener, ask, mut rng }, seats } = self;
        let (spawner, ending) = Spawner::start(config.state_file.clone()).await?;
        let means = Arc::new(Means { config, spawner, listener, ask });
        let mut keepers = Keepers { means, shutdown, tasks: JoinSet::new(), seats: HashMap::new() };
        info!(area = AREA, processes = seats.len(), "supervising");
        for seat in seats.iter() {
            keepers.start(Arc::clone(seat), StdRng::from_rng(&mut rng), Begin::Now);
        }
        while let Some(joined) = keepers.tasks.join_next_with_id().await {
            let Err(failed) = joined else { continue };
            // Its guard has lost us, and ended the worker. The seat stays empty until somebody wants it taken.
            let Some(seat) = keepers.seats.remove(&failed.id()) else { continue };
            error!(area = AREA, worker_id = %seat.instance, error = %failed, "the keeper of a worker failed: a defect");
            seat.show(|view| {
                view.state = State::Held;
                view.pid = None;
                view.given_up = true;
            });
            keepers.start(seat, StdRng::from_rng(&mut rng), Begin::OnWish);
        }
        drop(keepers);
        ending.wait().await;
        debug!(area = AREA, "no worker is left");
        Ok(())
    }
}

/// The keepers that work.
struct Keepers {
    means: Arc<Means>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    seats: HashMap<Id, Arc<Seat>>,
}

impl Keepers {
    fn start(&mut self, seat: Arc<Seat>, rng: StdRng, begin: Begin) {
        let keeper = Keeper::new(Arc::clone(&self.means), Arc::clone(&seat), rng, self.shutdown.clone());
        let task = self.tasks.spawn(keeper.keep(begin));
        self.seats.insert(task.id(), seat);
    }
}
