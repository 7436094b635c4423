//! Workers as the settings have them.

use std::time::Duration;

use reclaimer_supervisor::{Config, Launcher, Spec};

use crate::config::{self, Settings};

/// The hidden command by which this program does the launcher's work.
pub(crate) const LAUNCH: &str = "launch-worker";

/// The file in the data folder in which the supervisor writes down which processes run.
const STATE_FILE: &str = "workers.state";

/// A process that is heard over a link and is not within this time will not be.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where a process finds the path of its link.
const SOCKET_PATH: &str = "SOCKET_PATH";

/// Everything the supervisor is to know.
pub(super) fn config(settings: &Settings) -> Config {
    let workers = settings.supervisor.worker.iter().map(|worker| spec(settings, worker)).collect();
    let state_file = settings.server.data_dir.join(STATE_FILE);
    Config {
        slow_retry: settings.supervisor.retry_exhausted,
        ..Config::new(workers, Launcher::this_program([LAUNCH]), state_file)
    }
}

fn spec(settings: &Settings, worker: &config::Worker) -> Spec {
    let links = settings.link.all();
    let link = links.iter().find(|link| Some(&link.name) == worker.link.as_ref());
    let usual = Spec::new(&worker.name, &worker.command);
    let mut env = worker.env.clone();
    if let Some(link) = link {
        // A worker has its own folder; a path that counts from ours would lead it elsewhere.
        let path = std::path::absolute(&link.path).unwrap_or_else(|_| link.path.clone());
        env.entry(SOCKET_PATH.to_owned()).or_insert_with(|| path.display().to_string());
    }
    Spec {
        args: worker.args.clone(),
        env,
        dir: worker.dir.clone(),
        count: worker.count.unwrap_or(usual.count),
        user: worker.user.clone(),
        restart: match worker.restart {
            config::Restart::Always => reclaimer_supervisor::Restart::Always,
            config::Restart::OnFailure => reclaimer_supervisor::Restart::OnFailure,
            config::Restart::Never => reclaimer_supervisor::Restart::Never,
        },
        restart_delay: worker.restart_delay.unwrap_or(usual.restart_delay),
        max_restarts: worker.max_restarts.unwrap_or(usual.max_restarts),
        within: worker.within.unwrap_or(usual.within),
        ready_within: worker.ready_within.or(link.map(|_| READY_WITHIN)),
        stop_grace: worker.stop_grace.unwrap_or(usual.stop_grace),
        memory_limit: worker.memory_limit.map(|limit| limit.as_u64()),
        open_files: worker.open_files,
        liveness: link.map(|link| link.heartbeat_timeout(&settings.link)),
        on_exhausted: match worker.on_exhausted {
            config::OnExhausted::Slow => reclaimer_supervisor::OnExhausted::Slow,
            config::OnExhausted::Hold => reclaimer_supervisor::OnExhausted::Hold,
        },
        ..usual
    }
}
