//! What a recovery run decided, or would.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_domain::recovery::{DecisionReport, RunReport};

use crate::fields::Link;
use crate::view::parts::{job_link, nothing, table};
use crate::view::untrusted::shown;
use crate::view::words::{NAME, action_words, count, moment, number, told};

/// Decisions on one page.
pub(super) const PART: usize = 100;

/// Errors that are shown; the API has all.
const MOST_ERRORS: usize = 50;

/// A report: its numbers, what was decided alike, and the decisions from a place on. `here` is where the rest is.
pub(super) fn section(report: &RunReport, from: usize, here: &Link, now: DateTime<Utc>) -> Markup {
    let result = &report.result;
    let would = if result.dry_run { "would be " } else { "" };
    let numbers = [
        (result.recovered_jobs, "queued again"),
        (result.quarantined_jobs, "set aside for a person"),
        (result.skipped_jobs, "looked at and left"),
        (result.failed_recoveries, "not possible"),
    ];
    let alike = result.counts();
    let part: Vec<&DecisionReport> = result.decisions.iter().skip(from).take(PART).collect();
    let next = from.saturating_add(PART);
    html! {
        ul.tiles.numbers aria-label="Numbers" { @for (jobs, what) in numbers {
            li { span.value { (number(jobs.into())) } " " span.name { (would) (what) } }
        } }
        @if !result.errors.is_empty() {
            h2 { "What went wrong" }
            ul { @for error in result.errors.iter().take(MOST_ERRORS) { li { (shown(error, 400)) } } }
            @if result.errors.len() > MOST_ERRORS {
                p.soft { "… and " (number((result.errors.len() - MOST_ERRORS) as u64)) " more." }
            }
        }
        @if result.decisions.is_empty() {
            (nothing("There was nothing to decide: no job had failed, and none was stuck."))
        } @else {
            h2 { "In short" }
            (table("Decisions in short", &["Jobs", "Decision", "Rule", "Why"], &alike.iter().map(|it| vec![
                html! { (number(it.jobs.into())) },
                html! { (action_words(&it.action)) },
                rule(it.rule.as_deref()),
                told(&it.reason, 300, now),
            ]).collect::<Vec<_>>()))
            h2 { "Job by job" }
            (table("Decisions", &["Job", "Decision", "Rule", "Why", "Then"], &part.iter().map(|it| vec![
                job_link(&it.job_id),
                html! { (action_words(&it.action)) },
                rule(it.rule.as_deref()),
                told(&it.reason, 300, now),
                then(it, now),
            ]).collect::<Vec<_>>()))
            nav.pager aria-label="Parts of the decisions" {
                @if from > 0 { a href=(here.href()) rel="first" { "From the beginning" } }
                @if next < result.decisions.len() {
                    @if result.dry_run {
                        span.soft { "… and " (count((result.decisions.len() - next) as u64, "job", "jobs")) " more." }
                    } @else {
                        a href=(here.clone().with("from", &next.to_string()).href()) rel="next" { "More" }
                    }
                }
            }
        }
        @if result.more {
            p.soft { "It stopped at its limit with work left, which the next run takes up." }
        }
    }
}

fn rule(rule: Option<&str>) -> Markup {
    html! { @match rule { Some(rule) => code { (shown(rule, NAME)) }, None => "no rule" } }
}

/// What follows from a decision.
fn then(it: &DecisionReport, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(at) = it.run_at { "may run " (moment(at, now)) }
        @if let Some(queue) = &it.queue { ", in queue " (shown(queue.as_str(), NAME)) }
        @if let Some(priority) = it.priority { ", with priority " (priority.get()) }
        @if let Some(at) = it.look_again_at { "looked at again " (moment(at, now)) }
    }
}
