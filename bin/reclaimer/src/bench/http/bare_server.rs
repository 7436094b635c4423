//! What our server is measured beside: the same listener and runtime in a process of its own, with a route that does nothing
//! and one that inserts its body into a bare table.

use std::path::{Path, PathBuf};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use reclaimer_baseline::Bare;
use reclaimer_server::{Address as Listen, Limits, Listeners, serve};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::wire::Address;
use crate::server_process::start_leashed;
use crate::system::EndSignals;

/// The server, seen from outside.
#[derive(Debug)]
pub(crate) struct BareServer {
    pub(crate) tcp: Address,
    pub(crate) unix: Address,
    /// Lives as long as this does.
    _child: Child,
}

impl BareServer {
    /// Starts it with its table in this folder, which exists, and a socket at this path.
    pub(crate) async fn start(folder: &Path, socket: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "bare-server"]).arg(folder).arg(socket);
        let (child, address) =
            start_leashed(command, &folder.join("listen"), &folder.join("server.log")).await?;
        Ok(Self { tcp: Address::Tcp(address), unix: Address::Unix(socket.to_owned()), _child: child })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    folder: PathBuf,
    socket: PathBuf,
}

/// The server, from inside: serves until its standard input closes.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut signals = EndSignals::listen(true)?;
    let (bare, _) = Bare::open(&args.folder.join("bare.db"))?;
    let addresses = ["127.0.0.1:0".parse::<Listen>()?, Listen::Unix(args.socket.clone())];
    let listeners = Listeners::bind(&addresses, false).await?;
    let lines: Vec<String> = listeners.addresses().iter().map(ToString::to_string).collect();
    let written = args.folder.join("listen.new");
    std::fs::write(&written, lines.join("\n") + "\n")?;
    std::fs::rename(&written, args.folder.join("listen"))?;
    let router = Router::new()
        .route("/nothing", post(|| async { StatusCode::OK }))
        .route("/insert", post(insert))
        .with_state(bare);
    let shutdown = CancellationToken::new();
    let serving = serve(listeners, router, Limits::default(), shutdown.clone());
    tokio::select! {
        _ = serving => {}
        _ = signals.next() => {}
    }
    Ok(())
}

/// Answers when the body is durable.
async fn insert(State(bare): State<Bare>, body: String) -> StatusCode {
    match bare.insert(vec![body]).await {
        Ok(()) => StatusCode::CREATED,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
