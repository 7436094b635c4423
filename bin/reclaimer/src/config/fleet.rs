//! Settings of links, of what guards them, and of the processes that are supervised.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_messaging::dialect::{Dialect, EntityTypes, Envelope, Flat};
use serde::{Deserialize, Serialize};

use super::check::{LONGEST, allowed, spelled};
use super::words::{one_or_many, words};

/// `[link]`: what counts for every link, and the links.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Links {
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) socket_path: Vec<String>,
    pub(crate) id: String,
    pub(crate) peer: String,
    pub(crate) command_peer: Option<String>,
    #[serde(with = "humantime_serde")]
    pub(crate) heartbeat_interval: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) heartbeat_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) first_frame_within: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub(crate) reconnect_after: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) reconnect_at_most: Duration,
    pub(crate) send_refresh_token: bool,
    /// `[[link]]`.
    pub(crate) each: Vec<Link>,
}

impl Default for Links {
    fn default() -> Self {
        let library = reclaimer_messaging::Reconnect::default();
        Self {
            socket_path: Vec::new(),
            id: "web-server".to_owned(),
            peer: "external-crawler".to_owned(),
            command_peer: None,
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(30),
            first_frame_within: None,
            reconnect_after: library.base,
            reconnect_at_most: library.cap,
            send_refresh_token: false,
            each: Vec::new(),
        }
    }
}

/// `[[link]]`: one link. What it leaves out is as in `[link]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) mode: Option<Mode>,
    #[serde(default)]
    pub(crate) dialect: DialectWord,
    pub(crate) queue: Option<QueueName>,
    pub(crate) jobs_at_once: Option<u32>,
    pub(crate) id: Option<String>,
    pub(crate) peer: Option<String>,
    pub(crate) command_peer: Option<String>,
    #[serde(default, with = "humantime_serde")]
    pub(crate) heartbeat_interval: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    pub(crate) heartbeat_timeout: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    pub(crate) first_frame_within: Option<Duration>,
    pub(crate) send_refresh_token: Option<bool>,
    pub(crate) entities: Option<BTreeMap<Command, String>>,
}

words! {
    /// Who connects.
    Mode { Dial = "dial", Listen = "listen" }
}

