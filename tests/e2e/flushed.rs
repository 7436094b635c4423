//! What is acknowledged was flushed before: seen in the system calls of the server.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result};
use serde_json::json;

use crate::rig::{Server, Setup, until};

/// How often each is asked.
const TIMES: usize = 8;
/// What is asked, as it begins on the wire.
const REQUESTS: [&str; 3] =
    ["POST /api/jobs ", "GET /api/internal/jobs/open?", "POST /api/internal/jobs/progress "];

/// What a trace shows: per request, how often it was answered, and how often a flush of the log lay between.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    answered: BTreeMap<&'static str, usize>,
    flushed: BTreeMap<&'static str, usize>,
}

/// Reads a trace of a server that was asked one thing after another. A line begins with the thread; a call that another thread
/// came in between of is written in two parts, and is over with the second.
fn read(trace: &str) -> Seen {
    let mut seen = Seen::default();
    let (mut asked, mut flushed) = (None, false);
    let mut flushing = HashSet::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let is_flush = call.starts_with("fsync(") || call.starts_with("fdatasync(");
        if is_flush && call.contains(".db-wal") {
            if call.ends_with("= 0") {
                flushed = true;
            } else {
                flushing.insert(thread);
            }
        } else if call.contains("sync resumed>") && call.ends_with("= 0") {
            flushed |= flushing.remove(thread);
        } else if let Some(request) = REQUESTS.iter().find(|request| call.contains(**request)) {
            (asked, flushed) = (Some(*request), false);
        } else if call.contains("\"HTTP/1.1 2")
            && let Some(request) = asked.take()
        {
            *seen.answered.entry(request).or_default() += 1;
            *seen.flushed.entry(request).or_default() += usize::from(flushed);
        }
    }
    seen
}

/// Has jobs created, claimed and reported, one after another, by a server whose calls are traced.
async fn traced(config: &str) -> Result<Seen> {
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace");
    let calls = "--trace=fsync,fdatasync,read,readv,recvfrom,write,writev,sendto,sendmsg";
    // The tracer is no parent of the server, so that signals reach that.
    let mut before: Vec<_> =
        ["strace", "-D", "-f", "-y", "-q", "-s", "64", calls, "-o"].map(Into::into).into();
    before.push(trace.clone().into_os_string());
    let server = Server::start(folder.path(), &Setup { before, ..Setup::with(config) }).await?;
    for _ in 0..TIMES {
        server.create(json!({ "command": "X" })).await?;
        let job = server.open("w", 1, 0).await?.pop().context("a job that was just created")?;
        server.report(&job, "completed", json!({})).await?.expect(200);
    }
    assert!(server.stop().await?.success());
    // The tracer ends after the server.
    until("the end of the trace", async || {
        let text = std::fs::read_to_string(&trace)?;
        Ok(text
            .lines()
            .last()
            .is_some_and(|line| line.contains("+++ exited with 0 +++"))
            .then(|| read(&text)))
    })
    .await
}

fn each(times: usize) -> BTreeMap<&'static str, usize> {
    REQUESTS.map(|request| (request, times)).into()
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_flushed() -> Result<()> {
    let seen = traced("").await?;
    assert_eq!(seen, Seen { answered: each(TIMES), flushed: each(TIMES) });
    Ok(())
}

#[tokio::test]
async fn without_the_full_durability_answers_do_not_wait_for_a_flush() -> Result<()> {
    // Which shows too that the reading above can tell.
    let seen = traced("[database]\ndurability = \"normal\"\n").await?;
    assert_eq!(seen.answered, each(TIMES));
    assert!(seen.flushed.values().sum::<usize>() < TIMES, "{seen:?}");
    Ok(())
}

#[test]
fn a_flush_counts_between_a_request_and_its_answer_once_it_is_over() {
    let asks = "12 recvfrom(9<TCP>, \"POST /api/jobs HTTP/1.1\\r\\n\"..., 8192, 0, NULL, NULL) = 300";
    let answers = "12 writev(9<TCP>, [{iov_base=\"HTTP/1.1 201 Created\\r\\n\"..., iov_len=90}], 1) = 90";
    let begins = "13 fdatasync(7</x/reclaimer.db-wal> <unfinished ...>";
    let ends = "13 <... fdatasync resumed>) = 0";
    let whole = "13 fdatasync(7</x/reclaimer.db-wal>) = 0";
    let other = "13 fdatasync(7</x/reclaimer.db>) = 0";
    let of = |lines: &[&str]| read(&lines.join("\n")).flushed.get(REQUESTS[0]).copied();
    assert_eq!(of(&[asks, whole, answers]), Some(1));
    assert_eq!(of(&[asks, begins, ends, answers]), Some(1));
    assert_eq!(of(&[asks, begins, answers, ends]), Some(0));
    assert_eq!(of(&[whole, asks, other, answers]), Some(0));
    assert_eq!(of(&[asks, whole]), None);
}
