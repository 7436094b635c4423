//! The list of jobs.

mod bulk;
mod filter;

pub(crate) use bulk::{carry_out, preview};

use axum::extract::State;
use maud::{Markup, html};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::ports::{JobRead, Page, QueueState};

use crate::actions::Action;
use crate::failure::Failure;
use crate::fields::{Link, Query};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen};
use crate::view::parts::{job_href, live, nothing};
use crate::view::untrusted::{plain, shown};
use crate::view::words::{NAME, badge, moment, number, sign, status_words};
use filter::Filter;

/// Jobs on one page.
const PART: u32 = 50;

/// `GET /jobs`
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let filter = Filter::read(&fields)?;
    let cursor: Option<JobId> = fields.parsed("before")?;
    let queues = app.jobs.queues().await?;
    let found = app.jobs.jobs(filter.0.clone(), cursor.clone(), PART).await?;
    let from = filter.link("/live/jobs").and("before", cursor.as_ref().map(JobId::as_str)).href();
    let body = html! {
        h1 { "Jobs" }
        (tabs(&filter, &queues))
        (filter_form(&filter))
        form #selected method="get" action="/jobs/bulk" { (filter.hidden()) }
        (live("jobs-list", "job", &from, &list(&app, &filter, cursor.as_ref(), &found)))
        (bulk_bar(&filter, found.items.is_empty()))
    };
    Ok(layout::page(&app, &viewer, Screen::Jobs, "Jobs", &body))
}

/// `GET /live/jobs`
pub(crate) async fn part(State(app): State<App>, Query(fields): Query) -> Result<Markup, Failure> {
    let filter = Filter::read(&fields)?;
    let cursor: Option<JobId> = fields.parsed("before")?;
    let found = app.jobs.jobs(filter.0.clone(), cursor.clone(), PART).await?;
    Ok(list(&app, &filter, cursor.as_ref(), &found))
}

/// The states as tabs, each with its number of jobs, where the store keeps that number.
fn tabs(filter: &Filter, queues: &[QueueState]) -> Markup {
    let counted =
        queues.iter().filter(|queue| filter.0.queue.as_ref().is_none_or(|name| *name == queue.name));
    let counts: Vec<(Status, u64)> = counted.flat_map(|queue| queue.jobs.iter().copied()).collect();
    let of = |status: Option<Status>| -> u64 {
        let its = counts.iter().filter(|(found, _)| status.is_none_or(|status| status == *found));
        its.map(|(_, count)| count).sum()
    };
    // What else is asked for is not counted by the store: a number of all would be taken for one of these.
    let is_counted = filter.only_queue_and_status();
    let count = |status: Option<Status>| html! { @if is_counted { span.count { (number(of(status))) } } };
    let current = |status: Option<Status>| {
        (filter.0.status == status.into_iter().collect::<Vec<_>>()).then_some("page")
    };
    html! {
        nav.tabs aria-label="States" {
            ul {
                li { a href=(filter.with_status(None).link("/jobs").href()) aria-current=[current(None)] {
                    "Any state " (count(None))
                } }
                @for status in Status::ALL {
                    li { a href=(filter.with_status(Some(status)).link("/jobs").href())
                        aria-current=[current(Some(status))] class={ "is-" (status.as_str()) } {
                        (sign(status)) (status_words(status).0) " " (count(Some(status)))
                    } }
                }
            }
        }
    }
}

fn filter_form(filter: &Filter) -> Markup {
    html! {
        form.filter method="get" action="/jobs" role="search" aria-label="Filter" {
            @for status in &filter.0.status { input type="hidden" name="status" value=(status.as_str()); }
            @for (name, label, value) in filter.texts() {
                div {
                    label for={ "filter-" (name) } { (label) }
                    input id={ "filter-" (name) } name=(name) value=(value.unwrap_or_default()) maxlength="2000"
                        autocomplete="off" spellcheck="false"
                        placeholder=[(name == "text").then_some("id, path, error")];
                }
            }
            div.buttons {
                button type="submit" { "Filter" }
                @if !filter.is_empty() { a href="/jobs" { "Clear" } }
            }
        }
    }
}

