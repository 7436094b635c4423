//! Everything that can be set, with what it means: the one list behind the check for unknown keys, `reclaimer config` and
//! the reference page.

/// How a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value.
    One,
    /// A list; in the environment separated by commas.
    List,
    /// A list of tables (`[[…]]`), which the environment cannot carry.
    Tables(&'static [&'static str]),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// `section.key`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// For the reference page, as Markdown.
    pub(super) meaning: &'static str,
}

const fn one(name: &'static str, meaning: &'static str) -> Key {
    Key { name, kind: Kind::One, meaning }
}

const fn list(name: &'static str, meaning: &'static str) -> Key {
    Key { name, kind: Kind::List, meaning }
}

/// All of them, in the order of the reference page.
pub(super) const KEYS: &[Key] = &[
    one(
        "server.data_dir",
        "where everything lives that the server owns; made with mode 0700. Also `--data DIR`",
    ),
    list(
        "server.listen",
        "`IP:PORT` or `unix:PATH`, one or several; port 0 takes a free one. What is really listened on stands in \
         `listen` in the data folder",
    ),
    list(
        "server.allowed_hosts",
        "names beside the loopback ones under which the server may be called over TCP; others are refused with 421",
    ),
    one(
        "server.open_metrics",
        "whether `/metrics` and `/api/health` are shown to whoever asks, and not with the admin token alone",
    ),
    one(
        "server.connections",
        "at most so many connections at once; further ones wait. Three quarters of them may wait for jobs or listen to events",
    ),
    one("server.shutdown_grace", "at the end, running requests get so long to finish"),
    one("database.url", "`sqlite://PATH`; unset: `reclaimer.db` in the data folder"),
    one("database.durability", "`full` survives a loss of power, `normal` only a crash of the process"),
    one("database.min_free", "with less room than this on the disk no new jobs are taken; reports still are"),
    list(
        "auth.admin_token_sha256",
        "SHA-256 of the admin token, in hexadecimal; two are valid while a token is changed. Unset: a token is made on \
         the first start, in `admin.token` in the data folder",
    ),
    list("auth.worker_token_sha256", "the same for the workers' token, `worker.token`"),
    list("auth.socket_uids", "users who may call over a Unix socket, as workers; unset: the server's own"),
    one("provisioning.lease", "how long a job is leased unless its worker is heard of"),
    one(
        "provisioning.refresh_before",
        "an access token that ends within this time is refreshed before it is handed out",
    ),
    one("discovery.fresh_for", "discovery starts nothing new when the last one finished within this time"),
    one("discovery.command", "the command of discovery jobs"),
    list("discovery.group", "the commands that each group found asks for"),
    list("discovery.project", "the commands that each project found asks for"),
    Key {
        name: "oauth.provider",
        kind: Kind::Tables(&["id", "token_url", "client_id", "client_secret", "client_secret_file"]),
        meaning: "`[[oauth.provider]]` with `id`, `token_url`, `client_id` and, for a confidential client, \
                  `client_secret_file` or `client_secret`: where accounts of this provider are refreshed",
    },
    list(
        "link.socket_path",
        "the socket of a crawler that listens on it, or several: each is one link that we dial, in the envelope dialect. \
         Also `SOCKET_PATH`",
    ),
    one("link.id", "what we are called on links of the envelope dialect"),
    one("link.peer", "what the worker at the other end is called there"),
    one(
        "link.command_peer",
        "to whom START_JOB, PAUSE_CRAWLER and RESUME_CRAWLER are addressed; unset: `link.peer`. Some crawlers want \
         `crawler`",
    ),
    one("link.heartbeat_interval", "between two of our heartbeats, in the envelope dialect"),
    one("link.heartbeat_timeout", "a worker that says nothing for so long is lost"),
    one(
        "link.first_frame_within",
        "so is one that says nothing valid within this time of the connection. Unset: as long as `heartbeat_timeout`; 15s \
         for a flat crawler that connects",
    ),
    one(
        "link.reconnect_after",
        "from a connection that failed to the next attempt; it grows by half each time …",
    ),
    one("link.reconnect_at_most", "… up to this"),
    one(
        "link.send_refresh_token",
        "whether workers get refresh tokens too when they ask for fresh credentials",
    ),
    Key {
        name: "link.each",
        kind: Kind::Tables(&[
            "name",
            "path",
            "mode",
            "dialect",
            "queue",
            "jobs_at_once",
            "id",
            "peer",
            "command_peer",
            "heartbeat_interval",
            "heartbeat_timeout",
            "first_frame_within",
            "send_refresh_token",
            "entities",
        ]),
        meaning: "`[[link]]` (beside a `[link]`: `[[link.each]]`) with `name`, `path`, and what differs from `[link]`: \
                  `dialect` (`envelope`, `flat`), `mode` (`dial`, `listen`; unset: we dial an envelope link, and crawlers \
                  dial a flat one), `queue`, `jobs_at_once` (1) where a request does not say, `entities` (flat: what \
                  each command is called), and any key of `[link]` that a link has",
    },
    one("breaker.failure_threshold", "so many attempts to connect that fail in a row open a link's circuit"),
    one("breaker.open_for", "for so long, a fifth more or less; it grows by half while probing fails …"),
    one("breaker.open_at_most", "… up to this"),
    one("breaker.half_open_probes", "at most so many probes at once"),
    one("supervisor.enabled", "whether the workers below are started and kept alive. Also `SUPERVISED`"),
    one("supervisor.retry_exhausted", "between two attempts to start a worker that was given up"),
    Key {
        name: "supervisor.worker",
        kind: Kind::Tables(&[
            "name",
            "command",
            "args",
            "env",
            "dir",
            "count",
            "user",
            "restart",
            "restart_delay",
            "max_restarts",
            "within",
            "ready_within",
            "stop_grace",
            "memory_limit",
            "open_files",
            "link",
            "on_exhausted",
        ]),
        meaning: "`[[supervisor.worker]]` with `name`, `command`, and as needed: `args`, `env`, `dir`, `count` (1), \
                  `user`, `restart` (`always`, `on-failure`, `never`), `restart_delay` (1s), `max_restarts` (5) `within` \
                  (1m), `on_exhausted` (`slow`: tried again; `hold`), `ready_within`, `stop_grace` (10s), \
                  `memory_limit`, `open_files`, and `link`: the link over which it is heard, whose path it finds in \
                  `SOCKET_PATH`",
    },
    one("recovery.enabled", "whether recovery runs by itself; runs on demand happen either way"),
    one("recovery.startup_delay", "from the start to the startup run"),
    one("recovery.interval", "between periodic runs"),
    one("recovery.lease_check", "between two looks for expired leases"),
    one("recovery.batch_size", "at most so many jobs change in one cycle"),
    one("recovery.drain_pause", "between a full cycle and the next"),
    one("recovery.spread", "the jobs of a full batch become due spread over this time"),
    one("recovery.stuck_after", "a running job that nobody mentioned for so long is stuck; `0s` = never"),
    Key {
        name: "recovery.stuck",
        kind: Kind::Tables(&["queue", "command", "after"]),
        meaning: "`[[recovery.stuck]]` with `queue`, `command` or both, and `after`: another limit for those jobs; the \
                  first that fits counts",
    },
    one("recovery.reclaim_grace", "how long leases are held on after our own absence"),
    one(
        "recovery.policy",
        "a file with rules of your own, see `docs/recovery.md`; read at the start, on SIGHUP, and when asked by \
         `reclaimer policy reload`. Unset: the built-in rules alone",
    ),
    one(
        "recovery.poison_after",
        "leases lost in a row without a report until a job is quarantined; a policy file may say otherwise",
    ),
    one("recovery.max_recoveries", "how often a failed job is recovered; a policy file may say otherwise"),
    one("recovery.budget_ratio", "per job claimed within a minute, recovery may queue so many again …"),
    one("recovery.budget_per_second", "… and so many a second on top; the rest waits"),
    one(
        "retention.finished",
        "for how long finished jobs are kept; `0s` = for ever. An area whose finished job is gone gets a new one from the \
         next discovery that finds it",
    ),
    one("retention.cancelled", "for how long cancelled jobs are kept"),
    one(
        "retention.events",
        "for how long the history is kept, also of jobs that are gone; that of jobs that are not over stays",
    ),
    one("retention.interval", "between two sweeps that remove what was kept for long enough"),
    one(
        "health.deaf_after",
        "a connected worker that holds nothing and asks for nothing is deaf when work has waited for it for so long",
    ),
    one(
        "health.standstill_after",
        "a queue stands still when due jobs wait in it and none was taken for so long",
    ),
    one(
        "alerts.webhook_url",
        "where messages about incidents are posted, see [operating](../operating.md#alerts). Unset: incidents are found \
         and logged, and nobody is told",
    ),
    one("alerts.webhook_url_file", "a file with that address, where it is a secret, as with Slack"),
    one("alerts.webhook_secret", "messages are signed with it, by HMAC-SHA256. Unset: they are not signed"),
    one("alerts.webhook_secret_file", "a file with that secret"),
    one("alerts.server_name", "what this server is called in messages; unset: as its machine is"),
    one("alerts.interval", "between two looks at the server's health"),
    one(
        "alerts.cooldown",
        "after a message about something the next incident of the same rule about it is told of no sooner",
    ),
    one("alerts.resolve_after", "an incident is over when its cause has been gone for so long"),
    one("alerts.remind_after", "an incident that lasts is told of again so often; `0s` = never"),
    one("alerts.breaker_open_for", "rule `breaker_open`: a link's circuit has been open for so long"),
    one(
        "alerts.recovery_success_below",
        "rule `recovery_success`: of the recovered jobs that ended within a day, at least ten, a smaller share finished, …",
    ),
    one("alerts.recovery_success_for", "… for so long"),
    one("alerts.quarantined_above", "rule `quarantined_jobs`: more jobs are quarantined, …"),
    one("alerts.quarantined_for", "… for so long"),
    one(
        "alerts.oldest_queued_above",
        "rule `oldest_queued`: a job has been due for longer, in a queue that is not paused",
    ),
    one(
        "alerts.worker_restarts_above",
        "rule `worker_restarts`: a supervised process was started again more often, or was given up, …",
    ),
    one("alerts.worker_restarts_within", "… within this time"),
    one("alerts.database_not_writable_for", "rule `database_not_writable`: it has been so for so long"),
    one(
        "alerts.loop_stopped_for",
        "rule `loop_stopped`: a loop of the server has not turned for so long beyond its time",
    ),
    list("alerts.off", "rules that are not looked at, by name"),
    one("log.format", "`pretty`, `json`, or `auto`: pretty on a terminal"),
    one("log.level", "`error`, `warn`, `info`, `debug` or `trace`, which names each SQL statement"),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Short names of variables that older set-ups use.
pub(super) const SHORT: [(&str, &str); 2] =
    [("SOCKET_PATH", "link.socket_path"), ("SUPERVISED", "supervisor.enabled")];

/// Variables that begin as ours do and are no settings: the command line's, and those of our example of a worker.
const OTHER: [&str; 6] = ["TOKEN", "SERVER", "URL", "WORKER_TOKEN", "WORKER", "BEAT"];

/// Whether a variable, without its `RECLAIMER_`, is known to be no setting. Among them are those that Kubernetes and Docker
/// set for a service that is called `reclaimer`.
pub(super) fn is_no_setting(rest: &str) -> bool {
    let of_a_service = rest == "PORT"
        || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].into_iter().any(|start| rest.starts_with(start));
    OTHER.contains(&rest) || of_a_service
}

