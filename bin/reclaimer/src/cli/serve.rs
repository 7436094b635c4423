//! `reclaimer serve`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use reclaimer_server::policy::{PolicySource, ReloadError};
use reclaimer_server::{Address, Auth, Listeners};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Common;
use crate::config::{Flags, Settings, load};
use crate::data_dir::{ADMIN_TOKEN, DataDir, WORKER_TOKEN};
use crate::fleet;
use crate::logging;
use crate::policy::{self, PolicyFile};
use crate::system::{EndSignals, ReloadSignals, Seed, SystemClock};
use crate::systemd;
use crate::traces;
use crate::wiring::{self, Outside, database_file};

#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Where to listen: IP:PORT or unix:PATH; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// End when standard input closes: whoever started this server has ended
    #[arg(long, hide = true)]
    leashed: bool,
}

/// Takes as many file descriptors as the system gives without being asked: connections to the API and over links use one
/// each, and with the usual soft limit a thousand silent ones would leave none for the others.
fn raise_descriptors() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        warn!(area = "JOB-MANAGER", %error, "the limit of file descriptors stays as it is");
    }
}

/// Serves until SIGTERM or SIGINT; a second one ends without waiting.
pub(super) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let settings = load(&Flags { listen: args.listen, ..common.flags() })?.settings;
    logging::start(&settings);
    let mut signals = EndSignals::listen(args.leashed)?;
    let reloads = ReloadSignals::listen()?;
    let policy = policy(&settings)?;
    let data = DataDir::take(&settings.server.data_dir)?;
    let auth = auth(&settings, &data)?;
    raise_descriptors();
    let own_uid = nix::unistd::geteuid().as_raw();
    let shared = auth.socket_uids.iter().any(|uid| *uid != own_uid);
    let listeners = Listeners::bind(&settings.server.addresses()?, shared).await?;
    let sockets = fleet::bind(&settings, &auth.socket_uids, shared).await?;
    let addresses = listeners.addresses().to_vec();
    let shutdown = CancellationToken::new();
    let outside = Outside {
        clock: Arc::new(SystemClock),
        seed: Seed::fresh()?,
        auth,
        listeners,
        sockets,
        policy,
        traces: traces::from_environment()?,
        shutdown: shutdown.clone(),
    };
    let graph = wiring::build(&settings, outside)?;
    graph.open().await;
    data.warn_of_onlookers(&database_file(&settings)?);
    let announced = data.announce(&addresses);
    greet(&settings, &data, &addresses);

    let reloading = tokio::spawn(reload(graph.policy(), reloads));
    let watchdog = tokio::spawn(systemd::watchdog(graph.turning(), addresses.clone()));
    let mut server = tokio::spawn(graph.run());
    systemd::ready(&addresses);
    let reason = tokio::select! {
        signal = signals.next() => signal,
        ended = &mut server => {
            ended.context("the server ended by a panic")?;
            anyhow::bail!("the server ended by itself");
        }
    };
    info!(area = "JOB-MANAGER", reason, "the server ends: no more requests, what runs is finished");
    systemd::stopping();
    shutdown.cancel();
    let in_order = tokio::select! {
        served = &mut server => served.context("the server ended by a panic")?.in_order,
        signal = signals.next() => {
            warn!(area = "JOB-MANAGER", reason = signal, "the server ends at once, without waiting for what runs");
            false
        }
    };
    reloading.abort();
    watchdog.abort();
    drop(announced);
    if in_order {
        info!(area = "JOB-MANAGER", reason, "the server has ended in order");
        return Ok(ExitCode::SUCCESS);
    }
    warn!(
        area = "JOB-MANAGER",
        reason, "some requests were cut off; what they wrote is kept, their jobs come back"
    );
    Ok(ExitCode::FAILURE)
}

/// The policy that the settings name.
fn policy(settings: &Settings) -> Result<policy::Loaded> {
    policy::Loaded::of(&settings.recovery).map_err(|unusable| {
        let lines = unusable.lines().join("\n  ");
        anyhow::anyhow!("the policy file of `recovery.policy` cannot be used:\n  {lines}")
    })
}

/// Reads the policy file anew at each signal. What comes of it is in the log.
async fn reload(policy: Arc<PolicyFile>, mut signals: ReloadSignals) {
    loop {
        signals.next().await;
        if let Err(ReloadError::NoFile) = policy.reload().await {
            info!(area = "JOB-MANAGER", reason = "SIGHUP", "{}", ReloadError::NoFile);
        }
    }
}

fn auth(settings: &Settings, data: &DataDir) -> Result<Auth> {
    let digests = |configured: &[String], file: &str| -> Result<Vec<[u8; 32]>> {
        if configured.is_empty() {
            return Ok(vec![data.token(file)?]);
        }
        configured
            .iter()
            .map(|digest| {
                hex::decode(digest)?.try_into().map_err(|_| anyhow::anyhow!("a digest has 32 bytes"))
            })
            .collect()
    };
    let own_uid = || vec![nix::unistd::geteuid().as_raw()];
    Ok(Auth {
        admin: digests(&settings.auth.admin_token_sha256, ADMIN_TOKEN)?,
        worker: digests(&settings.auth.worker_token_sha256, WORKER_TOKEN)?,
        socket_uids: settings.auth.socket_uids.clone().unwrap_or_else(own_uid),
    })
}

/// Says where the server listens and where the tokens lie, never the tokens.
fn greet(settings: &Settings, data: &DataDir, addresses: &[Address]) {
    let listen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    // Where the settings name a token's digest, no file holds the token.
    let made = |digests: &[String], name: &str| {
        digests.is_empty().then(|| data.path().join(name).display().to_string())
    };
    let admin = made(&settings.auth.admin_token_sha256, ADMIN_TOKEN);
    let worker = made(&settings.auth.worker_token_sha256, WORKER_TOKEN);
    info!(
        area = "JOB-MANAGER",
        listen = listen.join(" "),
        version = env!("CARGO_PKG_VERSION"),
        database = settings.database.address(&settings.server.data_dir),
        admin_token_file = admin,
        worker_token_file = worker,
        "the server is up"
    );
    if !std::io::stdout().is_terminal() {
        return;
    }
    let mut lines = String::new();
    for address in addresses {
        let scheme = if matches!(address, Address::Tcp(_)) { "http://" } else { "" };
        lines.push_str(&format!("Listening on {scheme}{address}\n"));
    }
    for (what, file) in [("Admin token ", admin), ("Worker token", worker)] {
        lines.extend(file.map(|file| format!("{what} in {file}\n")));
    }
    if let Some(Address::Tcp(address)) = addresses.iter().find(|address| matches!(address, Address::Tcp(_))) {
        lines.push_str(&format!("Dashboard on http://{address}/\n"));
        lines.push_str(&format!("Documentation on http://{address}{}\n", crate::docs_site::ROOT));
    }
    // A terminal that is gone needs no greeting.
    drop(write!(std::io::stdout(), "{lines}"));
}
