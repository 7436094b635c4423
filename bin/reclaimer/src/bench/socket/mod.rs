//! The worker link over a Unix socket.

pub(super) mod session;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::drive::{Done, in_turn, turns};
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
    let progress = Progress::of(turns(args.each) * 4);
    let mut rates = Vec::new();

    let workers = Workers::connect(&link, connections).await?;
    for (work, next) in [("take or report a job", false), ("report a job and take the next", true)] {
        let named = format!("{work}, {connections} workers");
        progress.say(named.clone());
        let (rate, beside) = in_turn(
            args.each,
            &progress,
            async |length| {
                producer.top_up(waiting(connections, length)).await?;
                work_through(&producer, &workers, next, 1, length).await
            },
            async |length| inserting.repeat(insert.clone(), length).await,
        )
        .await?;
        rates.push(Rate::of(named, rate, INSERT, beside));
    }

    let workers = Workers::connect(&link, BATCHING).await?;
    let most = waiting(BATCHING, args.each) * BATCH as u64 / 10;
    for (work, next) in [
        ("jobs taken or reported, limit=100 and 100 reports at once", false),
        ("jobs reported, 100 at once that take the next 100", true),
    ] {
        let named = format!("{work}, {BATCHING} workers");
        progress.say(named.clone());
        let (rate, beside) = in_turn(
            args.each,
            &progress,
            async |length| {
                producer.top_up(most).await?;
                work_through(&producer, &workers, next, BATCH, length).await
            },
            async |length| {
                bare.top_up(most).await?;
                match next {
                    true => bare.go_on(BATCHING, BATCH, length).await,
                    false => bare.work(BATCHING, BATCH, length).await,
                }
            },
        )
        .await?;
        // Of the bare table, too, taking and completing are two operations.
        let beside = if next { beside } else { 2.0 * beside };
        rates.push(Rate::of(named, rate, BARE, beside));
    }
    ours.stop().await?;
    Ok(rates.into())
}

/// Has workers take and report jobs, by one message or by two, and counts as taken what they took.
async fn work_through(
    producer: &Clients,
    workers: &Workers,
    next: bool,
    many: usize,
    length: Duration,
) -> Result<Done> {
    if next {
        let done = workers.go_on(many, length).await?;
        producer.took(done.times());
        return Ok(done);
    }
    let done = workers.take_and_report(many, length).await?;
    producer.took(done.times() / 2);
    Ok(done)
}