words! {
    /// How is spoken.
    #[derive(Default)]
    DialectWord { #[default] Envelope = "envelope", Flat = "flat" }
}

/// A flat crawler that connects says something valid within this time.
const FLAT_SPEAKS_WITHIN: Duration = Duration::from_secs(15);

/// A probe that has not said how it went so long after its worker should have spoken has failed.
const PROBE_MARGIN: Duration = Duration::from_secs(10);

/// The longest path of a socket, in bytes, as the system has it.
const LONGEST_PATH: usize = 107;

/// The name of the link that `link.socket_path` makes.
const OF_SOCKET_PATH: &str = "crawler";

impl Links {
    /// Every link: those of `link.socket_path`, then `[[link]]`.
    pub(crate) fn all(&self) -> Vec<Link> {
        let several = self.socket_path.len() > 1;
        let of_paths = self.socket_path.iter().enumerate().map(|(at, path)| Link {
            name: if several { format!("{OF_SOCKET_PATH}-{}", at + 1) } else { OF_SOCKET_PATH.to_owned() },
            path: path.into(),
            mode: None,
            dialect: DialectWord::Envelope,
            queue: None,
            jobs_at_once: None,
            id: None,
            peer: None,
            command_peer: None,
            heartbeat_interval: None,
            heartbeat_timeout: None,
            first_frame_within: None,
            send_refresh_token: None,
            entities: None,
        });
        of_paths.chain(self.each.iter().cloned()).collect()
    }
}

impl Link {
    /// Who connects: we do, unless the dialect is the one whose crawlers do.
    pub(crate) fn mode(&self) -> Mode {
        self.mode.unwrap_or(match self.dialect {
            DialectWord::Envelope => Mode::Dial,
            DialectWord::Flat => Mode::Listen,
        })
    }

    /// How long silence is borne.
    pub(crate) fn heartbeat_timeout(&self, links: &Links) -> Duration {
        self.heartbeat_timeout.unwrap_or(links.heartbeat_timeout)
    }

    /// How long a connection may go on without a valid word. A worker that we dial, or that hears our heartbeats, has no
    /// duty to speak sooner than silence is borne; a flat crawler beats every ten seconds.
    pub(crate) fn first_frame_within(&self, links: &Links) -> Duration {
        self.first_frame_within.or(links.first_frame_within).unwrap_or(match (self.dialect, self.mode()) {
            (DialectWord::Flat, Mode::Listen) => FLAT_SPEAKS_WITHIN,
            _ => self.heartbeat_timeout(links),
        })
    }

    /// How is spoken, in full.
    pub(crate) fn dialect(
        &self,
        links: &Links,
    ) -> Result<Dialect, reclaimer_messaging::dialect::UnknownEntity> {
        let or = |own: &Option<String>, general: &str| own.clone().unwrap_or_else(|| general.to_owned());
        Ok(match self.dialect {
            DialectWord::Envelope => {
                let (id, peer) = (or(&self.id, &links.id), or(&self.peer, &links.peer));
                let command_peer = self.command_peer.clone().or_else(|| links.command_peer.clone());
                let command_peer = command_peer.unwrap_or_else(|| peer.clone());
                Dialect::Envelope(Envelope {
                    kind: id.clone(),
                    id,
                    pid: std::process::id(),
                    peer,
                    command_peer,
                })
            }
            DialectWord::Flat => {
                let entities = self.entities.clone().map(EntityTypes::new).transpose()?;
                Dialect::Flat(Flat { entities: entities.unwrap_or_default() })
            }
        })
    }
}

/// `[breaker]`: what guards a link that we connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Breaker {
    pub(crate) failure_threshold: u32,
    #[serde(with = "humantime_serde")]
    pub(crate) open_for: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) open_at_most: Duration,
    pub(crate) half_open_probes: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        let library = reclaimer_breaker::Settings::default();
        Self {
            failure_threshold: library.consecutive_failures.unwrap_or(5),
            open_for: library.open_for,
            open_at_most: library.max_open_for,
            half_open_probes: library.probes,
        }
    }
}

impl Breaker {
    /// The settings of the breaker of a link whose workers speak within this time.
    pub(crate) fn settings(&self, first_frame_within: Duration) -> reclaimer_breaker::Settings {
        reclaimer_breaker::Settings {
            consecutive_failures: Some(self.failure_threshold),
            open_for: self.open_for,
            max_open_for: self.open_at_most,
            probes: self.half_open_probes,
            probe_timeout: first_frame_within.saturating_add(PROBE_MARGIN),
            ..reclaimer_breaker::Settings::default()
        }
    }
}

/// `[supervisor]`: the processes that are kept alive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Supervisor {
    pub(crate) enabled: bool,
    #[serde(with = "humantime_serde")]
    pub(crate) retry_exhausted: Duration,
    /// `[[supervisor.worker]]`.
    pub(crate) worker: Vec<Worker>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { enabled: false, retry_exhausted: Duration::from_secs(300), worker: Vec::new() }
    }
}

/// `[[supervisor.worker]]`: one worker, of which one or more processes are kept alive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) command: PathBuf,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) count: Option<u32>,
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) restart: Restart,
    #[serde(default, with = "humantime_serde")]
    pub(crate) restart_delay: Option<Duration>,
    pub(crate) max_restarts: Option<u32>,
    #[serde(default, with = "humantime_serde")]
    pub(crate) within: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    pub(crate) ready_within: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    pub(crate) stop_grace: Option<Duration>,
    pub(crate) memory_limit: Option<ByteSize>,
    pub(crate) open_files: Option<u64>,
    pub(crate) link: Option<String>,
    #[serde(default)]
    pub(crate) on_exhausted: OnExhausted,
}

