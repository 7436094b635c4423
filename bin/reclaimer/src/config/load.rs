//! Putting the sources together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::settings::Settings;
use super::sources::{self, Values};
use super::{check, keys};

/// What the command line sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Vec<String>,
}

/// Settings, and where each comes from that is not a default.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) places: BTreeMap<String, String>,
}

/// The file that is read when no other is named.
const FILE: &str = "reclaimer.toml";

/// Loads the settings that are in force.
pub(crate) fn load(flags: &Flags) -> Result<Loaded> {
    let mut sources = Vec::new();
    match &flags.config {
        Some(path) => sources.push(sources::file(path)?),
        None if Path::new(FILE).exists() => sources.push(sources::file(Path::new(FILE))?),
        None => {}
    }
    sources.push(sources::environment(variables())?);
    sources.push(sources::flags(flags.data.as_ref(), &flags.listen));
    put_together(sources)
}

/// The environment; what is no text is none of ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn put_together(sources: Vec<Values>) -> Result<Loaded> {
    let mut places = BTreeMap::new();
    let mut builder = config::Config::builder();
    for source in sources {
        places.extend(source.places().map(|(name, place)| (name.to_owned(), place.to_owned())));
        builder = builder.add_source(source);
    }
    let merged = builder.build()?;
    // One by one first: a value of the wrong type is then refused with its own key and place.
    for (name, place) in &places {
        if let Err(error) = check::parses(&merged, name) {
            bail!("{place}: `{name}`: {error}");
        }
    }
    let settings: Settings = merged.try_deserialize()?;
    if let Err((name, allowed)) = check::in_range(&settings) {
        let place = places.get(name).map_or("by default", String::as_str);
        bail!("{place}: `{name}`: {allowed}");
    }
    debug_assert!(places.keys().all(|name| keys::find(name).is_some()));
    Ok(Loaded { settings, places })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn from(file: &str, variables: &[(&str, &str)]) -> Result<Loaded> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(FILE);
        std::fs::write(&path, file)?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        put_together(vec![sources::file(&path)?, sources::environment(variables)?])
    }

    #[track_caller]
    fn refusal(file: &str, variables: &[(&str, &str)]) -> String {
        let text = format!("{:#}", from(file, variables).unwrap_err());
        // The folder's name changes with each run.
        text.find("/reclaimer.toml").map_or(text.clone(), |at| text[at + 1..].to_owned())
    }

    #[test]
    fn later_wins_and_says_where_it_stands() {
        let file = "[recovery]\ninterval = \"10m\"\nbatch_size = 7\n[server]\nlisten = \"127.0.0.1:1\"\n";
        let variables = [("RECLAIMER_RECOVERY__INTERVAL", "5m"), ("RECLAIMER_TOKEN", "not a setting")];
        let loaded = from(file, &variables).unwrap();
        assert_eq!(loaded.settings.recovery.interval, Duration::from_secs(300));
        assert_eq!(loaded.settings.recovery.batch_size, 7);
        assert_eq!(loaded.settings.server.listen, ["127.0.0.1:1"]);
        assert_eq!(loaded.places["recovery.interval"], "RECLAIMER_RECOVERY__INTERVAL");
        assert!(loaded.places["recovery.batch_size"].ends_with("reclaimer.toml:3"));
        assert!(!loaded.places.contains_key("recovery.spread"));
    }

    #[test]
    fn lists_come_from_the_environment_with_commas() {
        let variables =
            [("RECLAIMER_SERVER__LISTEN", "127.0.0.1:0, unix:x"), ("RECLAIMER_AUTH__SOCKET_UIDS", "1,2")];
        let settings = from("", &variables).unwrap().settings;
        assert_eq!(settings.server.listen, ["127.0.0.1:0", "unix:x"]);
        assert_eq!(settings.auth.socket_uids, Some(vec![1, 2]));
    }

    #[test]
    fn tables_are_read() {
        let file = "[[recovery.stuck]]\ncommand = \"X\"\nafter = \"3h\"\n[[oauth.provider]]\nid = \"g\"\n\
                    token_url = \"https://g/t\"\nclient_id = \"c\"\n[database]\nmin_free = \"1MiB\"\n";
        let settings = from(file, &[]).unwrap().settings;
        assert_eq!(settings.recovery.stuck[0].after, Duration::from_secs(10_800));
        assert_eq!(settings.oauth.provider[0].client_id, "c");
        assert_eq!(settings.database.min_free.as_u64(), 1_048_576);
    }

    #[test]
    fn links_and_breakers_that_cannot_work_are_refused_by_their_own_keys() {
        for (file, told) in [
            (
                "[breaker]\nfailure_threshold = 0\n",
                "`breaker.failure_threshold`: a whole number from 1 to 1000000, got 0",
            ),
            (
                "[breaker]\nhalf_open_probes = 0\n",
                "`breaker.half_open_probes`: a whole number from 1 to 1000, got 0",
            ),
            (
                "[breaker]\nopen_for = \"10m\"\n",
                "`breaker.open_at_most`: at least breaker.open_for, 10m, got 5m",
            ),
            (
                "[[link]]\nname = \"a\"\npath = \"s\"\nheartbeat_interval = \"0s\"\n",
                "link `a`: heartbeat_interval: from 10ms to ten years, got 0s",
            ),
            (
                "[[link]]\nname = \"a\"\npath = \"s\"\ndialect = \"flat\"\nentities = {}\n",
                "link `a`: entities names at least one command",
            ),
            (
                "[[link]]\nname = \"a\"\npath = \"s\"\n[[link]]\nname = \"b\"\npath = \"s\"\nmode = \"listen\"\n",
                "links `a` and `b` are on one socket",
            ),
            (
                "[[link]]\nname = \"a\"\npath = \"s\"\n[[supervisor.worker]]\nname = \"x\"\ncommand = \"x\"\n\
                 link = \"a\"\n[[supervisor.worker]]\nname = \"y\"\ncommand = \"y\"\nlink = \"a\"\n",
                "link `a` is dialled, and 2 workers are heard over it",
            ),
        ] {
            let refused = refusal(file, &[]);
            assert!(refused.contains(told), "{refused}");
        }
        let long = format!("[[link]]\nname = \"a\"\npath = \"{}\"\n", "s".repeat(108));
        assert!(refusal(&long, &[]).contains("at most 107 bytes, got 108"));
        let refused = refusal("", &[("SUPERVISED", "ture")]);
        assert_eq!(refused, "SUPERVISED: `true` or `false` is needed, got `ture`");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert_eq!(
            refusal("[recovery]\n\nmax_recovries = 1\n", &[]),
            "reclaimer.toml:3: unknown key `recovery.max_recovries`; did you mean `recovery.max_recoveries`?"
        );
        assert!(
            refusal("[nothing]\nx = 1\n", &[])
                .starts_with("reclaimer.toml:2: unknown section [nothing]; there are server, ")
        );
        assert!(
            refusal("x = 1\n", &[])
                .starts_with("reclaimer.toml:1: unknown key `x`; every key stands in a section")
        );
        assert!(refusal("[server\n", &[]).starts_with("reclaimer.toml:1: "));
        assert_eq!(
            refusal("[[recovery.stuck]]\naftr = \"1h\"\n", &[]),
            "reclaimer.toml:2: unknown key `aftr`; did you mean `after`?"
        );
        let refused = refusal("[recovery]\nenabled = \"perhaps\"\n", &[]);
        assert!(
            refused.starts_with("reclaimer.toml:2: `recovery.enabled`: ")
                && refused.contains("true or false"),
            "{refused}"
        );
        let refused = refusal("[recovery]\ninterval = \"soon\"\n", &[]);
        assert!(refused.starts_with("reclaimer.toml:2: `recovery.interval`: "), "{refused}");
        let refused = refusal("[recovery]\nbatch_size = 0\n", &[]);
        assert_eq!(refused, "reclaimer.toml:2: `recovery.batch_size`: a whole number from 1 to 10000, got 0");
        let refused = refusal("", &[("RECLAIMER_LOG__LEVEL", "loud")]);
        assert!(
            refused.starts_with("RECLAIMER_LOG__LEVEL: `log.level`: ") && refused.contains("`trace`"),
            "{refused}"
        );
        let refused = refusal("", &[("RECLAIMER_LOG__LEVLE", "info")]);
        assert_eq!(refused, "RECLAIMER_LOG__LEVLE: unknown key `log.levle`; did you mean `log.level`?");
        let refused = refusal("", &[("RECLAIMER_OAUTH__PROVIDER", "x")]);
        assert!(refused.contains("cannot be set there"), "{refused}");
    }

    #[test]
    fn a_refused_value_says_what_is_allowed() {
        for (file, said) in [
            (
                "[recovery]\ninterval = 5\n",
                "a length of time, e.g. `90s` or `2h 30m`, is needed, got string \"5\"",
            ),
            ("[recovery]\ninterval = \"1ms\"\n", "from 100ms to"),
            ("[database]\nmin_free = -1\n", "a size, e.g. `64MiB`, is needed, got integer `-1`"),
            ("[database]\nmin_free = \"much\"\n", "a size, e.g. `64MiB`, is needed, got string \"much\""),
            ("[recovery]\nbatch_size = -1\n", "a whole number from 1 to 10000, got -1"),
            ("[recovery]\nbatch_size = 1.5\n", "a whole number from 1 to 10000, got 1.5"),
            ("[recovery]\nbatch_size = \"x\"\n", "a whole number from 1 to 10000, got x"),
            ("[recovery]\nmax_recoveries = -1\n", "a whole number from 0 to 4294967295, got -1"),
            ("[server]\nconnections = 0\n", "a whole number from 1 to 1000000, got 0"),
            ("[recovery]\nbudget_ratio = \"x\"\n", "a number is needed, got string \"x\""),
            ("[auth]\nsocket_uids = [-1]\n", "a whole number of at least 0 is needed"),
            ("[auth]\nsocket_uids = \"x\"\n", "a list is needed, got string \"x\""),
            ("[server]\ndata_dir = \"\"\n", "`server.data_dir`: the path of a folder, e.g. ./data"),
            (
                "[alerts]\nwebhook_url = \"hooks.example\"\n",
                "`alerts.webhook_url`: the address of a webhook, https://",
            ),
            (
                "[alerts]\nwebhook_secret = \"short\"\n",
                "`alerts.webhook_secret`: a secret of at least 16 characters",
            ),
            ("[alerts]\noff = \"breaker\"\n", "`alerts.off`: some of `breaker_open`, "),
            ("[alerts]\nrecovery_success_below = 50\n", "a share from 0 to 1, got 50"),
            ("[alerts]\nquarantined_above = -1\n", "a whole number from 0 to 1000000000, got -1"),
            ("[alerts]\ninterval = \"0s\"\n", "from 100ms to"),
            ("[[recovery.stuck]]\nqueue = \"x\"\nafter = 5\n", "a length of time, e.g. `90s`"),
        ] {
            let refused = refusal(file, &[]);
            assert!(refused.contains(said), "{file}: {refused}");
        }
    }

    #[test]
    fn a_variable_that_is_no_setting_stops_the_start() {
        assert_eq!(
            refusal("", &[("RECLAIMER_RECOVERY_INTERVAL", "5m")]),
            "RECLAIMER_RECOVERY_INTERVAL: there is no such setting; did you mean `RECLAIMER_RECOVERY__INTERVAL`?"
        );
        assert_eq!(
            refusal("", &[("RECLAIMER_FROBNICATE", "5m")]),
            "RECLAIMER_FROBNICATE: there is no such setting; settings are called RECLAIMER_<SECTION>__<KEY>, \
             `reclaimer config` lists them"
        );
        // The command line's own, a worker's, and what a cluster sets for a service that is called like us.
        for name in [
            "RECLAIMER_TOKEN",
            "RECLAIMER_SERVER",
            "RECLAIMER_WORKER_TOKEN",
            "RECLAIMER_SERVICE_HOST",
            "RECLAIMER_SERVICE_PORT_HTTP",
            "RECLAIMER_PORT",
            "RECLAIMER_PORT_7400_TCP_ADDR",
        ] {
            assert!(from("", &[(name, "x")]).is_ok(), "{name}");
        }
    }
}
