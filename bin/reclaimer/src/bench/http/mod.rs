//! The server over HTTP, beside a server of the same kind that writes to a bare table.

pub(crate) mod bare_server;
mod idle;
pub(crate) mod load;
pub(crate) mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::drive::{in_turn, turns};
use super::figure::{Measured, Rate};
use super::place::Place;
use super::progress::Progress;
use super::store::{BATCH, Beside, payload, waiting};
use crate::server_process::ServerProcess;
use bare_server::BareServer;
use load::{Clients, Work};
use wire::{Address, request};

/// So many connections send batches.
pub(super) const BATCHING: usize = 16;
/// The route of the bare server that a request is measured beside.
pub(super) const INSERT: &str = "a bare insert per request";
pub(super) const BARE: &str = "a bare table in this process, batches of 100, 16 callers";

/// What the servers of the measurements are told: nothing that they do by themselves comes in between.
pub(super) const SETTINGS: &str = "[recovery]\nenabled = false\n[log]\nlevel = \"warn\"\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each figure is measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    each: Duration,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// How many connections send one request after another
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    connections: u16,
    /// How often the time until a waiting worker holds a job is taken
    #[arg(long, value_name = "NUMBER", default_value_t = 300)]
    samples: usize,
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let sockets = tempfile::tempdir()?;
    let (our_socket, bare_socket) = (sockets.path().join("ours"), sockets.path().join("bare"));
    let ours = ServerProcess::start(&place.folder("ours")?, SETTINGS, Some(&our_socket)).await?;
    let bare = BareServer::start(&place.folder("bare")?, &bare_socket).await?;
    let token = ours.admin_token.expose();
    let progress = Progress::of(turns(args.each) * 11 + 3 * args.samples as u64);
    let mut measured = Measured::default();
    let pairs = [(Address::Tcp(ours.address.clone()), bare.tcp), (Address::Unix(our_socket), bare.unix)];
    for (ours, bare) in &pairs {
        measured.rates.extend(singles(args, token, ours, bare, &progress).await?);
    }
    let ours_tcp = Clients::connect(&pairs[0].0, BATCHING, token).await?;
    measured.rates.extend(batches(args.each, &ours_tcp, place, &progress).await?);
    for (ours, _) in &pairs {
        progress.say("an idle server");
        measured.times.push(idle::handed(ours, token, args.samples, &progress).await?);
    }
    progress.say("the disk");
    measured.times.push(idle::flushed(&place.at("flushed"), args.samples, &progress).await?);
    ours.stop().await?;
    Ok(measured)
}

/// One durable operation per request, and the request that does nothing.
async fn singles(
    args: &Args,
    token: &str,
    ours: &Address,
    bare: &Address,
    progress: &Progress,
) -> Result<Vec<Rate>> {
    let connections = usize::from(args.connections);
    let named = |work: &str| format!("{work}, {connections} connections, {}", ours.kind());
    let (ours, bare) = (
        Clients::connect(ours, connections, token).await?,
        Clients::connect(bare, connections, token).await?,
    );
    let insert = request("POST", "/insert", None, &payload().to_string());
    let nothing = request("POST", "/nothing", None, "");
    let mut rates = Vec::new();
    for (work, name) in [
        (Work::Create(1), "create a job"),
        (Work::TakeAndReport(1), "take or report a job"),
        (Work::GoOn(1), "report a job and take the next"),
    ] {
        progress.say(named(name));
        let (rate, beside) = in_turn(
            args.each,
            progress,
            async |length| {
                if work != Work::Create(1) {
                    ours.top_up(waiting(connections, length)).await?;
                }
                ours.work(work, length).await
            },
            async |length| bare.repeat(insert.clone(), length).await,
        )
        .await?;
        rates.push(Rate::of(named(name), rate, INSERT, beside));
    }
    progress.say(named("no operation"));
    let (rate, beside) = in_turn(
        args.each,
        progress,
        async |length| bare.repeat(nothing.clone(), length).await,
        async |length| bare.repeat(insert.clone(), length).await,
    )
    .await?;
    rates.push(Rate::of(named("the ceiling: a route that does nothing"), rate, INSERT, beside));
    Ok(rates)
}

/// Many operations per request.
async fn batches(each: Duration, ours: &Clients, place: &Place, progress: &Progress) -> Result<Vec<Rate>> {
    let (bare, _) = Beside::open(&place.at("bare.db"))?;
    let named = |work: &str| format!("{work}, {BATCHING} connections, TCP");
    let mut rates = Vec::new();
    let create = "jobs created by arrays of 100";
    progress.say(named(create));
    let (rate, beside) = in_turn(
        each,
        progress,
        async |length| ours.work(Work::Create(BATCH), length).await,
        async |length| bare.enqueue(BATCHING, BATCH, length).await,
    )
    .await?;
    rates.push(Rate::of(named(create), rate, BARE, beside));
    let take = "jobs taken or reported, limit=100 and arrays of reports";
    progress.say(named(take));
    let most = waiting(BATCHING, each) * BATCH as u64 / 10;
    let (rate, beside) = in_turn(
        each,
        progress,
        async |length| {
            ours.top_up(most).await?;
            ours.work(Work::TakeAndReport(BATCH), length).await
        },
        async |length| {
            bare.top_up(most).await?;
            bare.work(BATCHING, BATCH, length).await
        },
    )
    .await?;
    // Of the bare table, too, taking and completing are two operations.
    rates.push(Rate::of(named(take), rate, BARE, 2.0 * beside));
    let next = "jobs reported, arrays of 100 that take the next 100";
    progress.say(named(next));
    let (rate, beside) = in_turn(
        each,
        progress,
        async |length| {
            ours.top_up(most).await?;
            ours.work(Work::GoOn(BATCH), length).await
        },
        async |length| {
            bare.top_up(most).await?;
            bare.go_on(BATCHING, BATCH, length).await
        },
    )
    .await?;
    rates.push(Rate::of(named(next), rate, BARE, beside));
    Ok(rates)
}
