//! The settings, as plain data with their defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use reclaimer_domain::area::SpawnRules;
use reclaimer_domain::name::{AreaKind, Command, ProviderId, QueueName};
use reclaimer_domain::secret::Secret;
use reclaimer_persistence::Durability;
use reclaimer_policy::{Defaults, StuckLimits, StuckOverride};
use reclaimer_server::Address;
use serde::{Deserialize, Serialize};
use url::Url;

use super::alerts::Alerts;
use super::fleet::{Breaker, Links, Supervisor};
use super::health::Health;
use super::words::{one_or_many, words};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) auth: Auth,
    pub(crate) provisioning: Provisioning,
    pub(crate) discovery: Discovery,
    pub(crate) oauth: OAuth,
    pub(crate) link: Links,
    pub(crate) breaker: Breaker,
    pub(crate) supervisor: Supervisor,
    pub(crate) recovery: Recovery,
    pub(crate) retention: Retention,
    pub(crate) health: Health,
    pub(crate) alerts: Alerts,
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) data_dir: PathBuf,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) listen: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) open_metrics: bool,
    pub(crate) connections: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) shutdown_grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            listen: vec!["127.0.0.1:7400".to_owned()],
            allowed_hosts: Vec::new(),
            open_metrics: false,
            connections: 2_048,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl Server {
    /// Where to listen.
    pub(crate) fn addresses(&self) -> Result<Vec<Address>, reclaimer_server::InvalidAddress> {
        self.listen.iter().map(|text| text.parse()).collect()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: Option<String>,
    pub(crate) durability: DurabilityWord,
    pub(crate) min_free: ByteSize,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, durability: DurabilityWord::Full, min_free: ByteSize::mib(64) }
    }
}

/// The scheme of SQLite's addresses.
const SQLITE: &str = "sqlite://";

impl Database {
    /// The database's address.
    pub(crate) fn address(&self, data_dir: &Path) -> String {
        let own = || format!("{SQLITE}{}", data_dir.join("reclaimer.db").display());
        self.url.clone().unwrap_or_else(own)
    }