fn list(app: &App, filter: &Filter, cursor: Option<&JobId>, found: &Page<JobRead, JobId>) -> Markup {
    let now = app.clock.now();
    html! {
        @if found.items.is_empty() {
            (nothing(if found.next.is_some() {
                "None so far: only a part of the jobs was looked at. “Older” looks further."
            } else if filter.is_empty() && cursor.is_none() {
                "There are no jobs yet. Create one with POST /api/jobs, or run `reclaimer demo`."
            } else if cursor.is_some() {
                "No older job is like this."
            } else {
                "No job is like this."
            }))
        } @else {
            table.jobs {
                caption.unseen { "Jobs, newest first" }
                thead { tr {
                    th.pick scope="col" { span.unseen { "Select" } }
                    th scope="col" { "Job" }
                    th scope="col" { "State" }
                    th.wide scope="col" { "Queue" }
                    th.wide.num scope="col" { "Attempts" }
                    th.wide scope="col" { "Last sign" }
                } }
                tbody { @for read in &found.items { @match read {
                    JobRead::Whole(job) => (row(job, now)),
                    JobRead::Broken(broken) => tr {
                        td.pick {}
                        td colspan="5" {
                            a.id href=(job_href(&broken.id)) { (shown(&broken.id, NAME)) }
                            p.sub { "This row cannot be read, and recovery will set it aside: " (shown(&broken.reason, 200)) }
                        }
                    },
                } } }
            }
        }
        nav.pager aria-label="Parts of the list" {
            @if cursor.is_some() { a href=(filter.link("/jobs").href()) rel="first" { "Newest" } }
            @if let Some(next) = &found.next {
                a href=(filter.link("/jobs").with("before", next.as_str()).href()) rel="next" { "Older" }
            }
        }
    }
}

fn row(job: &Job, now: chrono::DateTime<chrono::Utc>) -> Markup {
    let id = job.id.as_str();
    html! {
        tr {
            td.pick {
                input type="checkbox" form="selected" name="id" value=(id) aria-label={ "Select job " (plain(id, NAME)) };
            }
            td {
                a.name href=(job_href(id)) { (shown(job.command.as_str(), NAME)) }
                @if let Some(path) = &job.full_path { p.sub { (shown(path, 120)) } }
                p.sub.id { (shown(id, NAME)) }
                @if let Some(error) = job.error() { p.sub.error { (shown(error, 160)) } }
            }
            td { (badge(job.status)) }
            td.wide { (shown(job.queue.as_str(), 40)) }
            td.wide.num { (job.attempt) " / " (job.max_attempts) }
            td.wide { (moment(job.updated_at, now)) }
        }
    }
}

/// What can be done with the jobs that are ticked, or with all of the filter. Each button leads to a preview.
fn bulk_bar(filter: &Filter, none: bool) -> Markup {
    let link =
        |action: Action| filter.link("/jobs/bulk").with("all", "yes").with("action", action.word()).href();
    let possible = |action: &Action| {
        filter.0.status.is_empty() || filter.0.status.iter().any(|status| action.is_possible(*status))
    };
    html! {
        @if !none {
            section.bulk aria-labelledby="bulk-title" {
                h2 #bulk-title .unseen { "Many jobs at once" }
                p {
                    span { "With the ticked jobs: " }
                    @for action in Action::ALL.iter().filter(|it| possible(it)) {
                        button type="submit" form="selected" name="action" value=(action.word()) { (action.label()) "…" } " "
                    }
                }
                p {
                    span { "With all jobs of this filter: " }
                    @for action in Action::ALL.into_iter().filter(possible) {
                        a.button href=(link(action)) { (action.label()) " all…" } " "
                    }
                }
                p.soft { "You see what would be done before anything is." }
            }
        }
    }
}

impl Filter {
    /// This filter in a link.
    pub(crate) fn link(&self, path: &str) -> Link {
        let link =
            self.0.status.iter().fold(Link::to(path), |link, status| link.with("status", status.as_str()));
        self.texts().into_iter().fold(link, |link, (name, _, value)| link.and(name, value))
    }
}
