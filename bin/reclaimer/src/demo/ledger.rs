//! The reckoning: what the job table says at the end, and whether it proves what it must.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::api::Api;

/// How many histories are read at once.
const AT_ONCE: usize = 8;

/// What the job table and its history say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) jobs: u64,
    pub(super) finished: u64,
    pub(super) set_aside: u64,
    /// Pages or files that more than one job is about.
    pub(super) doubled: u64,
    /// Jobs whose history has not exactly one end.
    pub(super) ended_otherwise: u64,
    /// How often a job was handed out.
    pub(super) claims: u64,
    /// How often a job was lost and taken back, by the sign it was known by.
    pub(super) lost: BTreeMap<String, u64>,
    /// How often a job was queued again, by rule.
    pub(super) recovered: BTreeMap<String, u64>,
    /// Reports that came too late.
    pub(super) stale: u64,
}

impl Ledger {
    pub(super) async fn read(api: &Api) -> Result<Self> {
        let jobs = api.jobs().await?;
        let histories = stream::iter(jobs)
            .map(|job| async move {
                let events = api.events(job["id"].as_str().context("a job without id")?).await?;
                Ok::<_, anyhow::Error>((job, events))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Self::of(&histories))
    }

    fn of(histories: &[(Value, Vec<Value>)]) -> Self {
        let mut ledger = Self::default();
        let mut paths = BTreeSet::new();
        for (job, events) in histories {
            ledger.jobs += 1;
            let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count() as u64;
            match job["status"].as_str() {
                Some("finished") => ledger.finished += 1,
                Some("quarantined") => ledger.set_aside += 1,
                _ => {}
            }
            if !paths.insert((job["command"].to_string(), job["fullPath"].to_string())) {
                ledger.doubled += 1;
            }
            if count("finished") != u64::from(job["status"] == "finished") {
                ledger.ended_otherwise += 1;
            }
            ledger.claims += count("claimed");
            ledger.stale += count("stale_report");
            for event in events {
                let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
                if event["kind"] == "reclaimed" {
                    *ledger.lost.entry(word(&event["detail"]["sign"])).or_default() += 1;
                }
                if event["kind"] == "reclaimed" || event["kind"] == "recovered" {
                    *ledger.recovered.entry(word(&event["rule"])).or_default() += 1;
                }
            }
        }
        ledger
    }

    /// Jobs that were not finished, those set aside for a person among them.
    pub(super) fn left(&self) -> u64 {
        self.jobs - self.finished
    }

    /// Whether every page has one job, and every job was finished, once.
    pub(super) fn holds(&self) -> bool {
        self.jobs > 0 && self.left() == 0 && self.doubled == 0 && self.ended_otherwise == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(path: &str, status: &str) -> Value {
        json!({ "command": "CRAWL_PAGE", "fullPath": path, "status": status })
    }

    fn kinds(kinds: &[&str]) -> Vec<Value> {
        kinds
            .iter()
            .map(|kind| json!({ "kind": kind, "rule": "stuck", "detail": { "sign": "lease_expired" } }))
            .collect()
    }

    #[test]
    fn a_clean_table_holds() {
        let lost = kinds(&["created", "claimed", "reclaimed", "claimed", "stale_report", "finished"]);
        let ledger = Ledger::of(&[(job("/a", "finished"), lost)]);
        assert!(ledger.holds());
        assert_eq!((ledger.claims, ledger.stale, ledger.lost["lease_expired"]), (2, 1, 1));
    }

    #[test]
    fn a_page_with_two_jobs_or_two_ends_or_none_does_not_hold() {
        let once = kinds(&["created", "claimed", "finished"]);
        let twice = kinds(&["created", "claimed", "finished", "finished"]);
        assert!(!Ledger::of(&[]).holds());
        assert!(
            !Ledger::of(&[(job("/a", "finished"), once.clone()), (job("/a", "finished"), once.clone())])
                .holds()
        );
        assert!(!Ledger::of(&[(job("/a", "finished"), twice)]).holds());
        assert!(!Ledger::of(&[(job("/a", "running"), kinds(&["created", "claimed"]))]).holds());
    }

    #[test]
    fn a_page_that_was_set_aside_or_never_done_does_not_hold() {
        let done = (job("/a", "finished"), kinds(&["created", "claimed", "finished"]));
        let aside = (job("/b", "quarantined"), kinds(&["created", "claimed", "failed", "quarantined"]));
        let waits = (job("/b", "queued"), kinds(&["created"]));
        for other in [aside, waits] {
            let ledger = Ledger::of(&[done.clone(), other]);
            assert!(!ledger.holds());
            assert_eq!(ledger.left(), 1);
        }
        assert!(Ledger::of(&[done]).holds());
    }
}
