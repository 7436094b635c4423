//! The first page: is all well, and if not, where to look.

use axum::extract::{Path, State};
use maud::{Markup, html};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::QueueState;

use crate::failure::Failure;
use crate::fields::Link;
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{live, nothing};
use crate::view::untrusted::{plain, shown};
use crate::view::words::{NAME, count, moment, number, sign, status_words};

/// `GET /`
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Result<Markup, Failure> {
    let queues = app.jobs.queues().await?;
    let body = html! {
        h1 { "Overview" }
        (live("overview-health", "breaker worker run stats", "/live/overview/health", &health(&app, &queues)))
        section aria-labelledby="states-title" {
            h2 #states-title { "Jobs" }
            (live("overview-states", "job stats", "/live/overview/states", &states(&queues)))
        }
        section aria-labelledby="queues-title" {
            h2 #queues-title { "Queues" }
            (live("overview-queues", "job stats", "/live/overview/queues", &queue_table(&viewer, &queues)))
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Overview, "Overview", &body))
}

/// `GET /live/overview/{part}`
pub(crate) async fn part(
    State(app): State<App>,
    viewer: Viewer,
    Path(part): Path<String>,
) -> Result<Markup, Failure> {
    let queues = app.jobs.queues().await?;
    match part.as_str() {
        "health" => Ok(health(&app, &queues)),
        "states" => Ok(states(&queues)),
        "queues" => Ok(queue_table(&viewer, &queues)),
        _ => Err(Failure::not_found("the overview has no such part")),
    }
}

fn of(queues: &[QueueState], status: Status) -> u64 {
    let counts = queues.iter().flat_map(|queue| &queue.jobs);
    counts.filter(|(found, _)| *found == status).map(|(_, count)| count).sum()
}

/// What a person should look at, in sentences.
fn health(app: &App, queues: &[QueueState]) -> Markup {
    let (fleet, schedule, now) = (app.fleet.view(), app.recovery.schedule(), app.clock.now());
    let quarantined = of(queues, Status::Quarantined);
    let paused: Vec<&QueueState> = queues.iter().filter(|queue| queue.paused).collect();
    let calm = fleet.problems.is_empty()
        && schedule.last_failure.is_none()
        && schedule.enabled
        && quarantined == 0
        && paused.is_empty();
    html! {
        div.health id="health" {
            @if calm {
                p.well { (sign(Status::Finished)) "All is well: nothing waits for a person." }
            } @else {
                ul.plain {
                    @for problem in &fleet.problems { li.problem { (shown(problem, 400)) } }
                    @if let Some(failure) = &schedule.last_failure {
                        li.problem { "A recovery run failed " (moment(failure.at, now)) ": " (shown(&failure.error, 300)) }
                    }
                    @if !schedule.enabled { li.problem { "Recovery does not run by itself: `recovery.enabled` is off." } }
                    @if quarantined > 0 {
                        li.problem { a href="/jobs?status=quarantined" {
                            (count(quarantined, "job waits", "jobs wait")) " for a person" } }
                    }
                    @for queue in &paused { li.problem { "Queue " (shown(queue.name.as_str(), NAME)) " is paused." } }
                }
            }
        }
    }
}

fn states(queues: &[QueueState]) -> Markup {
    html! {
        ul.tiles { @for status in Status::ALL {
            li class={ "is-" (status.as_str()) } {
                a href=(Link::to("/jobs").with("status", status.as_str()).href()) title=(status_words(status).1) {
                    span.name { (sign(status)) (status_words(status).0) }
                    " " span.value { (number(of(queues, status))) }
                }
            }
        } }
    }
}

fn queue_table(viewer: &Viewer, queues: &[QueueState]) -> Markup {
    let of = |queue: &QueueState, status: Status| {
        queue.jobs.iter().find(|(found, _)| *found == status).map_or(0, |(_, count)| *count)
    };
    let shown_states = [Status::Queued, Status::Running, Status::Failed, Status::Quarantined];
    html! {
        @if queues.is_empty() {
            (nothing("There are no jobs yet. Create one with POST /api/jobs, or run `reclaimer demo`."))
        } @else {
            div.scroll role="region" aria-label="Queues" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Queue" }
                        @for status in shown_states { th.num scope="col" { (status_words(status).0) } }
                        th scope="col" { span.unseen { "What you can do" } }
                    } }
                    tbody { @for queue in queues { tr {
                        th scope="row" {
                            a href=(Link::to("/jobs").with("queue", queue.name.as_str()).href()) {
                                (shown(queue.name.as_str(), NAME)) }
                            @if queue.paused { " " span.badge.is-paused { (sign(Status::Paused)) "Paused" } }
                        }
                        @for status in shown_states { td.num { (number(of(queue, status))) } }
                        td.do {
                            form method="post" action="/queues" {
                                (csrf(viewer))
                                input type="hidden" name="queue" value=(queue.name);
                                @let (word, label) = if queue.paused { ("resume", "Resume") } else { ("pause", "Pause") };
                                button.quiet type="submit" name="action" value=(word) aria-label={ (label) " queue " (plain(queue.name.as_str(), NAME)) } { (label) }
                            }
                        }
                    } } }
                }
            }
        }
    }
}
