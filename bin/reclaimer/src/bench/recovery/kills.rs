//! Workers that are killed again and again amid their work, and what the books say at the end.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rand::RngExt;
use reclaimer_domain::history::EventKind;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{JobFilter, JobRead, JobStore};
use tokio::time::{Instant, interval, sleep_until};

use super::api::Api;
use super::crew::{Crew, Over, Sockets, What, quoted};
use super::worker::WORK;
use super::{KILLS_WITHIN, PATIENCE};
use crate::bench::figure::Count;
use crate::bench::place::Place;
use crate::bench::progress::Progress;
use crate::bench::store::Ours;
use crate::server_process::ServerProcess;
use crate::system::Seed;

/// So many workers at once, over HTTP and over the link in turns.
const WORKERS: usize = 8;
/// From one kill to the next, at most.
const PAUSE: Duration = Duration::from_millis(20);
/// So many jobs are created at once, when fewer than as many are left.
const MANY: usize = 200;
/// So many rows are read at once.
const PAGE: u32 = 500;
/// What the figures are reckoned up to.
const PER: usize = 10_000;

/// What was seen while workers were killed.
#[derive(Default)]
struct Seen {
    kills: usize,
    /// Kills of a worker that had a job in hand.
    amid: usize,
    created: usize,
    /// Reports that were taken.
    done: usize,
    /// How often each job's work was done.
    did: HashMap<String, u32>,
    /// What each worker has in hand.
    holds: HashMap<String, String>,
}

impl Seen {
    fn note(&mut self, worker: String, what: What) {
        match what {
            What::Took { job, .. } => drop(self.holds.insert(worker, job)),
            What::Did { job } => *self.did.entry(job).or_default() += 1,
            What::Done { .. } => {
                self.done += 1;
                self.holds.remove(&worker);
            }
            What::Gone(_) => drop(self.holds.remove(&worker)),
            What::Came(_) => {}
        }
    }
}

/// Kills so many workers.
pub(super) async fn measure(place: &Place, kills: usize, progress: &Progress) -> Result<Vec<Count>> {
    progress.say(format!("{kills} kills"));
    let sockets = Sockets::new()?;
    let (http, folder) = (sockets.http(), place.folder("kills")?);
    let settings = format!(
        "[provisioning]\nlease = \"1s\"\n[log]\nlevel = \"warn\"\n[recovery]\nstartup_delay = \"0s\"\nlease_check = \"100ms\"\nspread = \"500ms\"\n\
         reclaim_grace = \"500ms\"\npoison_after = 1000\nbudget_per_second = 1000.0\ndrain_pause = \"50ms\"\n\
         [[link.each]]\nname = \"bench\"\npath = {}\nmode = \"listen\"\n",
        quoted(&sockets.link())
    );
    let mut crew = Crew::new(sockets)?;
    let server = ServerProcess::start(&folder, &settings, Some(&http)).await?;
    let seen = kill_amid_work(&mut crew, &server, kills, progress).await?;
    server.stop().await?;
    let books = read(&folder.join("data/reclaimer.db")).await?;
    Ok(figures(&seen, &books))
}

async fn kill_amid_work(
    crew: &mut Crew,
    server: &ServerProcess,
    kills: usize,
    progress: &Progress,
) -> Result<Seen> {
    let api = Api::new(server)?;
    let mut rng = Seed::from(7).generator("kills");
    let mut seen = Seen::default();
    let over = |number: usize| if number.is_multiple_of(2) { Over::Http } else { Over::Link };
    for number in 0..WORKERS {
        crew.hire(over(number))?;
    }
    crew.present(WORKERS).await?;
    let mut next = Instant::now();
    let end = next + KILLS_WITHIN;
    while seen.kills < kills && Instant::now() < end {
        if seen.created < seen.done + MANY {
            api.create(WORK, MANY).await?;
            seen.created += MANY;
        }
        let news = tokio::select! {
            news = crew.news() => news?,
            () = sleep_until(next) => {
                next = Instant::now() + PAUSE.mul_f64(rng.random_range(0.0..1.0));
                let mut names: Vec<String> = crew.names().cloned().collect();
                if names.is_empty() {
                    continue;
                }
                let victim = names.swap_remove(rng.random_range(0..names.len()));
                if crew.signal(&victim, Signal::SIGKILL) {
                    crew.forget(&victim);
                    seen.kills += 1;
                    seen.amid += usize::from(seen.holds.contains_key(&victim));
                    crew.hire(over(seen.kills))?;
                    progress.step();
                }
                continue;
            }
        };
        seen.note(news.worker, news.what);
    }
    finish(crew, &api, &mut seen).await?;
    Ok(seen)
}

