//! `[alerts]`: what people are told of, and where.

use std::path::PathBuf;
use std::time::Duration;

use reclaimer_alerts::{Condition, Rule, Terms};
use reclaimer_domain::name::Quoted;
use serde::{Deserialize, Serialize};
use url::Url;

use super::settings::Masked;
use super::words::one_or_many;

/// A shorter secret can be guessed from one message.
const SHORTEST_SECRET: usize = 16;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alerts {
    pub(crate) webhook_url: Option<Masked>,
    pub(crate) webhook_url_file: Option<PathBuf>,
    pub(crate) webhook_secret: Option<Masked>,
    pub(crate) webhook_secret_file: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) cooldown: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) resolve_after: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) remind_after: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) breaker_open_for: Duration,
    pub(crate) recovery_success_below: f64,
    #[serde(with = "humantime_serde")]
    pub(crate) recovery_success_for: Duration,
    pub(crate) quarantined_above: u64,
    #[serde(with = "humantime_serde")]
    pub(crate) quarantined_for: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) oldest_queued_above: Duration,
    pub(crate) worker_restarts_above: u64,
    #[serde(with = "humantime_serde")]
    pub(crate) worker_restarts_within: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) database_not_writable_for: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) loop_stopped_for: Duration,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) off: Vec<String>,
}

impl Default for Alerts {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            webhook_url: None,
            webhook_url_file: None,
            webhook_secret: None,
            webhook_secret_file: None,
            server_name: None,
            interval: Duration::from_secs(10),
            cooldown: minutes(10),
            resolve_after: minutes(1),
            remind_after: Duration::ZERO,
            breaker_open_for: minutes(1),
            recovery_success_below: 0.5,
            recovery_success_for: minutes(5),
            quarantined_above: 10,
            quarantined_for: minutes(5),
            oldest_queued_above: minutes(30),
            worker_restarts_above: 5,
            worker_restarts_within: minutes(10),
            database_not_writable_for: Duration::from_secs(30),
            loop_stopped_for: minutes(1),
            off: Vec::new(),
        }
    }
}

impl Alerts {
    /// Every rule, those that are off as well.
    fn all(&self) -> [Rule; 7] {
        let restarts = Condition::WorkerRestartsAbove {
            restarts: self.worker_restarts_above,
            within: self.worker_restarts_within,
        };
        [
            (Condition::BreakerOpen, self.breaker_open_for),
            (Condition::RecoverySuccessBelow(self.recovery_success_below), self.recovery_success_for),
            (Condition::QuarantinedAbove(self.quarantined_above), self.quarantined_for),
            (Condition::OldestQueuedAbove(self.oldest_queued_above), Duration::ZERO),
            (restarts, Duration::ZERO),
            (Condition::DatabaseNotWritable, self.database_not_writable_for),
            (Condition::LoopStopped, self.loop_stopped_for),
        ]
        .map(|(condition, hold)| Rule { condition, hold })
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.all()
            .into_iter()
            .filter(|rule| !self.off.iter().any(|off| off == rule.condition.name()))
            .collect()
    }

    /// What counts for all of them.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            cooldown: self.cooldown,
            resolve_after: self.resolve_after,
            remind_after: Some(self.remind_after).filter(|after| !after.is_zero()),
        }
    }
}

/// Whether an address is one that a webhook may have.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Whether a secret is long enough to sign with.
pub(crate) fn can_sign(text: &str) -> bool {
    text.len() >= SHORTEST_SECRET
}

/// What a webhook's address is to be; it is not shown, for it may be a secret.
pub(crate) const ADDRESS: &str = "the address of a webhook, https://… or http://…";

/// What a secret is to be.
pub(crate) const SECRET: &str = "a secret of at least 16 characters, e.g. from `openssl rand -hex 32`";

/// Whether all this can work; otherwise the key, and what is allowed.
pub(super) fn check(alerts: &Alerts) -> Result<(), (&'static str, String)> {
    if alerts.webhook_url.as_ref().is_some_and(|Masked(url)| !is_address(url.expose())) {
        return Err(("alerts.webhook_url", ADDRESS.to_owned()));
    }
    if alerts.webhook_secret.as_ref().is_some_and(|Masked(secret)| !can_sign(secret.expose())) {
        return Err(("alerts.webhook_secret", SECRET.to_owned()));
    }
    if alerts.webhook_url.is_some() && alerts.webhook_url_file.is_some() {
        return Err(("alerts.webhook_url_file", "there is a webhook_url as well; leave one out".to_owned()));
    }
    if alerts.webhook_secret.is_some() && alerts.webhook_secret_file.is_some() {
        return Err((
            "alerts.webhook_secret_file",
            "there is a webhook_secret as well; leave one out".to_owned(),
        ));
    }
    let below = alerts.recovery_success_below;
    if !(0.0..=1.0).contains(&below) {
        return Err(("alerts.recovery_success_below", format!("a share from 0 to 1, got {below}")));
    }
    let names = alerts.all().map(|rule| rule.condition.name());
    match alerts.off.iter().find(|off| !names.contains(&off.as_str())) {
        Some(off) => Err(("alerts.off", format!("some of {}, got `{off}`", Quoted(&names)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_is_off_is_none() {
        let alerts = Alerts { off: vec!["oldest_queued".to_owned()], ..Alerts::default() };
        assert_eq!(alerts.rules().len(), 6);
        assert!(!alerts.rules().iter().any(|rule| rule.condition.name() == "oldest_queued"));
        assert_eq!(alerts.terms().remind_after, None, "zero is never");
    }

    #[test]
    fn neither_an_address_nor_a_secret_is_shown() {
        let secret = |text: &str| Some(Masked::from(text.to_owned()));
        let alerts = Alerts {
            webhook_url: secret("https://hooks.example/T0/sesame"),
            webhook_secret: secret("sesame-sesame-sesame"),
            ..Alerts::default()
        };
        assert_eq!(check(&alerts), Ok(()));
        let shown = format!("{alerts:?} {}", serde_json::to_string(&alerts).unwrap());
        assert!(!shown.contains("sesame"), "{shown}");
        let wrong = Alerts { webhook_url: secret("sesame"), ..Alerts::default() };
        assert_eq!(check(&wrong), Err(("alerts.webhook_url", ADDRESS.to_owned())));
    }
}
