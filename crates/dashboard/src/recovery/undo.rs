//! Undoing a run: first what would be put back, then doing it.

use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::{Markup, html};
use reclaimer_domain::history::Actor;

use super::{run_href, runs};
use crate::failure::Failure;
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{job_link, table};
use crate::view::untrusted::shown;
use crate::view::words::{badge, count, number};

/// Jobs that are named.
const NAMED: usize = 200;

/// `GET /recovery/runs/{id}/undo`
pub(crate) async fn preview(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Markup, Failure> {
    let run = runs::find(&app, &id).await?;
    let undone = app.recovery.undo(run.run_id.clone(), true, Actor::Admin).await?.unwrap_or_default();
    let href = run_href(&run.run_id);
    let jobs = undone.undone.len() as u64;
    let body = html! {
        nav.crumbs aria-label="Where you are" {
            a href="/recovery" { "Recovery" } " / " a href=(href) { "Run" }
        }
        h1 { "Undo this run?" }
        p.lead #preview {
            @if jobs == 0 { "Nothing can be put back: every job of this run has moved on since." }
            @else { (count(jobs, "job", "jobs")) " would be as before the run. Nothing has been done yet." }
        }
        @if jobs > 0 {
            p { "A failed job then rests for an hour before recovery looks at it again; a running one has its lease back for a "
                "short while, in which its worker must be heard of." }
            form.confirm method="post" action={ (href) "/undo" } {
                (csrf(&viewer))
                button.primary type="submit" { "Put back " (count(jobs, "job", "jobs")) }
                a href=(href) { "Do nothing" }
            }
            h2 { "What would be put back" }
            (table("Jobs that would be put back", &["Job", "To"], &undone.undone.iter().take(NAMED).map(|(job, status)| vec![
                job_link(job), badge(*status),
            ]).collect::<Vec<_>>()))
            (more(undone.undone.len()))
        }
        @if !undone.left.is_empty() {
            h2 { "What would be left alone" }
            (table("Jobs that would be left alone", &["Job", "Why"], &undone.left.iter().take(NAMED).map(|(job, why)| vec![
                job_link(job), shown(&why.to_string(), 300),
            ]).collect::<Vec<_>>()))
            (more(undone.left.len()))
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Recovery, "Undo this run?", &body))
}

fn more(all: usize) -> Markup {
    html! { @if all > NAMED { p.soft { "… and " (number((all - NAMED) as u64)) " more." } } }
}

/// `POST /recovery/runs/{id}/undo`
pub(crate) async fn carry_out(
    State(app): State<App>,
    Viewer(session): Viewer,
    Path(id): Path<String>,
) -> Result<Redirect, Failure> {
    let run = runs::find(&app, &id).await?;
    let undone = app.recovery.undo(run.run_id.clone(), false, Actor::Admin).await?.unwrap_or_default();
    let mut said = format!("{} put back.", count(undone.undone.len() as u64, "job was", "jobs were"));
    if !undone.left.is_empty() {
        let left = count(undone.left.len() as u64, "has", "have");
        said.push_str(&format!(" {left} moved on since and stayed as they are."));
    }
    app.sessions.leave_notice(&session, said);
    Ok(Redirect::to(&run_href(&run.run_id)))
}
