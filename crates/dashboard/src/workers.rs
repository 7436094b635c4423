//! Workers: the links they come over, their connections, their processes.

use axum::extract::State;
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_domain::job::Status;
use reclaimer_domain::time::spoken;
use reclaimer_server::fleet::{BreakerOrder, BreakerShape, LinkShape, ProcessShape, WorkerShape};
use std::time::Duration;

use crate::failure::Failure;
use crate::fields::{Form, Link};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{live, nothing, table};
use crate::view::untrusted::{plain, shown};
use crate::view::words::{NAME, count, moment, number, sign};

/// Connections and processes that are shown; the API has all.
const MOST: usize = 500;

/// `GET /workers`
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Markup {
    let body = html! {
        h1 { "Workers" }
        p { "Workers that call over HTTP need no link and are seen by the jobs they hold: see "
            a href="/jobs?status=running" { "running jobs" } ". Credentials are under " a href="/accounts" { "accounts" } "." }
        (live("workers-all", "worker breaker", "/live/workers", &all(&app, &viewer)))
    };
    layout::page(&app, &viewer, Screen::Workers, "Workers", &body)
}

/// `GET /live/workers`
pub(crate) async fn part(State(app): State<App>, viewer: Viewer) -> Markup {
    all(&app, &viewer)
}

fn all(app: &App, viewer: &Viewer) -> Markup {
    let (fleet, now) = (app.fleet.view(), app.clock.now());
    html! {
        section aria-labelledby="links-title" {
            h2 #links-title { "Links" }
            @if fleet.links.is_empty() {
                (nothing("No link is configured; workers call over HTTP."))
            } @else {
                ul.plain.cards { @for it in &fleet.links { li.card { (link(viewer, it, now)) } } }
            }
        }
        section aria-labelledby="connections-title" {
            h2 #connections-title { "Connected workers" }
            @if fleet.workers.is_empty() { (nothing("No worker is connected over a link.")) } @else {
                (table("Connected workers", &["Worker", "State", "Jobs", "Last heard", "Since", "Messages", "What you can do"],
                    &fleet.workers.iter().take(MOST).map(|it| connection(viewer, it, now)).collect::<Vec<_>>()))
                (more(fleet.workers.len()))
            }
        }
        section aria-labelledby="processes-title" {
            h2 #processes-title { "Supervised processes" }
            @if fleet.processes.is_empty() {
                (nothing("No process is supervised; workers are started elsewhere."))
            } @else {
                (table("Supervised processes", &["Process", "State", "Restarts", "How it last ended", "What you can do"],
                    &fleet.processes.iter().take(MOST).map(|it| process(viewer, it, now)).collect::<Vec<_>>()))
                (more(fleet.processes.len()))
            }
        }
    }
}

fn more(all: usize) -> Markup {
    html! { @if all > MOST { p.soft { "… and " (number((all - MOST) as u64)) " more." } } }
}

/// What a breaker's state means, in words.
pub(crate) fn breaker_words(state: &str) -> &'static str {
    match state {
        "closed" => "closed: connecting is allowed",
        "open" => "open: it failed too often, and rests before it is tried again",
        "half_open" => "half open: it is being tried",
        "forced_open" => "forced open: nobody connects until somebody takes that back",
        "forced_closed" => "forced closed: connecting is always allowed",
        _ => "unknown",
    }
}

/// Whether anybody is there, as a badge.
pub(crate) fn link_badge(it: &LinkShape) -> Markup {
    let forced = it.breaker.as_ref().is_some_and(|breaker| breaker.state == "forced_open");
    let (class, status, word) = match (it.connections, it.mode) {
        (0, _) if forced => ("is-paused", Status::Paused, "Forced open"),
        (0, "dial") => ("is-failed", Status::Failed, "Not connected"),
        (0, _) => ("is-queued", Status::Queued, "Nobody connected"),
        _ => ("is-finished", Status::Finished, "Connected"),
    };
    html! { span class={ "badge " (class) } { (sign(status)) (word) } }
}

fn link(viewer: &Viewer, it: &LinkShape, now: DateTime<Utc>) -> Markup {
    html! {
        h3 { (shown(&it.name, NAME)) " " (link_badge(it)) }
        p {
            @if it.mode == "dial" { "We connect to it" } @else { "Workers connect to it" }
            ", " (count(it.connections as u64, "connection", "connections")) ", " (it.dialect) " dialect, "
            (count(it.connection_failures, "failure", "failures")) " since the start."
        }
        @if let Some(error) = &it.last_error { p.sub { "Last failure: " (shown(error, 400)) } }
        @if let Some(at) = it.next_attempt_at { p.sub { "Tried again " (moment(at, now)) "." } }
        @if let Some(breaker) = &it.breaker { (breaker_part(viewer, &it.name, breaker, now)) }
    }
}

fn breaker_part(viewer: &Viewer, link: &str, it: &BreakerShape, now: DateTime<Utc>) -> Markup {
    let forced = it.state.starts_with("forced");
    html! {
        p.sub {
            "Breaker " (breaker_words(it.state))
            @if it.consecutive_failures > 0 { "; " (count(it.consecutive_failures.into(), "failure", "failures")) " in a row" }
            @if let Some(at) = it.next_probe_at { "; tried again " (moment(at, now)) }
            "."
        }
        form.actions method="post" action="/workers" {
            (csrf(viewer))
            input type="hidden" name="link" value=(link);
            @for (word, label, meaning, possible) in [
                ("reset", "Reset the breaker", "Close it and forget the failures; it is tried at once.", true),
                ("forced_open", "Force it open", "Cut the connection, and let nobody connect until this is taken back.", it.state != "forced_open"),
                ("auto", "Let it decide again", "Take the force away.", forced),
            ] {
                @if possible {
                    button type="submit" name="action" value=(word) title=(meaning)
                        aria-label={ (label) ", link " (plain(link, NAME)) } { (label) }
                }
            }
        }
    }
}