words! {
    /// When a process that ended by itself is started again.
    #[derive(Default)]
    Restart { #[default] Always = "always", OnFailure = "on-failure", Never = "never" }
}

words! {
    /// What happens to a process that used up its restarts.
    #[derive(Default)]
    OnExhausted { #[default] Slow = "slow", Hold = "hold" }
}

/// Whether links, breakers and workers fit together; otherwise the key, and what is allowed.
pub(super) fn check(
    links: &Links,
    breaker: &Breaker,
    supervisor: &Supervisor,
) -> Result<(), (&'static str, String)> {
    let all = links.all();
    let mut names = BTreeSet::new();
    for link in &all {
        let name = &link.name;
        if !is_name(name) {
            return Err((
                "link.each",
                format!("`{name}` is no name for a link; it takes 1 to 64 letters, digits, `-`, `_`"),
            ));
        }
        if !names.insert(name.as_str()) {
            return Err(("link.each", format!("two links are called `{name}`; rename one")));
        }
        if let Err(error) = link.dialect(links) {
            return Err(("link.each", format!("link `{name}`: {error}")));
        }
        if link.jobs_at_once == Some(0) {
            return Err(("link.each", format!("link `{name}`: jobs_at_once is at least 1")));
        }
        let interval = link.heartbeat_interval.unwrap_or(links.heartbeat_interval);
        let timeout = link.heartbeat_timeout(links);
        if interval >= timeout {
            let text = format!("link `{name}`: heartbeat_timeout is longer than heartbeat_interval");
            return Err(("link.heartbeat_timeout", text));
        }
        for (key, length, shortest) in [
            ("heartbeat_interval", interval, Duration::from_millis(10)),
            ("heartbeat_timeout", timeout, Duration::from_millis(100)),
            ("first_frame_within", link.first_frame_within(links), Duration::from_millis(100)),
        ] {
            if !(shortest..=LONGEST).contains(&length) {
                return Err(("link.each", format!("link `{name}`: {key}: {}", allowed(shortest, length))));
            }
        }
        if link.entities.as_ref().is_some_and(BTreeMap::is_empty) {
            let text = format!(
                "link `{name}`: entities names at least one command; leave it out for the usual ones"
            );
            return Err(("link.each", text));
        }
        let path = link.path.as_os_str().len();
        if path > LONGEST_PATH {
            let text =
                format!("link `{name}`: the path of a socket has at most {LONGEST_PATH} bytes, got {path}");
            return Err(("link.each", text));
        }
        if let Some(other) = all.iter().find(|other| other.name != link.name && other.path == link.path) {
            let text = format!("links `{name}` and `{}` are on one socket; give each its own", other.name);
            return Err(("link.each", text));
        }
    }
    if breaker.open_for > breaker.open_at_most {
        let text = format!(
            "at least breaker.open_for, {}, got {}",
            spelled(breaker.open_for),
            spelled(breaker.open_at_most)
        );
        return Err(("breaker.open_at_most", text));
    }
    breaker
        .settings(links.heartbeat_timeout)
        .check()
        .map_err(|error| ("breaker.open_for", error.to_string()))?;
    for worker in &supervisor.worker {
        let Some(name) = &worker.link else { continue };
        let Some(link) = all.iter().find(|link| link.name == *name) else {
            let text = format!(
                "worker `{}` is heard over link `{name}`, and there is none of that name",
                worker.name
            );
            return Err(("supervisor.worker", text));
        };
        let others = supervisor.worker.iter().filter(|other| other.link == worker.link).count();
        if link.mode() == Mode::Dial && others > 1 {
            let text = format!(
                "link `{name}` is dialled, and {others} workers are heard over it; give each its own"
            );
            return Err(("supervisor.worker", text));
        }
        if link.mode() == Mode::Dial && worker.count.unwrap_or(1) > 1 {
            let text = format!(
                "worker `{}` has several processes, and link `{name}` is dialled: only one of them can listen on its \
                 socket; make a link and a worker for each, or let the link listen",
                worker.name
            );
            return Err(("supervisor.worker", text));
        }
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(sane)
}
