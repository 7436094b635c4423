//! Recovery: when it runs, running it now, and what earlier runs did.

mod report;
mod runs;
mod undo;

pub(crate) use runs::page as run;
pub(crate) use undo::{carry_out as undo, preview as undo_preview};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use reclaimer_domain::id::RunId;
use reclaimer_domain::recovery::{RecoveryType, RunRecord};
use reclaimer_domain::time::spoken;
use reclaimer_recovery::RecoverError;
use std::time::Duration;

use crate::failure::Failure;
use crate::fields::{Form, Link, Query, segment};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{live, nothing, table};
use crate::view::untrusted::shown;
use crate::view::words::{moment, trigger_words};

/// Runs on one page.
const PART: u32 = 25;

/// Where a run's page is.
fn run_href(id: &RunId) -> String {
    format!("/recovery/runs/{}", segment(id.as_str()))
}

/// `GET /recovery`
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let before: Option<RunId> = fields.parsed("before")?;
    let from = Link::to("/live/recovery/runs").and("before", before.as_ref().map(RunId::as_str)).href();
    let body = html! {
        h1 { "Recovery" }
        (live("recovery-schedule", "run", "/live/recovery/schedule", &schedule(&app)))
        section aria-labelledby="now-title" {
            h2 #now-title { "Run it now" }
            (form(&viewer, None))
        }
        section aria-labelledby="runs-title" {
            h2 #runs-title { "Past runs" }
            (live("recovery-runs", "run", &from, &past(&app, before).await?))
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Recovery, "Recovery", &body))
}

/// `GET /live/recovery/schedule`
pub(crate) async fn schedule_part(State(app): State<App>) -> Markup {
    schedule(&app)
}

/// `GET /live/recovery/runs`
pub(crate) async fn runs_part(State(app): State<App>, Query(fields): Query) -> Result<Markup, Failure> {
    past(&app, fields.parsed("before")?).await
}

/// When it runs by itself.
fn schedule(app: &App) -> Markup {
    let (it, now) = (app.recovery.schedule(), app.clock.now());
    let every = |millis: u64| spoken(Duration::from_millis(millis));
    html! {
        p.lead #schedule {
            @if it.running { "A run is under way. " }
            @if it.enabled {
                "It looks at failed and stuck jobs by itself every " (every(it.interval_ms))
                ", and for expired leases every " (every(it.lease_check_ms)) "."
                @if let Some(next) = it.next_run_at { " The next look at everything is " (moment(next, now)) "." }
            } @else {
                "It does not run by itself: " code { "recovery.enabled" } " is off. Jobs wait until somebody runs it here."
            }
        }
        @if let Some(failure) = &it.last_failure {
            p.notice.bad { "A run could not do its work " (moment(failure.at, now)) ": " (shown(&failure.error, 400)) }
        }
    }
}

/// The buttons that run it. After a look, the type is settled.
fn form(viewer: &Viewer, settled: Option<RecoveryType>) -> Markup {
    let kinds = [
        (RecoveryType::Comprehensive, "Everything", "failed jobs and stuck ones"),
        (RecoveryType::Failed, "Failed jobs", "those that a rule of the policy calls recoverable"),
        (
            RecoveryType::Stuck,
            "Stuck jobs",
            "running jobs whose lease expired, that fell silent, or that ran too long",
        ),
    ];
    html! {
        form #recover method="post" action="/recovery" {
            (csrf(viewer))
            @match settled {
                Some(kind) => {
                    input type="hidden" name="type" value=(kind.as_str());
                    div.confirm {
                        button.primary type="submit" name="do" value="run" { "Run it for real" }
                        a href="/recovery" { "Do nothing" }
                    }
                }
                None => {
                    fieldset {
                        legend { "What to look at" }
                        @for (kind, name, meaning) in kinds {
                            label.check {
                                input type="radio" name="type" value=(kind.as_str()) checked[kind == RecoveryType::Comprehensive];
                                span { (name) span.soft { ": " (meaning) } }
                            }
                        }
                    }
                    div.confirm {
                        button.primary type="submit" name="do" value="look" { "Look first (dry run)" }
                        button type="submit" name="do" value="run" { "Run now" }
                    }
                    p.soft { "A look decides the same and changes nothing." }
                }
            }
        }
    }
}

/// `POST /recovery`: `type`, and `do`, which is `look` or `run`.
pub(crate) async fn start(
    State(app): State<App>,
    viewer: Viewer,
    Form(fields): Form,
) -> Result<Response, Failure> {
    let kind = fields.parsed("type")?.unwrap_or(RecoveryType::Comprehensive);
    let look = match fields.text("do") {
        Some("look") => true,
        Some("run") => false,
        _ => return Err(Failure::bad_request("`do`: `look` or `run`")),
    };
    let report = match app.recovery.recover(kind, look).await {
        Ok(report) => report,
        Err(RecoverError::Running(_)) => {
            let said =
                "A recovery run is under way already, so none was started. Try again in a few seconds.";
            app.sessions.leave_notice(&viewer.0, said.to_owned());
            return Ok(Redirect::to("/recovery").into_response());
        }
        Err(RecoverError::Store(error)) => return Err(error.into()),
        Err(other) => {
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", other.to_string()));
        }
    };
    if !look {
        app.sessions.leave_notice(&viewer.0, format!("{}.", report.message));
        return Ok(Redirect::to(&run_href(&report.result.run_id)).into_response());
    }
    let would = report.result.recovered_jobs + report.result.quarantined_jobs;
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href="/recovery" { "Recovery" } }
        h1 { "What a run would do" }
        p.lead #look {
            @if report.success { "Nothing has been done yet. This is what recovery of type " (kind.as_str()) " decides at this moment." }
            @else { (shown(&report.message, 600)) }
        }
        @if would > 0 { (form(&viewer, Some(kind))) }
        (report::section(&report, 0, &Link::to("/recovery"), app.clock.now()))
    };
    Ok(layout::page(&app, &viewer, Screen::Recovery, "What a run would do", &body).into_response())
}

/// Past runs, newest first.
async fn past(app: &App, before: Option<RunId>) -> Result<Markup, Failure> {
    let (page, now) = (app.recovery.runs(before.clone(), PART).await?, app.clock.now());
    let rows: Vec<Vec<Markup>> = page.items.iter().map(|run| row(run, now)).collect();
    Ok(html! {
        @if rows.is_empty() {
            (nothing("No run is on record yet."))
        } @else {
            (table("Past runs", &["When", "What", "Set off by", "What it did"], &rows))
        }
        nav.pager aria-label="Parts of the list" {
            @if before.is_some() { a href="/recovery" rel="first" { "Newest" } }
            @if let Some(next) = &page.next {
                a href=(Link::to("/recovery").with("before", next.as_str()).href()) rel="next" { "Older" }
            }
        }
    })
}

fn row(run: &RunRecord, now: chrono::DateTime<chrono::Utc>) -> Vec<Markup> {
    vec![
        html! { a href=(run_href(&run.run_id)) { (moment(run.started_at, now)) } },
        html! { (run.kind.as_str()) },
        html! { (trigger_words(run.trigger)) },
        match &run.report {
            Some(report) => shown(&report.message, 300),
            None => html! { span.soft { "It runs, or its server ended with it." } },
        },
    ]
}
