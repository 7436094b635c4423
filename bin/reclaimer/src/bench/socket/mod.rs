//! The worker link over a Unix socket.

pub(super) mod session;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::drive::{in_turn, turns};
use super::figure::{Measured, Rate};
use super::http::bare_server::BareServer;
use super::http::load::Clients;
use super::http::wire::{Address, request};
use super::http::{BARE, BATCHING, INSERT, SETTINGS};
use super::place::Place;
use super::progress::Progress;
use super::store::{BATCH, Beside, payload, waiting};
use crate::server_process::ServerProcess;
use workers::Workers;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each figure is measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    each: Duration,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// How many workers take one job after another
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=200))]
    connections: u16,
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let sockets = tempfile::tempdir()?;
    let (link, bare_socket) = (sockets.path().join("link"), sockets.path().join("bare"));
    let settings = format!("{SETTINGS}[[link.each]]\nname = \"bench\"\npath = {link:?}\nmode = \"listen\"\n");
    let ours = ServerProcess::start(&place.folder("ours")?, &settings, None).await?;
    let bare_server = BareServer::start(&place.folder("bare")?, &bare_socket).await?;
    let (bare, _) = Beside::open(&place.at("bare.db"))?;
    let connections = usize::from(args.connections);
    let producer =
        Clients::connect(&Address::Tcp(ours.address.clone()), 1, ours.admin_token.expose()).await?;
    let inserting = Clients::connect(&bare_server.unix, connections, "").await?;
    let insert = request("POST", "/insert", None, &payload().to_string());
    let progress = Progress::of(turns(args.each) * 2);
    let mut rates = Vec::new();

    let named = format!("take or report a job, {connections} workers");
    progress.say(named.clone());
    let workers = Workers::connect(&link, connections).await?;
    let (rate, beside) = in_turn(
        args.each,
        &progress,
        async |length| {
            producer.top_up(waiting(connections, length)).await?;
            producer.took(workers.take_and_report(1, length).await?)
        },
        async |length| inserting.repeat(insert.clone(), length).await,
    )
    .await?;
    rates.push(Rate::of(named, rate, INSERT, beside));

    let named = format!("jobs taken or reported, limit=100 and 100 reports at once, {BATCHING} workers");
    progress.say(named.clone());
    let workers = Workers::connect(&link, BATCHING).await?;
    let most = waiting(BATCHING, args.each) * BATCH as u64 / 10;
    let (rate, beside) = in_turn(
        args.each,
        &progress,
        async |length| {
            producer.top_up(most).await?;
            producer.took(workers.take_and_report(BATCH, length).await?)
        },
        async |length| {
            bare.top_up(most).await?;
            bare.work(BATCHING, BATCH, length).await
        },
    )
    .await?;
    // Of the bare table, too, taking and completing are two operations.
    rates.push(Rate::of(named, rate, BARE, 2.0 * beside));
    ours.stop().await?;
    Ok(rates.into())
}
