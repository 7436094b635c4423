//! Trying a policy on what happened: what would have been different.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::ports::StoreError;
use reclaimer_domain::time::before;
use reclaimer_policy::Policy;
use reclaimer_policy::file::{self, Checked, InvalidPolicy};
use reclaimer_policy::replay::{Case, Difference, Fate, Forecast, Simulation};
use std::time::Duration;

use super::findings;
use crate::failure::Failure;
use crate::fields::Form;
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{job_link, nothing, table};
use crate::view::untrusted::shown;
use crate::view::words::{NAME, action_words, count, moment, number};

/// So many events are read at once.
const PART: u32 = 1_000;

/// At most so many events are read for one page: a few seconds.
const MOST_EVENTS: u64 = 200_000;

/// Differences that are shown.
const SHOWN: usize = 100;

/// How far back, in hours.
const SPANS: [(u64, &str); 4] =
    [(1, "the last hour"), (24, "the last day"), (168, "the last week"), (720, "the last 30 days")];

/// A policy to begin with.
const EXAMPLE: &str = "[[rule]]\nname = \"give-up-sooner\"\nmatch = { status = \"failed\", attempt_at_least = 3 }\naction = \"quarantine\"\n";

/// `GET /policy/simulate`
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Markup {
    show(&app, &viewer, EXAMPLE, SPANS[1].0, &html! {})
}

/// `POST /policy/simulate`: `policy`, and `hours`. It changes nothing.
pub(crate) async fn run(
    State(app): State<App>,
    viewer: Viewer,
    Form(fields): Form,
) -> Result<Markup, Failure> {
    let text = fields.text("policy").unwrap_or_default();
    let hours = fields.parsed::<u64>("hours")?.unwrap_or(SPANS[1].0);
    let longest = SPANS[SPANS.len() - 1].0;
    if !(1..=longest).contains(&hours) {
        return Err(Failure::bad_request(format!("`hours`: from 1 to {longest}")));
    }
    let result = match file::read(text, app.policy_defaults) {
        Err(InvalidPolicy { findings: wrong }) => html! {
            section.notice.bad #refused role="alert" aria-labelledby="refused-title" {
                h2 #refused-title { "This is no policy" }
                (findings(&wrong))
            }
        },
        Ok(Checked { policy, warnings }) => {
            let Ok(_one_at_a_time) = app.simulations.try_acquire() else {
                let detail =
                    "another policy is being tried at this moment; go back and try again in a few seconds";
                return Err(Failure::new(StatusCode::CONFLICT, "busy", detail));
            };
            let now = app.clock.now();
            let (forecast, all) =
                forecast(&app, &policy, before(now, Duration::from_secs(hours * 3_600))).await?;
            html! {
                @if !warnings.is_empty() {
                    section.notice aria-labelledby="doubts-title" {
                        h2 #doubts-title { "Probably not what was meant" }
                        (findings(&warnings))
                    }
                }
                (outcome(&forecast, all, policy.hash() == app.recovery.policy().hash(), now))
            }
        }
    };
    Ok(show(&app, &viewer, text, hours, &result))
}

/// Tries the policy on what happened since then; also whether everything was read.
async fn forecast(app: &App, policy: &Policy, since: DateTime<Utc>) -> Result<(Forecast, bool), StoreError> {
    let mut simulation = Simulation::new(policy);
    // Chance only delays jobs, which a simulation does not look at.
    let mut rng = StdRng::seed_from_u64(0);
    let (mut cursor, mut read) = (None, 0);
    loop {
        let page = app.past.replay(since, cursor, PART).await?;
        page.items.iter().for_each(|event| simulation.event(event, &mut rng));
        read += page.items.len() as u64;
        cursor = page.next;
        if cursor.is_none() || read >= MOST_EVENTS {
            return Ok((simulation.finish(), cursor.is_none()));
        }
    }
}

fn show(app: &App, viewer: &Viewer, text: &str, hours: u64, result: &Markup) -> Markup {
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href="/policy" { "Policy" } }
        h1 { "Try a policy" }
        p { "It decides about everything that failed or was lost in that time, from what was known then, beside what was really "
            "decided and how that ended. Nothing is changed." }
        form #simulate method="post" action="/policy/simulate" {
            (csrf(viewer))
            label for="policy" { "Policy, as in a policy file (TOML)" }
            textarea #policy name="policy" rows="14" spellcheck="false" required { (text) }
            div.confirm {
                label for="hours" { "On what happened within" }
                select #hours name="hours" { @for (span, name) in SPANS {
                    option value=(span) selected[span == hours] { (name) }
                } }
                button.primary type="submit" { "Try it" }
            }
        }
        (result)
    };
    layout::page(app, viewer, Screen::Policy, "Try a policy", &body)
}

fn outcome(it: &Forecast, all: bool, in_force: bool, now: DateTime<Utc>) -> Markup {
    let Some((from, to)) = it.from.zip(it.to) else { return nothing("Nothing is on record in that time.") };
    let rows: Vec<Vec<Markup>> = it
        .rules
        .iter()
        .map(|rule| {
            let name = match &rule.rule {
                Some(name) => html! { code { (shown(name, NAME)) } },
                None => html! { "no rule" },
            };
            let numbers = [
                rule.requeued,
                rule.quarantined,
                rule.skipped,
                rule.left,
                rule.really_requeued,
                rule.then_finished,
                rule.then_failed,
            ];
            std::iter::once(name).chain(numbers.map(|jobs| html! { (number(jobs)) })).collect()
        })
        .collect();
    let head = [
        "Rule",
        "Queue again",
        "Set aside",
        "Wait",
        "Leave",
        "Really queued again",
        "Then finished",
        "Failed again",
    ];
    html! {
        section #outcome aria-labelledby="outcome-title" {
            h2 #outcome-title { "What would have been different" }
            p.lead #differing {
                (count(it.differing, "decision", "decisions")) " of " (number(it.cases)) " would have come out differently."
                @if in_force { " This is the policy in force." }
            }
            p.soft {
                "Read " (count(it.events, "event", "events")) " from " (moment(from, now)) " to " (moment(to, now)) ". "
                @if it.undecided > 0 { (count(it.undecided, "failure was", "failures were")) " never decided about. " }
                @if !all { "There are more; only the oldest " (number(it.events)) " of that time were read: choose a shorter time." }
            }
            @if it.cases > 0 { (table("By the rule of this policy that decides", &head, &rows)) }
            @if !it.differences.is_empty() {
                h3 { "Which" }
                (table("Decisions that would have come out differently", &["Job", "When", "Really", "Instead", "Why", "The job then"],
                    &it.differences.iter().take(SHOWN).map(|it| row(it, now)).collect::<Vec<_>>()))
                @if it.differing > SHOWN as u64 {
                    p.soft { "… and " (number(it.differing - SHOWN as u64)) " more." }
                }
            }
        }
    }
}

fn row(it: &Difference, now: DateTime<Utc>) -> Vec<Markup> {
    let decided = |case: &Case| {
        html! {
            (action_words(case.action.as_str()))
            @if let Some(rule) = &case.rule { ", by " code { (shown(rule, NAME)) } }
        }
    };
    let then = match it.then {
        Fate::Finished => "finished",
        Fate::FailedAgain => "failed again",
        Fate::TakenUp => "was taken up by somebody",
        Fate::Open => "is open",
    };
    vec![
        job_link(&it.job_id),
        moment(it.at, now),
        decided(&it.really),
        decided(&it.instead),
        shown(&it.instead.reason, 300),
        html! { (then) },
    ]
}
