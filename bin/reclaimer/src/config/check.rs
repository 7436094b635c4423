//! What a value may be.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::Settings;
use super::{alerts, fleet};

/// The keys that are whole numbers, and their bounds.
const WHOLE: [(&str, RangeInclusive<u64>); 8] = [
    ("server.connections", 1..=1_000_000),
    ("breaker.failure_threshold", 1..=1_000_000),
    ("breaker.half_open_probes", 1..=1_000),
    ("recovery.batch_size", 1..=10_000),
    ("recovery.poison_after", 1..=1_000_000),
    ("recovery.max_recoveries", 0..=u32::MAX as u64),
    ("alerts.quarantined_above", 0..=1_000_000_000),
    ("alerts.worker_restarts_above", 0..=1_000_000),
];

/// Whether one key's value has the right type, told by the settings themselves.
pub(super) fn parses(merged: &config::Config, name: &str) -> Result<(), String> {
    let Ok(value) = merged.get::<config::Value>(name) else { return Ok(()) };
    if let Some((_, bounds)) = WHOLE.iter().find(|(key, _)| *key == name) {
        let text = value.to_string();
        let fits = text.parse().is_ok_and(|number| bounds.contains(&number));
        let (least, most) = (bounds.start(), bounds.end());
        return if fits { Ok(()) } else { Err(format!("a whole number from {least} to {most}, got {text}")) };
    }
    let alone = config::Config::builder().set_override(name, value).and_then(|builder| builder.build());
    let parsed = alone.and_then(config::Config::try_deserialize::<Settings>);
    parsed.map(drop).map_err(told)
}

/// What is wrong with a value, in words of the configuration rather than of its reader.
fn told(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::Type { unexpected, expected, .. } => {
            format!("{} is needed, got {unexpected}", form(expected))
        }
        config::ConfigError::At { error, .. } => told(*error),
        other => {
            let text = other.to_string();
            let Some((got, expected)) = text.split_once(", expected ") else { return text };
            let got = got.strip_prefix("invalid value: ").or_else(|| got.strip_prefix("invalid type: "));
            got.map_or_else(|| text.clone(), |got| format!("{} is needed, got {got}", form(expected)))
        }
    }
}

/// How what a reader expects is written.
fn form(expected: &str) -> &str {
    let speaks_of = |word: &str| expected.contains(word);
    if speaks_of("duration") {
        "a length of time, e.g. `90s` or `2h 30m`,"
    } else if speaks_of("integer overflow") || speaks_of("parsable string") {
        "a size, e.g. `64MiB`,"
    } else if speaks_of("integer") {
        "a whole number of at least 0"
    } else if speaks_of("floating point") {
        "a number"
    } else if speaks_of("boolean") {
        "true or false"
    } else if speaks_of("sequence") {
        "a list"
    } else {
        expected
    }
}

/// The longest time that anything may take: ten years.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What a length of time may be, and is.
pub(super) fn allowed(shortest: Duration, got: Duration) -> String {
    format!("from {} to ten years, got {}", spelled(shortest), spelled(got))
}

/// A length of time as settings have it.
pub(super) fn spelled(length: Duration) -> impl std::fmt::Display {
    humantime::format_duration(length)
}

