//! A server is killed amid load, again and again: what it acknowledged holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, query};

/// How often the server is killed.
const KILLS: usize = 20;
/// How many answers of each kind a round waits for before it kills.
const ROUND: usize = 60;

/// What callers were told.
#[derive(Debug, Default)]
struct Told {
    created: BTreeSet<String>,
    /// Job → lease tokens that were handed out for it.
    leases: BTreeMap<String, BTreeSet<String>>,
    finished: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_twenty_kills() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(
        "[provisioning]\nlease = \"2s\"\n[recovery]\nstartup_delay = \"50ms\"\nlease_check = \"100ms\"\n\
         reclaim_grace = \"200ms\"\nspread = \"10ms\"\nbudget_per_second = 1000.0\npoison_after = 1000\n",
    );
    let told = Arc::new(Mutex::new(Told::default()));
    for round in 0..KILLS {
        let server = Arc::new(Server::start(folder.path(), &setup).await?);
        let (counted, mut counts) = tokio::sync::mpsc::unbounded_channel();
        let mut load = tokio::task::JoinSet::new();
        for caller in 0..4 {
            load.spawn(produce(Arc::clone(&server), Arc::clone(&told), counted.clone(), (round, caller)));
            load.spawn(work(Arc::clone(&server), Arc::clone(&told), counted.clone(), caller));
        }
        for _ in 0..ROUND {
            counts.recv().await;
        }
        // The kill falls amid requests that are under way; their callers learn nothing.
        nix::sys::signal::kill(server.pid()?, nix::sys::signal::Signal::SIGKILL)?;
        // A caller that found something wrong has panicked, and says so here.
        while let Some(ended) = load.join_next().await {
            ended?;
        }
        drop(counts);
        if let Some(server) = Arc::into_inner(server) {
            server.crash().await?;
        }
        check(&folder.path().join("data/reclaimer.db"), &hold(&told))?;
    }
    finish_the_rest(folder.path(), &setup).await?;
    let told = hold(&told);
    assert!(told.created.len() >= KILLS && told.finished.len() >= KILLS, "there was load: {told:?}");
    check(&folder.path().join("data/reclaimer.db"), &told)
}

fn hold(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

type Counter = tokio::sync::mpsc::UnboundedSender<()>;

async fn produce(server: Arc<Server>, told: Arc<Mutex<Told>>, count: Counter, at: (usize, usize)) {
    for number in 0.. {
        let order =
            json!({ "command": "X", "fullPath": format!("{}/{}/{number}", at.0, at.1), "maxAttempts": 1000 });
        // An error is the kill: what became of that request is not known, and nothing is claimed of it.
        let Ok(id) = server.create(order).await else { return };
        hold(&told).created.insert(id);
        let _ = count.send(());
    }
}

async fn work(server: Arc<Server>, told: Arc<Mutex<Told>>, count: Counter, caller: usize) {
    loop {
        let Ok(jobs) = server.open(&format!("w{caller}"), 3, 1).await else { return };
        for (number, job) in jobs.into_iter().enumerate() {
            let (Some(id), Some(token)) = (job["id"].as_str(), job["lease"]["token"].as_str()) else {
                return;
            };
            hold(&told).leases.entry(id.to_owned()).or_default().insert(token.to_owned());
            // Each third job is forgotten, as a worker that dies would.
            if number == 2 {
                continue;
            }
            let Ok(answer) = server.report(&job, "completed", json!({})).await else { return };
            if answer.status.is_success() && answer.body["applied"] == true {
                assert!(hold(&told).finished.insert(id.to_owned()), "{id} was finished twice");
            }
            let _ = count.send(());
        }
    }
}

/// What the database must say, whatever the moment of the kill.
fn check(database: &std::path::Path, told: &Told) -> Result<()> {
    assert_eq!(query(database, "PRAGMA integrity_check")?, ["ok"]);
    let rows: BTreeMap<String, String> = query(database, "SELECT id, status FROM job")?
        .iter()
        .filter_map(|line| line.split_once('|'))
        .map(|(id, status)| (id.to_owned(), status.to_owned()))
        .collect();
    for id in &told.created {
        assert!(rows.contains_key(id), "the acknowledged job {id} is gone");
    }
    for id in &told.finished {
        assert_eq!(
            rows.get(id).map(String::as_str),
            Some("finished"),
            "the acknowledged report on {id} is gone"
        );
    }
    let twice = query(
        database,
        "SELECT job_id, count(*) FROM job_event WHERE kind = 'finished' GROUP BY job_id HAVING count(*) > 1",
    )?;
    assert!(twice.is_empty(), "finished twice: {twice:?}");
    let owners = query(database, "SELECT lease_token FROM job WHERE lease_token IS NOT NULL")?;
    assert_eq!(owners.len(), owners.iter().collect::<BTreeSet<_>>().len(), "one lease, one job");
    let wrong = query(
        database,
        "SELECT id FROM job WHERE (status = 'running') <> (lease_token IS NOT NULL)
         UNION SELECT job.id FROM job WHERE status <> (SELECT to_status FROM job_event
           WHERE job_event.job_id = job.id AND kind <> 'stale_report' ORDER BY job_event.id DESC LIMIT 1)",
    )?;
    assert!(wrong.is_empty(), "row and history part: {wrong:?}");
    // A job never had two holders at once: between two claims somebody took it back.
    let overlapping = query(
        database,
        "SELECT job_id FROM (SELECT job_id, kind, lag(kind) OVER (PARTITION BY job_id ORDER BY id) AS before
           FROM job_event WHERE kind <> 'stale_report') WHERE kind = 'claimed' AND before = 'claimed'",
    )?;
    assert!(overlapping.is_empty(), "claimed while held: {overlapping:?}");
    Ok(())
}

/// With the killing over, every job comes to its end: nothing was lost.
async fn finish_the_rest(folder: &std::path::Path, setup: &Setup) -> Result<()> {
    let server = Server::start(folder, setup).await?;
    let database = server.database();
    let left = || query(&database, "SELECT count(*) FROM job WHERE status <> 'finished'");
    crate::rig::until("every job to finish", async || {
        for job in server.open("last", 100, 1).await? {
            server.report(&job, "completed", json!({})).await?.expect(200);
        }
        Ok((left()? == ["0"]).then_some(()))
    })
    .await?;
    let ready = server.ask(Method::GET, "/readyz", None, None).await?.expect(200);
    assert_ne!(ready, Value::Null);
    assert!(server.stop().await?.success());
    Ok(())
}