/// Nobody is killed any more: all that was created comes to its end.
async fn finish(crew: &mut Crew, api: &Api, seen: &mut Seen) -> Result<()> {
    let mut beat = interval(Duration::from_millis(100));
    let end = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            news = crew.news() => {
                let news = news?;
                seen.note(news.worker, news.what);
            }
            _ = beat.tick() => match api.under_way().await? {
                0 => return Ok(()),
                some if Instant::now() > end => bail!("{some} jobs came to no end: a defect"),
                _ => {}
            }
        }
    }
}

/// What the books say at the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Books {
    finished: usize,
    /// Jobs whose result was recorded more than once.
    recorded_twice: usize,
    recoveries: usize,
    /// Reports that came too late.
    late: usize,
}

async fn read(file: &Path) -> Result<Books> {
    let ours = Ours::open(file).await?;
    let (mut books, mut cursor) = (Books::default(), None);
    loop {
        let page = ours.store.jobs(JobFilter::default(), cursor, PAGE).await?;
        for job in page.items {
            let JobRead::Whole(job) = job else { bail!("a row cannot be read: a defect") };
            let events = ours.store.events(&job.id, None, PAGE).await?.context("a job without events")?;
            let count = |kind| events.items.iter().filter(|event| event.entry.kind == kind).count();
            books.finished += usize::from(job.status == Status::Finished);
            books.recorded_twice += usize::from(count(EventKind::Finished) > 1);
            books.recoveries += count(EventKind::Reclaimed);
            books.late += count(EventKind::StaleReport);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    ours.close().await;
    Ok(books)
}

fn figures(seen: &Seen, books: &Books) -> Vec<Count> {
    let twice = seen.did.values().filter(|times| **times > 1).count();
    let per = |number: usize| number as f64 * PER as f64 / seen.kills as f64;
    let count =
        |what: &str, number: f64, note: String| Count { what: what.to_owned(), number, note: Some(note) };
    let lost = seen.created.saturating_sub(books.finished);
    vec![
        count(
            "jobs run twice to the end, per 10,000 kills",
            per(twice),
            format!("{twice} in {} kills, {} of them amid a job", seen.kills, seen.amid),
        ),
        count(
            "results recorded twice, per 10,000 kills",
            per(books.recorded_twice),
            format!("must be 0: {} in {} kills", books.recorded_twice, seen.kills),
        ),
        count(
            "jobs lost",
            lost as f64,
            format!(
                "must be 0: of {} jobs, recovered {} times; {} late reports refused",
                seen.created, books.recoveries, books.late
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_reckoned_up_and_tell_what_from() {
        let mut seen = Seen { kills: 200, created: 50, ..Seen::default() };
        for what in ["a", "a", "b"].map(|job| What::Did { job: job.to_owned() }) {
            seen.note("w".to_owned(), what);
        }
        let figures = figures(&seen, &Books { finished: 49, recorded_twice: 1, ..Books::default() });
        let numbers: Vec<f64> = figures.iter().map(|count| count.number).collect();
        assert_eq!(numbers, [50.0, 50.0, 1.0]);
        assert_eq!(figures[0].note.as_deref(), Some("1 in 200 kills, 0 of them amid a job"));
    }

    #[test]
    fn what_a_worker_has_in_hand_ends_with_its_report_or_with_it() {
        let mut seen = Seen::default();
        let mut note = |what| {
            seen.note("w".to_owned(), what);
            seen.holds.len()
        };
        let job = || "a".to_owned();
        assert_eq!(note(What::Took { job: job(), epoch: 1 }), 1);
        assert_eq!(note(What::Done { job: job() }), 0);
        assert_eq!(note(What::Took { job: job(), epoch: 1 }), 1);
        assert_eq!(note(What::Gone(None)), 0);
    }
}