/// Whether every value is one that can work; otherwise the key, and what is allowed.
pub(super) fn in_range(settings: &Settings) -> Result<(), (&'static str, String)> {
    let Settings {
        server,
        database,
        auth,
        provisioning,
        discovery,
        oauth,
        link,
        breaker,
        supervisor,
        recovery,
        retention,
        health,
        alerts: alerting,
        log: _,
    } = settings;
    addresses(settings)?;
    if server.data_dir.as_os_str().is_empty() {
        return Err(("server.data_dir", "the path of a folder, e.g. ./data".to_owned()));
    }
    if database.sqlite_path(&server.data_dir).is_none() {
        return Err(("database.url", "sqlite://PATH is what this version knows".to_owned()));
    }
    digests("auth.admin_token_sha256", &auth.admin_token_sha256)?;
    digests("auth.worker_token_sha256", &auth.worker_token_sha256)?;
    for (name, length, shortest) in [
        ("server.shutdown_grace", server.shutdown_grace, Duration::ZERO),
        ("provisioning.lease", provisioning.lease, Duration::from_millis(100)),
        ("provisioning.refresh_before", provisioning.refresh_before, Duration::ZERO),
        ("discovery.fresh_for", discovery.fresh_for, Duration::ZERO),
        ("link.heartbeat_interval", link.heartbeat_interval, Duration::from_millis(10)),
        ("link.heartbeat_timeout", link.heartbeat_timeout, Duration::from_millis(100)),
        ("link.reconnect_after", link.reconnect_after, Duration::from_millis(10)),
        ("link.reconnect_at_most", link.reconnect_at_most, Duration::from_millis(10)),
        ("breaker.open_for", breaker.open_for, Duration::from_millis(10)),
        ("breaker.open_at_most", breaker.open_at_most, Duration::from_millis(10)),
        ("supervisor.retry_exhausted", supervisor.retry_exhausted, Duration::from_millis(100)),
        ("recovery.startup_delay", recovery.startup_delay, Duration::ZERO),
        ("recovery.interval", recovery.interval, Duration::from_millis(100)),
        ("recovery.lease_check", recovery.lease_check, Duration::from_millis(10)),
        ("recovery.drain_pause", recovery.drain_pause, Duration::from_millis(10)),
        ("recovery.spread", recovery.spread, Duration::ZERO),
        ("recovery.stuck_after", recovery.stuck_after, Duration::ZERO),
        ("recovery.reclaim_grace", recovery.reclaim_grace, Duration::ZERO),
        ("retention.finished", retention.finished, Duration::ZERO),
        ("retention.cancelled", retention.cancelled, Duration::ZERO),
        ("retention.events", retention.events, Duration::ZERO),
        ("retention.interval", retention.interval, Duration::from_millis(100)),
        ("health.deaf_after", health.deaf_after, Duration::from_millis(100)),
        ("health.standstill_after", health.standstill_after, Duration::from_millis(100)),
        ("alerts.interval", alerting.interval, Duration::from_millis(100)),
        ("alerts.cooldown", alerting.cooldown, Duration::ZERO),
        ("alerts.resolve_after", alerting.resolve_after, Duration::ZERO),
        ("alerts.remind_after", alerting.remind_after, Duration::ZERO),
        ("alerts.breaker_open_for", alerting.breaker_open_for, Duration::ZERO),
        ("alerts.oldest_queued_above", alerting.oldest_queued_above, Duration::ZERO),
        ("alerts.worker_restarts_within", alerting.worker_restarts_within, Duration::from_secs(1)),
        ("alerts.database_not_writable_for", alerting.database_not_writable_for, Duration::ZERO),
        ("alerts.loop_stopped_for", alerting.loop_stopped_for, Duration::ZERO),
    ] {
        if !(shortest..=LONGEST).contains(&length) {
            return Err((name, allowed(shortest, length)));
        }
    }
    for (name, number) in [
        ("recovery.budget_ratio", recovery.budget_ratio),
        ("recovery.budget_per_second", recovery.budget_per_second),
    ] {
        if number.is_nan() || number < 0.0 {
            return Err((name, format!("a number of at least 0, got {number}")));
        }
    }
    if recovery.stuck.iter().any(|stuck| stuck.queue.is_none() && stuck.command.is_none()) {
        return Err(("recovery.stuck", "each table names a `queue`, a `command`, or both".to_owned()));
    }
    fleet::check(link, breaker, supervisor)?;
    alerts::check(alerting)?;
    let both =
        oauth.provider.iter().find(|one| one.client_secret.is_some() && one.client_secret_file.is_some());
    if let Some(provider) = both {
        let id = &provider.id;
        return Err((
            "oauth.provider",
            format!("`{id}` has a client_secret and a client_secret_file; leave one out"),
        ));
    }
    Ok(())
}

fn addresses(settings: &Settings) -> Result<(), (&'static str, String)> {
    match settings.server.addresses() {
        Ok(addresses) if addresses.is_empty() => Err(("server.listen", "at least one address".to_owned())),
        Ok(_) => Ok(()),
        Err(error) => Err(("server.listen", error.to_string())),
    }
}

fn digests(name: &'static str, digests: &[String]) -> Result<(), (&'static str, String)> {
    let wrong = digests.iter().any(|digest| hex::decode(digest).map_or(0, |bytes| bytes.len()) != 32);
    if wrong {
        let allowed =
            "the SHA-256 of a token, 64 hexadecimal digits: printf %s \"$TOKEN\" | sha256sum".to_owned();
        return Err((name, allowed));
    }
    Ok(())
}
