//! `reclaimer doctor`: checks what on-call would check, and says what to do about each finding.

mod database;
mod health;
mod policy;

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::ports::Clock;
use serde::Serialize;

use super::Common;
use crate::client::{Client, Refusal};
use crate::config::{Mode, Settings};
use crate::data_dir::{ADMIN_TOKEN, WORKER_TOKEN, is_open_to_others, read_addresses};
use crate::system::SystemClock;
use crate::wiring::database_file;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Problem,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it; empty when nothing.
    advice: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), advice: String::new() }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), advice: advice.into() }
    }

    fn problem(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Problem, found: found.into(), advice: advice.into() }
    }
}

pub(super) async fn run(common: &Common) -> Result<ExitCode> {
    let (settings, output) = (common.load()?.settings, common.output());
    let file = database_file(&settings)?;
    let mut findings = database::check(&file, &settings.recovery.engine());
    findings.extend(policy::file(&settings.recovery));
    findings.push(disk(&file, &settings));
    findings.extend(secrets(&settings.server.data_dir, &file));
    findings.extend(sockets(&settings.server.data_dir));
    findings.extend(link_sockets(&settings));
    findings.extend(server(common, &settings).await);
    if output.is_json() {
        output.json(&findings)?;
    } else {
        let rows = findings.iter().map(|finding| {
            let mark = match finding.verdict {
                Verdict::Ok => "✔",
                Verdict::Warning => "!",
                Verdict::Problem => "✘",
            };
            vec![mark.to_owned(), finding.check.to_owned(), finding.found.clone(), finding.advice.clone()]
        });
        output.table(&["", "check", "found", "what to do"], rows)?;
    }
    let well = findings.iter().all(|finding| finding.verdict != Verdict::Problem);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn disk(file: &Path, settings: &Settings) -> Finding {
    let folder = file.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match rustix::fs::statvfs(folder) {
        Ok(room) => {
            let free = ByteSize::b(room.f_bavail.saturating_mul(room.f_frsize));
            let (shown, least) = (free.display().iec(), settings.database.min_free);
            if free < least {
                let advice = format!(
                    "free space, or lower database.min_free (now {}); no new jobs are taken",
                    least.display().iec()
                );
                Finding::problem("disk", format!("{shown} free"), advice)
            } else {
                Finding::ok("disk", format!("{shown} free"))
            }
        }
        Err(error) => Finding::problem("disk", error.to_string(), "check the data folder's permissions"),
    }
}

/// Whether what holds secrets is its owner's alone.
fn secrets(data_dir: &Path, database: &Path) -> Vec<Finding> {
    let tokens = [ADMIN_TOKEN, WORKER_TOKEN].into_iter().map(|name| data_dir.join(name));
    let mut findings = vec![match tokens.into_iter().find(|path| is_open_to_others(path)) {
        None => Finding::ok("token files", "nobody else can read them"),
        Some(path) => {
            let shown = path.display();
            let advice = format!("chmod 600 {shown}; then change the token");
            Finding::problem("token files", format!("others may read {shown}"), advice)
        }
    }];
    for (check, path, mode) in [("data folder", data_dir, "700"), ("database file", database, "600")] {
        let shown = path.display();
        findings.push(if is_open_to_others(path) {
            let advice = format!(
                "chmod {mode} {shown}, unless that is meant: credentials and leases are in the database"
            );
            Finding::warning(check, format!("others may look at {shown}"), advice)
        } else {
            Finding::ok(check, "nobody else can look at it")
        });
    }
    findings
}

/// The sockets that a running server wrote down.
fn sockets(data_dir: &Path) -> Vec<Finding> {
    let addresses = read_addresses(data_dir).unwrap_or_default();
    let paths = addresses.iter().filter_map(|address| address.strip_prefix("unix:"));
    paths.map(|path| socket(Path::new(path))).collect()
}

fn socket(path: &Path) -> Finding {
    let shown = path.display();
    match (std::fs::metadata(path), std::os::unix::net::UnixStream::connect(path)) {
        (Ok(found), Ok(_)) if found.permissions().mode() & 0o077 == 0 => {
            Finding::ok("socket", format!("{shown} answers, and is its owner's alone"))
        }
        (Ok(_), Ok(_)) => {
            let advice = "only the users in auth.socket_uids are served, but chmod 600 keeps the rest from connecting at all";
            Finding::warning("socket", format!("{shown} answers, and others may connect"), advice)
        }
        (_, Err(error)) => Finding::problem(
            "socket",
            format!("{shown}: {error}"),
            "is the server running? Start it again; it replaces a dead socket",
        ),
        (Err(error), Ok(_)) => {
            Finding::warning("socket", format!("{shown}: {error}"), "check the folder's permissions")
        }
    }
}

/// The sockets of links, as far as they can be seen without disturbing anybody.
fn link_sockets(settings: &Settings) -> Vec<Finding> {
    let links = settings.link.all();
    links.iter().map(|link| link_socket(&link.name, &link.path, link.mode())).collect()
}

fn link_socket(name: &str, path: &Path, mode: Mode) -> Finding {
    let shown = path.display();
    match (std::fs::metadata(path), mode) {
        (Ok(found), _) if !found.file_type().is_socket() => {
            let found = format!("link `{name}`: {shown} is no socket");
            Finding::problem("link", found, "remove the file, or correct the link's path")
        }
        (Ok(found), Mode::Listen) if found.permissions().mode() & 0o077 != 0 => {
            let advice = "only the users in auth.socket_uids are served, but chmod 600 keeps the rest from connecting at all";
            Finding::warning("link", format!("link `{name}`: others may connect to {shown}"), advice)
        }
        (Ok(_), _) => Finding::ok("link", format!("link `{name}`: {shown} is there")),
        (Err(error), Mode::Dial) => {
            let found = format!("link `{name}`: {shown}: {error}");
            Finding::warning("link", found, "start the crawler that listens there; jobs wait meanwhile")
        }
        (Err(error), Mode::Listen) => {
            let found = format!("link `{name}`: {shown}: {error}");
            Finding::warning("link", found, "start the server, which makes it")
        }
    }
}

/// The running server: whether it can serve, and whether its clock is ours.
async fn server(common: &Common, settings: &Settings) -> Vec<Finding> {
    let client = match common.client() {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::warning("server", format!("{error:#}"), "start it with `reclaimer serve`")];
        }
    };
    let mut findings = Vec::new();
    findings.push(match client.get(&["readyz"]).await {
        Ok(_) => Finding::ok("server", format!("{} is ready", client.base())),
        Err(error) => {
            let refused = error.downcast_ref::<Refusal>().is_some();
            let advice = if refused {
                "see the reason; it heals by itself when the cause goes"
            } else {
                "start it again"
            };
            Finding::problem("server", format!("{error:#}"), advice)
        }
    });
    findings.extend(clock(&client).await);
    findings.extend(policy::in_force(&client, &settings.recovery).await);
    findings.extend(health::indicators(&client).await);
    findings.extend(health::alerts(&client).await);
    findings
}

/// Beyond this, leases and schedules are off by more than they should be.
const SKEW: TimeDelta = TimeDelta::seconds(5);

async fn clock(client: &Client) -> Option<Finding> {
    let before = SystemClock.now();
    let theirs = client.date().await?;
    Some(skew(before, theirs, SystemClock.now()))
}

/// What it means that the server's clock said `theirs` between two looks at ours. Its answer has whole seconds.
fn skew(before: DateTime<Utc>, theirs: DateTime<Utc>, after: DateTime<Utc>) -> Finding {
    let off = if theirs < before { before - theirs } else { (theirs - after).max(TimeDelta::zero()) };
    if off > SKEW {
        let found = format!("this machine's clock and the server's are {} s apart", off.num_seconds());
        return Finding::warning("clock", found, "set both by NTP; leases and schedules go by the server's");
    }
    Finding::ok("clock", "this machine's and the server's agree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told() {
        let at = |second: i64| DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
        let verdict = |theirs| skew(at(0), at(theirs), at(2)).verdict;
        assert_eq!(
            [-6, -5, 1, 7, 8].map(verdict),
            [Verdict::Warning, Verdict::Ok, Verdict::Ok, Verdict::Ok, Verdict::Warning]
        );
    }
}