    /// The file of a SQLite address; `None` when the address is another engine's.
    pub(crate) fn sqlite_path(&self, data_dir: &Path) -> Option<PathBuf> {
        match &self.url {
            None => Some(data_dir.join("reclaimer.db")),
            Some(url) => url.strip_prefix(SQLITE).filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }
}

words! {
    /// What a commit survives.
    DurabilityWord { Full = "full", Normal = "normal" }
}

impl From<DurabilityWord> for Durability {
    fn from(word: DurabilityWord) -> Self {
        match word {
            DurabilityWord::Full => Self::Full,
            DurabilityWord::Normal => Self::Normal,
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) admin_token_sha256: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) worker_token_sha256: Vec<String>,
    pub(crate) socket_uids: Option<Vec<u32>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Provisioning {
    #[serde(with = "humantime_serde")]
    pub(crate) lease: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) refresh_before: Duration,
}

impl Default for Provisioning {
    fn default() -> Self {
        let library = reclaimer_provisioning::Config::default();
        Self { lease: library.lease, refresh_before: library.refresh_before }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Discovery {
    #[serde(with = "humantime_serde")]
    pub(crate) fresh_for: Duration,
    pub(crate) command: Command,
    pub(crate) group: Vec<Command>,
    pub(crate) project: Vec<Command>,
}

impl Default for Discovery {
    fn default() -> Self {
        let library = reclaimer_provisioning::Config::default();
        let commands = |kind: &str| {
            let kind = kind.parse::<AreaKind>();
            kind.map(|kind| library.spawn.commands(&kind).to_vec()).unwrap_or_default()
        };
        Self {
            fresh_for: library.fresh_for,
            group: commands("group"),
            project: commands("project"),
            command: library.discovery_command,
        }
    }
}

impl Discovery {
    /// Which commands each kind of area asks for.
    pub(crate) fn spawn_rules(&self) -> SpawnRules {
        let kinds = [("group", &self.group), ("project", &self.project)];
        let table: BTreeMap<AreaKind, Vec<Command>> = kinds
            .into_iter()
            .filter_map(|(kind, commands)| Some((kind.parse().ok()?, commands.clone())))
            .collect();
        SpawnRules::new(table)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OAuth {
    pub(crate) provider: Vec<Provider>,
}

/// One OAuth provider.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    pub(crate) id: ProviderId,
    pub(crate) token_url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Masked>,
    pub(crate) client_secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A secret setting: it is shown as `***`, by `reclaimer config` as well.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Masked(pub(crate) Secret);

impl From<String> for Masked {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl Serialize for Masked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recovery {
    pub(crate) enabled: bool,
    #[serde(with = "humantime_serde")]
    pub(crate) startup_delay: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) lease_check: Duration,
    pub(crate) batch_size: u32,
    #[serde(with = "humantime_serde")]
    pub(crate) drain_pause: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) spread: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) stuck_after: Duration,
    pub(crate) stuck: Vec<Stuck>,
    #[serde(with = "humantime_serde")]
    pub(crate) reclaim_grace: Duration,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) poison_after: u32,
    pub(crate) max_recoveries: u32,
    pub(crate) budget_ratio: f64,
    pub(crate) budget_per_second: f64,
}

/// Another limit of silence for some jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stuck {
    pub(crate) queue: Option<QueueName>,
    pub(crate) command: Option<Command>,
    #[serde(with = "humantime_serde")]
    pub(crate) after: Duration,
}

impl Default for Recovery {
    fn default() -> Self {
        let library = reclaimer_recovery::Config::default();
        let policy = Defaults::default();
        Self {
            enabled: library.enabled,
            startup_delay: library.startup_delay,
            interval: library.interval,
            lease_check: library.lease_check,
            batch_size: library.batch_size,
            drain_pause: library.drain_pause,
            spread: library.spread,
            stuck_after: library.stuck.stuck_after,
            stuck: Vec::new(),
            reclaim_grace: library.reclaim_grace,
            policy: None,
            poison_after: policy.poison_after,
            max_recoveries: policy.max_recoveries,
            budget_ratio: library.budget.ratio,
            budget_per_second: library.budget.per_second,
        }
    }
}

impl Recovery {
    /// The engine's settings.
    pub(crate) fn engine(&self) -> reclaimer_recovery::Config {
        let overrides = self.stuck.iter().map(|stuck| StuckOverride {
            queue: stuck.queue.clone(),
            command: stuck.command.clone(),
            stuck_after: stuck.after,
        });
        reclaimer_recovery::Config {
            enabled: self.enabled,
            startup_delay: self.startup_delay,
            interval: self.interval,
            lease_check: self.lease_check,
            batch_size: self.batch_size,
            drain_pause: self.drain_pause,
            spread: self.spread,
            stuck: StuckLimits { stuck_after: self.stuck_after, overrides: overrides.collect() },
            reclaim_grace: self.reclaim_grace,
            budget: reclaimer_recovery::Budget {
                ratio: self.budget_ratio,
                per_second: self.budget_per_second,
            },
        }
    }

    /// What holds where neither a rule nor the policy file's own defaults say otherwise.
    pub(crate) fn policy_defaults(&self) -> Defaults {
        Defaults {
            poison_after: self.poison_after,
            max_recoveries: self.max_recoveries,
            ..Defaults::default()
        }
    }
}

/// For how long things are kept; zero = for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    #[serde(with = "humantime_serde")]
    pub(crate) finished: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) cancelled: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) events: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let library = reclaimer_retention::Config::default();
        Self {
            finished: library.finished,
            cancelled: library.cancelled,
            events: library.events,
            interval: library.interval,
        }
    }
}

impl Retention {
    pub(crate) fn config(&self) -> reclaimer_retention::Config {
        reclaimer_retention::Config {
            finished: self.finished,
            cancelled: self.cancelled,
            events: self.events,
            interval: self.interval,
            ..reclaimer_retention::Config::default()
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: LogLevel::Info }
    }
}

words! {
    /// How log lines look; `auto` is pretty on a terminal, else JSON.
    LogFormat { Auto = "auto", Pretty = "pretty", Json = "json" }
}

words! {
    /// From which level on lines are written.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_whoever_writes_the_settings() {
        let provider = serde_json::json!({
            "id": "g", "token_url": "https://g/t", "client_id": "c", "client_secret": "sesame",
        });
        let provider: Provider = serde_json::from_value(provider).unwrap();
        let shown = serde_json::to_value(&provider).unwrap();
        assert_eq!(shown["client_secret"], "***");
        assert!(!format!("{:?}", provider.client_secret).contains("sesame"));
    }
}
