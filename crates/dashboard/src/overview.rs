//! The first page: is all well, and if not, where to look.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::QueueState;
use reclaimer_health::{Indicator, Status as Health};

use crate::failure::Failure;
use crate::fields::Link;
use crate::guard::Viewer;
use crate::history::Minute;
use crate::state::App;
use crate::view::chart::{Chart, Series, bars};
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{live, nothing};
use crate::view::untrusted::{plain, shown};
use crate::view::words::{NAME, count, moment, number, sign, status_words, told};
use crate::workers::{breaker_words, link_badge};

/// Links that are shown; the page of workers has all.
const MOST_LINKS: usize = 12;

/// `GET /`
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Result<Markup, Failure> {
    let queues = app.jobs.queues().await?;
    let body = html! {
        h1 { "Overview" }
        (live("overview-health", "breaker worker run stats", "/live/overview/health", &health(&app, &queues).await))
        section aria-labelledby="states-title" {
            h2 #states-title { "Jobs" }
            (live("overview-states", "job stats", "/live/overview/states", &states(&queues)))
        }
        section aria-labelledby="charts-title" {
            h2 #charts-title { "The last hour" }
            (live("overview-charts", "job stats", "/live/overview/charts", &charts(&app)))
        }
        section aria-labelledby="queues-title" {
            h2 #queues-title { "Queues" }
            (live("overview-queues", "job stats", "/live/overview/queues", &queue_table(&viewer, &queues, app.clock.now())))
        }
        section aria-labelledby="fleet-title" {
            h2 #fleet-title { "Links and workers" }
            (live("overview-fleet", "breaker worker", "/live/overview/fleet", &fleet(&app)))
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
    match part.as_str() {
        "health" => Ok(health(&app, &app.jobs.queues().await?).await),
        "states" => Ok(states(&app.jobs.queues().await?)),
        "charts" => Ok(charts(&app)),
        "queues" => Ok(queue_table(&viewer, &app.jobs.queues().await?, app.clock.now())),
        "fleet" => Ok(fleet(&app)),
        _ => Err(Failure::not_found("the overview has no such part")),
    }
}

/// What went through, and what recovery did.
fn charts(app: &App) -> Markup {
    let hour = app.history.last_hour(app.clock.now());
    let minutes: Vec<_> = hour.iter().map(Minute::begins).collect();
    let series =
        |state, name, of: fn(&Minute) -> u64| Series { state, name, values: hour.iter().map(of).collect() };
    let since = app.history.since();
    let throughput = Chart {
        id: "chart-throughput",
        title: "Throughput",
        minutes: &minutes,
        series: [
            series(Status::Finished, "finished", |it| it.finished),
            series(Status::Failed, "failed", |it| it.failed),
        ],
        since,
    };
    let recovery = Chart {
        id: "chart-recovery",
        title: "Recovery",
        minutes: &minutes,
        series: [
            series(Status::Running, "queued again", |it| it.recovered),
            series(Status::Quarantined, "set aside", |it| it.quarantined),
        ],
        since,
    };
    html! { div.charts { (bars(&throughput)) (bars(&recovery)) } }
}

/// Links and processes in short.
fn fleet(app: &App) -> Markup {
    let view = app.fleet.view();
    let held: usize = view.workers.iter().map(|worker| worker.leases).sum();
    let given_up = view.processes.iter().filter(|process| process.given_up).count();
    html! {
        @if view.links.is_empty() && view.processes.is_empty() {
            (nothing("No link and no process is configured; workers call over HTTP."))
        } @else {
            ul.plain.cards { @for link in view.links.iter().take(MOST_LINKS) { li.card {
                strong { (shown(&link.name, NAME)) } " " (link_badge(link))
                @if let Some(breaker) = &link.breaker { p.sub { "Breaker " (breaker_words(breaker.state)) "." } }
            } } }
            p {
                (count(view.workers.len() as u64, "worker is", "workers are")) " connected and "
                (if view.workers.len() == 1 { "holds " } else { "hold " }) (count(held as u64, "job", "jobs")) ". "
                (count(view.processes.len() as u64, "process is", "processes are")) " supervised"
                @if given_up > 0 { ", " (number(given_up as u64)) " of them given up" }
                ". " a href="/workers" { "To the workers" }
            }
        }
    }
}

fn of(queues: &[QueueState], status: Status) -> u64 {
    let counts = queues.iter().flat_map(|queue| &queue.jobs);
    counts.filter(|(found, _)| *found == status).map(|(_, count)| count).sum()
}

/// What a person should look at, in sentences, and beneath it what was looked at.
async fn health(app: &App, queues: &[QueueState]) -> Markup {
    let (health, now) = (app.health.health().await, app.clock.now());
    let unwell: Vec<&Indicator> = health.indicators.iter().filter(|it| it.status != Health::Ok).collect();
    let enabled = app.recovery.schedule().enabled;
    let quarantined = of(queues, Status::Quarantined);
    let paused: Vec<&QueueState> = queues.iter().filter(|queue| queue.paused).collect();
    let calm = unwell.is_empty() && enabled && quarantined == 0 && paused.is_empty();
    html! {
        div.health id="health" data-status=(health.status.as_str()) {
            @if calm {
                p.well { (sign(Status::Finished)) "All is well: nothing waits for a person." }
            } @else {
                ul.plain {
                    @for it in unwell {
                        li.problem data-kind=(it.figures.kind()) { span { (told(&capital(&it.what), 400, now)) "."
                            @if let Some(since) = it.since { " " span.soft { "Since " (moment(since, now)) "." } } } }
                    }
                    @if !enabled { li.problem { "Recovery does not run by itself: `recovery.enabled` is off." } }
                    @if quarantined > 0 {
                        li.problem { a href="/jobs?status=quarantined" {
                            (count(quarantined, "job waits", "jobs wait")) " for a person" } }
                    }
                    @for queue in &paused { li.problem { span { "Queue " (shown(queue.name.as_str(), NAME)) " is paused." } } }
                }
            }
            (strip(&health.indicators))
        }
    }
}

/// Each kind of thing that is looked at, as a word with a sign.
fn strip(indicators: &[Indicator]) -> Markup {
    let kinds = [
        ("database", "Database", "Databases"),
        ("recovery", "Recovery", "Recovery"),
        ("queues", "All queues", "All queues"),
        ("queue", "queue", "queues"),
        ("link", "link", "links"),
        ("worker", "worker", "workers"),
        ("process", "process", "processes"),
        ("loop", "inner loop", "inner loops"),
    ];
    html! {
        ul.strip aria-label="What is looked at" { @for (kind, one, many) in kinds {
            @let its: Vec<&Indicator> = indicators.iter().filter(|it| it.figures.kind() == kind).collect();
            @if let Some(worst) = its.iter().map(|it| it.status).max() {
                @let unwell = its.iter().filter(|it| it.status != Health::Ok).count();
                li class=(if worst == Health::Ok { "is-finished" } else { "is-failed" }) data-kind=(kind) {
                    (sign(if worst == Health::Ok { Status::Finished } else { Status::Failed }))
                    span {
                        @if one.starts_with(char::is_uppercase) { (one) } @else { (count(its.len() as u64, one, many)) }
                        @if worst == Health::Ok { ": well" } @else if its.len() == 1 { ": not well" }
                        @else { ": " (number(unwell as u64)) " not well" }
                    }
                }
            }
        } }
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| format!("{}{}", first.to_uppercase(), letters.as_str())).unwrap_or_default()
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

fn queue_table(viewer: &Viewer, queues: &[QueueState], now: DateTime<Utc>) -> Markup {
    let of = |queue: &QueueState, status: Status| {
        queue.jobs.iter().find(|(found, _)| *found == status).map_or(0, |(_, count)| *count)
    };
    let shown_states = [Status::Queued, Status::Running, Status::Failed, Status::Quarantined];
    html! {
        @if queues.is_empty() {
            (nothing("There are no jobs yet. Create one with POST /api/jobs, or run `reclaimer demo`."))
        } @else {
            div.scroll role="group" aria-label="Queues" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Queue" }
                        @for status in shown_states { th.num scope="col" { (status_words(status).0) } }
                        th.wide scope="col" { "Waiting since" }
                        th scope="col" { span.unseen { "What you can do" } }
                    } }
                    tbody { @for queue in queues { tr {
                        th scope="row" {
                            a href=(Link::to("/jobs").with("queue", queue.name.as_str()).href()) {
                                (shown(queue.name.as_str(), NAME)) }
                            @if queue.paused { " " span.badge.is-paused { (sign(Status::Paused)) "Paused" } }
                        }
                        @for status in shown_states { td.num { (number(of(queue, status))) } }
                        td.wide { @match queue.oldest_queued.filter(|at| *at <= now) {
                            Some(at) => (moment(at, now)), None => span.soft { "nothing waits" },
                        } }
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