/// The name of a key's variable.
pub(super) fn variable(name: &str) -> String {
    format!("RECLAIMER_{}", name.replace('.', "__").to_uppercase())
}

/// The known name nearest to an unknown one, where one is near enough to have been meant.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::show::{display, flatten};
    use super::*;

    #[test]
    fn the_list_and_the_settings_name_the_same_keys() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        let mut of_settings: Vec<String> = flatten(&settings).into_iter().map(|(name, _)| name).collect();
        let mut of_list: Vec<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        of_settings.sort();
        of_list.sort();
        assert_eq!(of_list, of_settings);
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("recovery.max_recovries", names()), Some("recovery.max_recoveries"));
        assert_eq!(nearest("server.port", names()), None);
    }

    #[test]
    fn the_reference_page_is_this_list() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        let defaults: std::collections::BTreeMap<String, serde_json::Value> =
            flatten(&defaults).into_iter().collect();
        let mut page = include_str!("page_head.md").to_owned();
        for key in KEYS {
            let default = display(&defaults[key.name]);
            let default = if default.is_empty() { "–".to_owned() } else { format!("`{default}`") };
            let variable = match key.kind {
                Kind::Tables(_) => "–".to_owned(),
                Kind::One | Kind::List => format!("`{}`", variable(key.name)),
            };
            page.push_str(&format!("| `{}` | {default} | {} | {variable} |\n", key.name, key.meaning));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            stored == page,
            "docs/reference/configuration.md is not up to date: run with UPDATE_SNAPSHOTS=1"
        );
    }
}
