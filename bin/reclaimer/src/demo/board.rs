//! What the demo shows: what happens as it happens, a bar, and the reckoning at the end.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use url::Url;

use super::api::Counts;
use super::fleet::News;
use super::ledger::Ledger;

/// The terminal, or a pipe that gets the same lines without the bar.
#[derive(Debug)]
pub(super) struct Board {
    bar: ProgressBar,
    live: bool,
    colour: bool,
    told: BTreeMap<&'static str, u64>,
    /// What each job is about that somebody took.
    paths: BTreeMap<String, String>,
}

impl Board {
    pub(super) fn new(server: &Url, root: &str) -> Self {
        let live = std::io::stdout().is_terminal();
        let target = if live { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} finished  {msg}") {
            bar.set_style(style);
        }
        let colour = live && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let board = Self { bar, live, colour, told: BTreeMap::new(), paths: BTreeMap::new() };
        board.line(&format!("server    {server}"));
        board.line(&format!("crawling  {root}"));
        board
    }

    /// What a crawler experienced.
    pub(super) fn tell(&mut self, news: &News) {
        match news {
            News::Refused { crawler, path } => {
                self.event(
                    "refused",
                    &format!("{crawler} reported {path} too late; it is somebody else's job now"),
                );
            }
            News::Repeated { crawler, path } => {
                self.event("repeated", &format!("{crawler} reported {path} twice; it counts once"));
            }
            News::HungUp { crawler, path } => {
                self.event("hung up", &format!("{crawler} cut its connection while it reported {path}"));
            }
            News::Took { job, path, .. } => {
                self.paths.insert(job.clone(), path.clone());
            }
            News::Done | News::Gone { .. } => {}
        }
    }

    pub(super) fn killed(&mut self, crawler: &str, path: &str) {
        self.event("killed", &format!("{crawler} while it held {path}"));
    }

    pub(super) fn stopped(&mut self, crawler: &str, path: &str) {
        self.event("stopped", &format!("{crawler} hangs while it holds {path}"));
    }

    /// How the queue stands, and what recovery decided.
    pub(super) fn look(&mut self, counts: &Counts, decisions: Vec<Value>) {
        for decision in decisions {
            let word = |key: &str| decision[key].as_str().unwrap_or_default().to_owned();
            let label = match decision["action"].as_str() {
                Some("requeue") => "recovered",
                Some("quarantine") => "set aside",
                _ => continue,
            };
            let job = word("jobId");
            let path = self.paths.get(&job).cloned().unwrap_or(job);
            self.event(label, &format!("{path} by rule {}: {}", word("rule"), word("reason")));
        }
        self.bar.set_length(counts.total());
        self.bar.set_position(counts.finished);
        self.bar.set_message(format!(
            "{} queued  {} running  {} failed",
            counts.queued, counts.running, counts.failed
        ));
    }

    /// The table and the proof.
    pub(super) fn finish(&self, ledger: &Ledger) {
        self.bar.finish_and_clear();
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let told = |label: &str| self.told.get(label).copied().unwrap_or(0).to_string();
        let sum = |map: &BTreeMap<String, u64>| {
            map.iter().map(|(name, count)| format!("{count} ({name})")).collect::<Vec<_>>().join(", ")
        };
        let none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        for (what, how_many) in [
            ("pages or files", ledger.jobs.to_string()),
            ("finished", ledger.finished.to_string()),
            ("set aside for a person", ledger.set_aside.to_string()),
            ("handed out", ledger.claims.to_string()),
            ("crawlers killed", told("killed")),
            ("crawlers stopped", told("stopped")),
            ("connections cut", told("hung up")),
            ("jobs lost, by sign", none(sum(&ledger.lost))),
            ("jobs recovered, by rule", none(sum(&ledger.recovered))),
            ("late reports refused", ledger.stale.to_string()),
            ("repeated reports", told("repeated")),
        ] {
            table.add_row([what.to_owned(), how_many]);
        }
        self.line(&table.to_string());
        let left = ledger.left();
        self.check(ledger.holds(), "each page was crawled exactly once as far as the job table is concerned");
        self.check(left == 0, &format!("nothing was lost: {left} jobs are left over"));
    }

    fn check(&self, holds: bool, what: &str) {
        self.line(&format!("{} {what}", if holds { "✔" } else { "✘" }));
    }

    fn event(&mut self, label: &'static str, text: &str) {
        *self.told.entry(label).or_default() += 1;
        let (on, off) = match (self.colour, label) {
            (false, _) => ("", ""),
            (true, "killed" | "stopped" | "hung up") => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, "recovered") => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[33m", "\u{1b}[0m"),
        };
        self.line(&format!("{on}{label:<9}{off} {text}"));
    }

    fn line(&self, text: &str) {
        if self.live {
            self.bar.println(text);
        } else {
            // Whoever read this may have gone; the demo goes on.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
