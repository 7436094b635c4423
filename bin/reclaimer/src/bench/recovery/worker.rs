//! A worker of the measurements of recovery: a process of its own, which tells what it does and dies when it is killed.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::set_parent_process_death_signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::bench::http::load::Handed;
use crate::bench::http::wire::{Address, Connection, request};
use crate::bench::socket::session::Session;
use crate::system::EndSignals;

/// Of a job that is held for ever by whoever gets it first, and is done at once by the next.
pub(super) const HOLD: &str = "HOLD";
/// Of a job that takes as many milliseconds as its id and turn say.
pub(super) const WORK: &str = "WORK";

/// Between two signs of life over a link.
const BEAT: Duration = Duration::from_millis(200);
/// Between two attempts to reach a server that is away.
const AGAIN: Duration = Duration::from_millis(10);
/// A job takes up to so many milliseconds.
const LONGEST_MS: u64 = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The socket on which it tells what it does
    tell: PathBuf,
    /// Take jobs over HTTP at this socket
    #[arg(long)]
    http: Option<PathBuf>,
    /// Take jobs over the link at this socket
    #[arg(long, env = "SOCKET_PATH")]
    link: Option<PathBuf>,
    #[arg(long, env = "RECLAIMER_WORKER")]
    name: String,
    /// End when standard input closes
    #[arg(long)]
    leashed: bool,
}

/// Works until it is told to end. Told by SIGUSR1, it loses its connection and lives on.
pub(crate) async fn run(args: Args) -> Result<()> {
    let mut signals = EndSignals::listen(args.leashed)?;
    if args.leashed {
        // One that is stopped does not see its leash let go.
        set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    let mut cut = signal(SignalKind::user_defined1())?;
    let teller = Teller::connect(&args.tell, &args.name)?;
    let working = async {
        match (args.http, args.link) {
            (Some(socket), _) => over_http(&Address::Unix(socket), &args.name, teller).await,
            (None, Some(socket)) => over_link(&socket, &args.name, teller).await,
            (None, None) => anyhow::bail!("a worker takes --http or --link"),
        }
    };
    tokio::select! {
        ended = working => return ended,
        _ = signals.next() => return Ok(()),
        _ = cut.recv() => {}
    }
    signals.next().await;
    Ok(())
}

/// Tells what the worker does, a line each.
struct Teller(UnixStream);

impl Teller {
    fn connect(socket: &Path, name: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("nobody listens to this worker")?;
        let mut teller = Self(stream);
        teller.say(&format!("came {name} {}", std::process::id()))?;
        Ok(teller)
    }

    fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.0.write_all(format!("{line}\n").as_bytes())?)
    }
}

/// A job in hand.
struct Job {
    id: String,
    command: String,
    epoch: u64,
    report: String,
}

impl Job {
    fn of(handed: &Handed<'_>) -> Self {
        Self {
            id: handed.id.to_owned(),
            command: handed.command.to_owned(),
            epoch: handed.lease.epoch,
            report: handed.done(),
        }
    }

    /// Does what it asks for.
    async fn carry_out(&self, teller: &mut Teller) -> Result<()> {
        teller.say(&format!("took {} {}", self.id, self.epoch))?;
        if self.command == HOLD && self.epoch == 1 {
            std::future::pending::<()>().await;
        }
        if self.command == WORK {
            let drawn = self.id.bytes().fold(self.epoch, |sum, byte| sum * 31 % 9_973 + u64::from(byte));
            sleep(Duration::from_millis(drawn % LONGEST_MS)).await;
        }
        teller.say(&format!("did {}", self.id))
    }
}

async fn over_http(address: &Address, name: &str, mut teller: Teller) -> Result<()> {
    loop {
        // Whatever goes wrong, e.g. a server that went away or does not take a late report: it begins anew.
        if let Ok(mut connection) = address.connect().await {
            while serve(&mut connection, name, &mut teller).await.is_ok() {}
        }
        sleep(AGAIN).await;
    }
}

async fn serve(connection: &mut Connection, name: &str, teller: &mut Teller) -> Result<()> {
    let path = format!("/api/internal/jobs/open?workerId={name}&queue=default&limit=1&wait=30");
    let answer = connection.ask(&request("GET", &path, None, "")).await?;
    let jobs: Vec<Handed<'_>> = serde_json::from_slice(answer)?;
    let jobs: Vec<Job> = jobs.iter().map(Job::of).collect();
    for job in &jobs {
        job.carry_out(teller).await?;
        connection.ask(&request("POST", "/api/internal/jobs/progress", None, &job.report)).await?;
        teller.say(&format!("done {}", job.id))?;
    }
    Ok(())
}

async fn over_link(socket: &Path, name: &str, mut teller: Teller) -> Result<()> {
    loop {
        if let Ok(mut session) = Session::connect(socket, name).await {
            while attend(&mut session, &mut teller).await.is_ok() {}
        }
        sleep(AGAIN).await;
    }
}

/// Takes a job and does it, with signs of life all the while.
async fn attend(session: &mut Session, teller: &mut Teller) -> Result<()> {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    session.request(1, 30);
    session.send().await?;
    let jobs = loop {
        tokio::select! {
            jobs = session.jobs(Job::of) => break jobs?,
            _ = beat.tick() => session.beat().await?,
        }
    };
    for job in &jobs {
        {
            let mut doing = std::pin::pin!(job.carry_out(teller));
            loop {
                tokio::select! {
                    done = &mut doing => break done?,
                    _ = beat.tick() => session.beat().await?,
                }
            }
        }
        session.report(&job.report);
        session.send().await?;
        session.receipt().await?;
        teller.say(&format!("done {}", job.id))?;
    }
    Ok(())
}
