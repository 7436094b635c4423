//! One job: where it stands and why, what would happen next, and everything that happened to it.

mod act;
mod details;
mod late;
mod reasoning;
mod text;
mod timeline;

pub(crate) use act::act;
pub(crate) use text::text;

use axum::extract::{Path, State};
use maud::{Markup, html};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::{BrokenRow, JobRead, Refused};
use reclaimer_policy::Explanation;
use reclaimer_recovery::Explained;

use crate::failure::Failure;
use crate::fields::Query;
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{job_href, live, nothing};
use crate::view::untrusted::{linked, shown};
use crate::view::words::{NAME, badge, moment, told};

/// A job's name, as its address says it.
fn id_of(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(|error| Failure::not_found(format!("there is no such job: {error}")))
}

async fn read(app: &App, id: &JobId) -> Result<JobRead, Failure> {
    Ok(app.jobs.job(id).await?.ok_or_else(|| Refused::NoSuchJob(id.clone()))?)
}

async fn explained(app: &App, id: &JobId) -> Result<Option<Box<Explanation>>, Failure> {
    Ok(match app.recovery.explain(id).await? {
        Some(Explained::Whole(explanation)) => Some(explanation),
        Some(Explained::Broken(_)) | None => None,
    })
}

/// `GET /jobs/{id}`
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let id = id_of(&id)?;
    let job = match read(&app, &id).await? {
        JobRead::Whole(job) => job,
        JobRead::Broken(row) => return Ok(broken(&app, &viewer, &row)),
    };
    let explanation = explained(&app, &id).await?;
    let after: Option<i64> = fields.parsed("after")?;
    let part = |name: &str| format!("/live{}/{name}", job_href(id.as_str()));
    let whole_path = format!("{}/text/path", job_href(id.as_str()));
    let title = format!("{} {id}", job.command);
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href="/jobs" { "Jobs" } }
        header.job {
            h1 { (shown(job.command.as_str(), NAME)) }
            @if let Some(path) = &job.full_path { p.path { (linked(path, 300, &whole_path)) } }
            p.id { (shown(id.as_str(), NAME)) }
        }
        div.split {
            div {
                (live("job-state", &watch(&id), &part("state"), &state(&app, &viewer, &job, explanation.as_deref())))
                (late::section(&app, &viewer, &job).await?)
                section aria-labelledby="timeline-title" {
                    h2 #timeline-title { "What happened" }
                    (live("job-timeline", &watch(&id), &timeline::part_href(&id, after),
                        &timeline::part(&app, &id, after).await?))
                }
            }
            aside {
                (live("job-details", &watch(&id), &part("details"), &details::part(&app, &job)))
            }
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Jobs, &title, &body))
}

/// The event that a part about one job waits for: one of this job.
fn watch(id: &JobId) -> String {
    format!("job:{id}")
}

/// `GET /live/jobs/{id}/{part}`
pub(crate) async fn part(
    State(app): State<App>,
    viewer: Viewer,
    Path((id, part)): Path<(String, String)>,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let id = id_of(&id)?;
    if part == "timeline" {
        return timeline::part(&app, &id, fields.parsed("after")?).await;
    }
    let JobRead::Whole(job) = read(&app, &id).await? else {
        return Ok(nothing("This row cannot be read."));
    };
    match part.as_str() {
        "state" => {
            let explanation = explained(&app, &id).await?;
            Ok(state(&app, &viewer, &job, explanation.as_deref()))
        }
        "details" => Ok(details::part(&app, &job)),
        _ => Err(Failure::not_found("a job has no such part")),
    }
}

/// Where the job stands, why, what a person can do, and what would happen next.
fn state(app: &App, viewer: &Viewer, job: &Job, explanation: Option<&Explanation>) -> Markup {
    let now = app.clock.now();
    html! {
        section.state aria-labelledby="state-title" {
            h2 #state-title .unseen { "Where it stands" }
            p { (badge(job.status)) span.soft { " last sign " (moment(job.updated_at, now)) } }
            @if let Some(it) = explanation { p.lead #why { (told(&sentence(&it.summary), 1_000, now)) } }
        }
        (act::forms(viewer, job))
        @if let Some(it) = explanation { (reasoning::section(it, now)) }
    }
}

/// A sentence from words that begin in the middle of one.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let Some(first) = letters.next() else { return String::new() };
    format!("{}{}.", first.to_uppercase(), letters.as_str())
}

fn broken(app: &App, viewer: &Viewer, row: &BrokenRow) -> Markup {
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href="/jobs" { "Jobs" } }
        h1 { "Job " (shown(&row.id, NAME)) }
        p.lead { "This row cannot be read: " (shown(&row.reason, 1_000)) }
        p { "Its status is stored as " code { (shown(&row.status, NAME)) }
            ". Recovery sets it aside with its next run; what cannot be read stays in its history. Cancelling it gives it up "
            "at once." }
        form method="post" action=(job_href(&row.id)) {
            (csrf(viewer))
            button.danger type="submit" name="action" value="cancel" { "Cancel the job" }
        }
    };
    layout::page(app, viewer, Screen::Jobs, "A row that cannot be read", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_begins_large_and_ends() {
        assert_eq!(sentence("it runs: é"), "It runs: é.");
        assert_eq!(sentence(""), "");
    }
}
