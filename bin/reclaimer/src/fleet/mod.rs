//! Links and supervised processes, put together: what each tells the other, and what both show.
//!
//! [`links`] and [`workers`] turn settings into what the crates take; [`processes`] carries news from one to the other;
//! [`view`] is the fleet as the API sees it, [`seen`] as health does, [`told`] as live
//! events tell of it.

mod links;
mod processes;
mod seen;
mod told;
mod view;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use reclaimer_domain::ports::Clock;
use reclaimer_messaging::{Links, NoWatch, PeerWatch, Roster};
use reclaimer_provisioning::Provisioning;
use reclaimer_supervisor::Supervisor;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub(crate) use self::links::{Sockets, bind};
use self::processes::{Processes, WorkerLinks};
pub(crate) use self::view::Fleet;
pub(crate) use self::workers::LAUNCH;
use crate::config::Settings;
use crate::system::Seed;

/// What a fleet needs from outside.
#[derive(Debug)]
pub(crate) struct Deps {
    pub(crate) provisioning: Provisioning,
    /// The same that the store tells of taken leases.
    pub(crate) roster: Arc<Roster>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: Seed,
    pub(crate) sockets: Sockets,
    pub(crate) shutdown: CancellationToken,
}

/// Links and workers, ready to run.
#[derive(Debug)]
pub(crate) struct Crew {
    links: Links,
    paths: Vec<PathBuf>,
    supervisor: Option<(Supervisor, Arc<Processes>)>,
    shutdown: CancellationToken,
    /// Ends the links, when nobody needs them any more.
    links_end: CancellationToken,
}

/// Puts links and workers together.
pub(crate) fn build(settings: &Settings, deps: Deps) -> Result<(Crew, Arc<Fleet>)> {
    let Deps { provisioning, roster, clock, seed, sockets, shutdown } = deps;
    let supervised = if settings.supervisor.enabled {
        let processes = Arc::new(Processes::new(Arc::clone(&roster), provisioning.clone()));
        let deps = reclaimer_supervisor::Deps {
            listener: Arc::clone(&processes) as Arc<dyn reclaimer_supervisor::Listener>,
            ask: Arc::clone(&processes) as Arc<dyn reclaimer_supervisor::AskToFinish>,
            rng: seed.generator("supervisor"),
        };
        let (supervisor, handle) =
            Supervisor::new(workers::config(settings), deps).context("[[supervisor.worker]]")?;
        Some((supervisor, processes, handle))
    } else {
        None
    };
    let watch: Arc<dyn PeerWatch> = match &supervised {
        Some((_, processes, handle)) => Arc::new(processes.watch(handle.clone())),
        None => Arc::new(NoWatch),
    };
    let links_end = CancellationToken::new();
    let paths = sockets.paths();
    let (links, handle) = Links::new(
        links::links(settings, sockets)?,
        reclaimer_messaging::Deps {
            provisioning,
            roster,
            watch,
            clock: Arc::clone(&clock),
            rng: seed.generator("links"),
            lease: settings.provisioning.lease,
            grace: settings.recovery.reclaim_grace,
            shutdown_grace: settings.server.shutdown_grace,
        },
        links_end.clone(),
    )
    .context("[breaker]")?;
    let (supervisor, workers) = match supervised {
        Some((supervisor, processes, supervised)) => {
            let of_workers = settings.supervisor.worker.iter();
            let by_worker = of_workers.filter_map(|it| Some((it.name.clone(), it.link.clone()?))).collect();
            processes.know_links(WorkerLinks { handle: handle.clone(), by_worker });
            (Some((supervisor, Arc::clone(&processes))), Some((supervised, processes)))
        }
        None => (None, None),
    };
    let fleet = Arc::new(Fleet::new(handle, workers, clock));
    Ok((Crew { links, paths, supervisor, shutdown, links_end }, fleet))
}

impl Crew {
    /// Runs until the shutdown is asked for, and ends in order: first the workers, which may finish what they hold over
    /// their links, then the links.
    pub(crate) fn start(self) -> JoinHandle<()> {
        let Self { links, paths, supervisor, shutdown, links_end } = self;
        tokio::spawn(async move {
            let links = tokio::spawn(links.run());
            if let Some((supervisor, processes)) = supervisor {
                if let Err(error) = supervisor.run(shutdown.clone()).await {
                    let error = anyhow::Error::new(error);
                    error!(area = "SUPERVISOR", "no workers are started: {error:#}");
                }
                processes.settle_all().await;
            }
            shutdown.cancelled().await;
            links_end.cancel();
            if let Err(panic) = links.await {
                error!(area = "MESSAGEBUS", %panic, "the links ended by a panic");
            }
            for path in paths {
                // One that somebody else put there meanwhile, or took away, is none of ours.
                drop(std::fs::remove_file(path));
            }
        })
    }
}