/// Pausing and going on, and restarting where there is a process of ours.
fn orders(viewer: &Viewer, name: &str, paused: Option<bool>, restarts: bool) -> Markup {
    let pause = matches!(paused, None | Some(false));
    let resume = matches!(paused, None | Some(true));
    let orders = [
        ("pause", "Pause", "It gets no more jobs, and may finish those it holds.", pause),
        ("resume", "Resume", "It gets jobs again.", resume),
        ("restart", "Restart", "It is asked to finish, and then started anew.", restarts),
    ];
    html! {
        form.row method="post" action="/workers" {
            (csrf(viewer))
            input type="hidden" name="worker" value=(name);
            @for (word, label, meaning, possible) in orders { @if possible {
                button.quiet type="submit" name="action" value=(word) title=(meaning)
                    aria-label={ (label) " " (plain(name, NAME)) } { (label) }
            } }
        }
    }
}

fn connection(viewer: &Viewer, it: &WorkerShape, now: DateTime<Utc>) -> Vec<Markup> {
    let (class, status, word) = match it.state {
        "connected" => ("is-finished", Status::Finished, "Connected"),
        "paused" => ("is-paused", Status::Paused, "Paused"),
        _ => ("is-queued", Status::Queued, "Connecting"),
    };
    let jobs = Link::to("/jobs").with("status", "running").with("worker", &it.id).href();
    vec![
        html! {
            span.name { (shown(&it.id, NAME)) }
            p.sub { "link " (shown(&it.link, NAME)) @if let Some(pid) = it.pid { ", process " (pid) } }
        },
        html! { span class={ "badge " (class) } { (sign(status)) (word) } },
        html! { a href=(jobs) { (count(it.leases as u64, "job", "jobs")) } },
        moment(it.last_heard_at, now),
        moment(it.connected_at, now),
        html! { (number(it.messages)) @if it.ignored > 0 { p.sub { (number(it.ignored)) " not understood" } } },
        orders(viewer, &it.id, Some(it.state == "paused"), false),
    ]
}

fn process(viewer: &Viewer, it: &ProcessShape, now: DateTime<Utc>) -> Vec<Markup> {
    let (class, status, word) = match it.state {
        "ready" => ("is-running", Status::Running, "Runs"),
        "starting" => ("is-queued", Status::Queued, "Starting"),
        "waiting" => ("is-paused", Status::Queued, "Waits for its restart"),
        "stopping" => ("is-paused", Status::Paused, "Stopping"),
        "given_up" => ("is-failed", Status::Failed, "Given up"),
        "held" => ("is-paused", Status::Paused, "Held"),
        "done" => ("is-finished", Status::Finished, "Done"),
        _ => ("is-cancelled", Status::Cancelled, "Stopped"),
    };
    vec![
        html! {
            span.name { (shown(&it.name, NAME)) }
            @if let Some(pid) = it.pid { p.sub { "process " (pid) } }
        },
        html! {
            span class={ "badge " (class) } { (sign(status)) (word) }
            @if let Some(at) = it.starts_at { p.sub { "starts " (moment(at, now)) } }
        },
        html! { (number(it.restarts)) },
        html! { @match &it.last_end {
            None => "–",
            Some(end) => {
                (shown(&end.message, 300))
                p.sub { "after " (spoken(Duration::from_millis(end.ran_for_ms))) }
                @if !end.output.is_empty() {
                    details id={ "output-" (plain(&it.name, NAME)) } {
                        summary { "Its last lines" }
                        pre tabindex="0" { (shown(&end.output.join("\n"), 4_000)) }
                    }
                }
            }
        } },
        orders(viewer, &it.name, None, true),
    ]
}

/// `POST /workers`: `action`, and a `worker` or a `link`.
pub(crate) async fn order(
    State(app): State<App>,
    Viewer(session): Viewer,
    Form(fields): Form,
) -> Result<Redirect, Failure> {
    let action = fields.text("action").unwrap_or_default();
    let said = match (fields.text("worker"), fields.text("link")) {
        (Some(worker), None) => match action {
            "pause" | "resume" => {
                app.fleet.set_paused(worker, action == "pause")?;
                if action == "pause" {
                    format!("{worker} is paused: it gets no more jobs, and may finish those it holds.")
                } else {
                    format!("{worker} gets jobs again.")
                }
            }
            "restart" => {
                app.fleet.restart(worker)?;
                format!("{worker} is asked to finish, and then started anew.")
            }
            _ => return Err(Failure::bad_request("`action`: `pause`, `resume` or `restart`")),
        },
        (None, Some(link)) => {
            let (order, said) = match action {
                "reset" => (BreakerOrder::Reset, "was reset; it is tried at once"),
                "forced_open" => {
                    (BreakerOrder::ForcedOpen, "is forced open: nobody connects until that is taken back")
                }
                "auto" => (BreakerOrder::Auto, "decides by itself again"),
                _ => return Err(Failure::bad_request("`action`: `reset`, `forced_open` or `auto`")),
            };
            app.fleet.order(link, order)?;
            format!("The breaker of link {link} {said}.")
        }
        _ => return Err(Failure::bad_request("say which `worker` or which `link`")),
    };
    app.sessions.leave_notice(&session, said);
    Ok(Redirect::to("/workers"))
}
