//! One past run with its decisions.

use axum::extract::{Path, State};
use maud::{Markup, html};
use reclaimer_domain::id::RunId;
use reclaimer_domain::recovery::RunRecord;
use reclaimer_domain::time::spoken;
use std::time::Duration;

use super::{report, run_href};
use crate::failure::Failure;
use crate::fields::{Link, Query};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen};
use crate::view::parts::nothing;
use crate::view::untrusted::shown;
use crate::view::words::{NAME, moment, trigger_words};

/// The run that an address names.
pub(super) async fn find(app: &App, id: &str) -> Result<RunRecord, Failure> {
    let unknown = || Failure::not_found("there is no such recovery run; old ones are removed");
    let id: RunId = id.parse().map_err(|_| unknown())?;
    app.recovery.run(&id).await?.ok_or_else(unknown)
}

/// `GET /recovery/runs/{id}`
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let (run, now) = (find(&app, &id).await?, app.clock.now());
    let from: usize = fields.parsed("from")?.unwrap_or(0);
    let href = run_href(&run.run_id);
    let changed = run.report.as_ref().is_some_and(|report| !report.result.changed().is_empty());
    let title = format!("Recovery run {}", run.run_id);
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href="/recovery" { "Recovery" } }
        h1 { "Recovery run" }
        p.lead { @match &run.report {
            Some(report) => { (shown(&report.message, 600)) "." }
            None => "It is still running, or its server ended before it did.",
        } }
        p.soft {
            "Began " (moment(run.started_at, now)) ", set off by " (trigger_words(run.trigger)) ", looked at "
            (run.kind.as_str()) " jobs"
            @if let Some(report) = &run.report {
                ", took " (spoken(Duration::from_millis(report.result.duration_ms)))
                @if let Some(policy) = &report.result.policy_hash { ", by policy " code { (policy) } }
            }
            ". Run " span.id { (shown(run.run_id.as_str(), NAME)) } "."
        }
        @if changed {
            p { a.button #undo href={ (href) "/undo" } { "Undo this run…" } }
        }
        @match &run.report {
            Some(report) => (report::section(report, from, &Link::to(href), now)),
            None => (nothing("There is no report.")),
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Recovery, &title, &body))
}
