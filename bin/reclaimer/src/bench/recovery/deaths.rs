//! How long it takes from the death of a worker until its job runs again.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};

use super::api::Api;
use super::crew::{Crew, Over, Sockets, What, quoted};
use super::worker::HOLD;
use crate::bench::figure::Time;
use crate::bench::place::Place;
use crate::bench::progress::Progress;
use crate::server_process::ServerProcess;
use crate::system::Seed;

/// Each worker of a round dies at a moment of its own within this time.
const WITHIN: Duration = Duration::from_millis(300);

/// A way to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Its process is killed.
    Killed,
    /// Its process is stopped.
    Hung,
    /// It loses its connection, and does not come back.
    CutOff,
    /// It is killed together with the server, which is started anew at once.
    WithServer,
}

/// What is measured: a way to die, and how the server learns of it.
#[derive(Debug, Clone, Copy)]
struct Scene {
    name: &'static str,
    what: &'static str,
    over: Over,
    death: Death,
    /// Whether the server starts the workers itself.
    supervised: bool,
    /// What of the settings decides how long it takes.
    settings: &'static str,
}

/// The lease is looked at every so often in all of them.
const COMMON: &str = "[recovery]\nstartup_delay = \"0s\"\nlease_check = \"100ms\"\nspread = \"0s\"\npoison_after = 1000\nbudget_per_second = 1000.0\n";

const SCENES: [Scene; 6] = [
    Scene {
        name: "supervised",
        what: "killed, of the server's own workers: it sees the end",
        over: Over::Link,
        death: Death::Killed,
        supervised: true,
        settings: "reclaim_grace = \"30s\"\n",
    },
    Scene {
        name: "killed",
        what: "killed, over HTTP: a lease of 2 s ends",
        over: Over::Http,
        death: Death::Killed,
        supervised: false,
        settings: "[provisioning]\nlease = \"2s\"\n",
    },
    Scene {
        name: "hung",
        what: "hung, over HTTP: a lease of 2 s ends",
        over: Over::Http,
        death: Death::Hung,
        supervised: false,
        settings: "[provisioning]\nlease = \"2s\"\n",
    },
    Scene {
        name: "silent",
        what: "hung, over the link: silent for 1 s, and then a grace of 1 s",
        over: Over::Link,
        death: Death::Hung,
        supervised: false,
        settings: "reclaim_grace = \"1s\"\n",
    },
    Scene {
        name: "cut-off",
        what: "its link lost: a grace of 1 s",
        over: Over::Link,
        death: Death::CutOff,
        supervised: false,
        settings: "reclaim_grace = \"1s\"\n",
    },
    Scene {
        name: "restart",
        what: "killed with the server, which starts anew: a lease and a grace of 1 s end",
        over: Over::Http,
        death: Death::WithServer,
        supervised: false,
        settings: "reclaim_grace = \"1s\"\n[provisioning]\nlease = \"1s\"\n",
    },
];

/// Every way to die, so many times each, `at_once` workers in a round.
pub(super) async fn measure(
    place: &Place,
    samples: usize,
    at_once: usize,
    progress: &Progress,
) -> Result<Vec<Time>> {
    let mut times = Vec::new();
    for scene in SCENES {
        progress.say(scene.what);
        let time = scene.play(place, samples, at_once, progress).await;
        times.push(time.with_context(|| format!("when workers are {}", scene.what))?);
    }
    Ok(times)
}

/// How many steps that are.
pub(super) fn steps(samples: usize) -> u64 {
    (SCENES.len() * samples) as u64
}

impl Scene {
    fn settings(&self, sockets: &Sockets, workers: usize) -> Result<String> {
        let link = quoted(&sockets.link());
        let mut settings = format!(
            "{COMMON}{}[log]\nlevel = \"warn\"\n\
             [link]\nheartbeat_interval = \"200ms\"\nheartbeat_timeout = \"1s\"\n\
             [[link.each]]\nname = \"bench\"\npath = {link}\nmode = \"listen\"\n",
            self.settings
        );
        if self.supervised {
            let (command, tell) = (quoted(&std::env::current_exe()?), quoted(&sockets.tell()));
            settings.push_str(&format!(
                "[supervisor]\nenabled = true\n[[supervisor.worker]]\nname = \"w\"\ncommand = {command}\n\
                 args = [\"bench\", \"worker\", {tell}]\ncount = {workers}\nlink = \"bench\"\n\
                 restart_delay = \"10ms\"\nmax_restarts = 1000\n"
            ));
        }
        Ok(settings)
    }

