//! Alerts: what lasts that people were told of, and whether messages arrive.

use axum::extract::State;
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_domain::job::Status;
use reclaimer_server::alerts::MessageShape;

use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{live, nothing, table};
use crate::view::untrusted::shown;
use crate::view::words::{NAME, count, moment, sign, told};

/// Messages that are shown; the API has all that are kept.
const MOST: usize = 50;

/// `GET /alerts`
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Markup {
    let target = app.alerts.view().target;
    let body = html! {
        h1 { "Alerts" }
        @match &target {
            Some(target) => {
                p { "Messages go to " code { (shown(target, 300)) } "." }
                form #test method="post" action="/alerts" {
                    (csrf(&viewer))
                    button type="submit" { "Send a test message" }
                }
            }
            None => p { "Nobody is told of anything: set " code { "alerts.webhook_url" } " and start the server again. "
                "Incidents are found and shown here all the same." },
        }
        (live("alerts-all", "breaker worker run", "/live/alerts", &all(&app)))
    };
    layout::page(&app, &viewer, Screen::Alerts, "Alerts", &body)
}

/// `GET /live/alerts`
pub(crate) async fn part(State(app): State<App>) -> Markup {
    all(&app)
}

fn all(app: &App) -> Markup {
    let (view, now) = (app.alerts.view(), app.clock.now());
    html! {
        section aria-labelledby="incidents-title" {
            h2 #incidents-title { "What lasts" }
            @if view.incidents.is_empty() { (nothing("Nothing is wrong that an alert watches for.")) } @else {
                ul.plain.problems { @for it in &view.incidents {
                    li.problem {
                        span { strong { (told(&it.what, 600, now)) }
                        " " span.soft { "Since " (moment(it.since, now)) ", found by " code { (shown(&it.rule, NAME)) }
                            ", about " (shown(&it.subject, NAME)) "." } }
                    }
                } }
            }
            p.soft { "It is watched for: "
                @if view.rules.is_empty() { "nothing" }
                @for (place, rule) in view.rules.iter().enumerate() {
                    @if place > 0 { ", " } code { (shown(rule, NAME)) }
                } "." }
        }
        section aria-labelledby="messages-title" {
            h2 #messages-title { "Messages" }
            @if view.messages.is_empty() { (nothing("No message was sent yet.")) } @else {
                (table("Messages", &["When", "What", "About", "Arrived", "Attempts"],
                    &view.messages.iter().take(MOST).map(|it| message(it, now)).collect::<Vec<_>>()))
            }
        }
    }
}

fn message(it: &MessageShape, now: DateTime<Utc>) -> Vec<Markup> {
    let event = match it.event {
        "opened" => "It began",
        "reminder" => "It lasts",
        "resolved" => "It is over",
        _ => "Test",
    };
    let (class, status, word) = match it.fate {
        "delivered" => ("is-finished", Status::Finished, "Arrived"),
        "waiting" => ("is-queued", Status::Queued, "Waits"),
        _ => ("is-failed", Status::Failed, "Given up"),
    };
    vec![
        moment(it.at, now),
        html! { (event) },
        html! { (told(&it.incident.what, 300, now)) },
        html! {
            span class={ "badge " (class) } { (sign(status)) (word) }
            @if let Some(error) = &it.last_error { p.sub.error { (shown(error, 300)) } }
        },
        html! { (count(it.attempts.into(), "attempt", "attempts")) },
    ]
}

/// `POST /alerts`: sends a test message.
pub(crate) async fn test(State(app): State<App>, Viewer(session): Viewer) -> Redirect {
    let said = match app.alerts.test().await {
        Ok(_) => "The test message arrived.".to_owned(),
        Err(failed) => format!("No test message arrived: {failed}."),
    };
    app.sessions.leave_notice(&session, said);
    Redirect::to("/alerts")
}