    async fn play(&self, place: &Place, samples: usize, at_once: usize, progress: &Progress) -> Result<Time> {
        let sockets = Sockets::new()?;
        let (http, folder) = (sockets.http(), place.folder(self.name)?);
        // Half of them die, and the other half wait for work.
        let workers = 2 * at_once;
        let settings = self.settings(&sockets, workers)?;
        let mut crew = Crew::new(sockets)?;
        let mut server = ServerProcess::start(&folder, &settings, Some(&http)).await?;
        let mut rng = Seed::from(7).generator(self.name);
        let mut took = Vec::with_capacity(samples);
        let mut ended = 0;
        while took.len() < samples {
            if !self.supervised {
                let missing = workers - crew.names().len();
                for _ in 0..missing {
                    crew.hire(self.over)?;
                }
            }
            crew.present(workers).await?;
            let many = at_once.min(samples - took.len());
            let holders = holders(&mut crew, &server, many).await?;
            let victims: Vec<String> = holders.keys().cloned().collect();
            let died = if self.death == Death::WithServer {
                let now = Instant::now();
                for victim in holders.values() {
                    crew.signal(victim, Signal::SIGKILL);
                }
                server.kill().await?;
                server = ServerProcess::start(&folder, &settings, Some(&http)).await?;
                Dying { at: victims.into_iter().map(|job| (job, now)).collect(), died: true }
            } else {
                Dying::later(victims, &mut rng)
            };
            for time in self.run_again(&mut crew, died, &holders).await? {
                took.push(time);
                progress.step();
            }
            // What hung or was cut off is in nobody's way any more. Where a worker was killed, another may bear its name.
            if matches!(self.death, Death::Hung | Death::CutOff) {
                for victim in holders.values() {
                    crew.signal(victim, Signal::SIGKILL);
                }
            }
            ended += holders.len();
            while crew.gone < ended {
                crew.news().await?;
            }
        }
        server.stop().await?;
        Ok(Time::of(self.what, took))
    }

    /// Lets each die at its moment, and answers how long it took from there until its job ran again.
    async fn run_again(
        &self,
        crew: &mut Crew,
        mut dying: Dying,
        holders: &HashMap<String, String>,
    ) -> Result<Vec<Duration>> {
        let mut died = HashMap::new();
        if dying.died {
            died.extend(dying.at.drain(..));
        }
        let mut took = Vec::new();
        while took.len() < holders.len() {
            let next = dying.at.last().map(|(_, at)| *at);
            let news = tokio::select! {
                news = crew.news() => news?,
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let Some((job, _)) = dying.at.pop() else { continue };
                    let signal = match self.death {
                        Death::Killed | Death::WithServer => Signal::SIGKILL,
                        Death::Hung => Signal::SIGSTOP,
                        Death::CutOff => Signal::SIGUSR1,
                    };
                    ensure!(crew.signal(&holders[&job], signal), "a worker ended by itself: a defect");
                    died.insert(job, Instant::now());
                    continue;
                }
            };
            let What::Took { job, epoch } = news.what else { continue };
            match died.remove(&job) {
                Some(at) if epoch == 2 => took.push(news.at - at),
                _ => {
                    bail!("job {job} was handed out {epoch} times while its holder lived: a defect")
                }
            }
        }
        Ok(took)
    }
}

/// Which jobs lose their holder, and when, the last first.
struct Dying {
    at: Vec<(String, Instant)>,
    /// Whether they have lost them already.
    died: bool,
}

impl Dying {
    fn later(jobs: Vec<String>, rng: &mut StdRng) -> Self {
        let now = Instant::now();
        let mut at: Vec<_> =
            jobs.into_iter().map(|job| (job, now + WITHIN.mul_f64(rng.random_range(0.0..1.0)))).collect();
        at.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        Self { at, died: false }
    }
}

/// So many jobs that are held, each by whom.
async fn holders(crew: &mut Crew, server: &ServerProcess, many: usize) -> Result<HashMap<String, String>> {
    Api::new(server)?.create(HOLD, many).await?;
    let mut holders = HashMap::new();
    while holders.len() < many {
        let news = crew.news().await?;
        if let What::Took { job, epoch: 1 } = news.what {
            holders.insert(job, news.worker);
        }
    }
    Ok(holders)
}
