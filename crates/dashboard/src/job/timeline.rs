//! Everything that happened to a job.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_domain::history::{EventKind, JobEvent};
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::Refused;

use super::sentence;
use crate::failure::Failure;
use crate::fields::Link;
use crate::state::App;
use crate::view::parts::{job_href, nothing};
use crate::view::untrusted::{json, shown};
use crate::view::words::{NAME, actor, event_words, exact, moment, sign, told};

/// Events on one page.
const PART: u32 = 100;

/// Where a part of the history is fetched again.
pub(super) fn part_href(id: &JobId, after: Option<i64>) -> String {
    let after = after.map(|after| after.to_string());
    Link::to(format!("/live{}/timeline", job_href(id.as_str()))).and("after", after.as_deref()).href()
}

/// A part of the history, oldest first.
pub(super) async fn part(app: &App, id: &JobId, after: Option<i64>) -> Result<Markup, Failure> {
    let page = app.jobs.events(id, after, PART).await?.ok_or_else(|| Refused::NoSuchJob(id.clone()))?;
    let (href, now) = (job_href(id.as_str()), app.clock.now());
    Ok(html! {
        @if page.items.is_empty() {
            (nothing(if after.is_some() { "Nothing more." } else { "The history of this job has been pruned." }))
        } @else {
            ol.timeline { @for event in &page.items { li { (one(event, &href, now)) } } }
        }
        nav.pager aria-label="Parts of the history" {
            @if after.is_some() { a href=(href) { "From the beginning" } }
            @if let Some(next) = page.next {
                a href=(Link::to(href.clone()).with("after", &next.to_string()).href()) rel="next" { "Later" }
            }
        }
    })
}

fn one(event: &JobEvent, href: &str, now: DateTime<Utc>) -> Markup {
    let entry = &event.entry;
    let changed = entry.to.filter(|to| entry.from != Some(*to));
    let whole = format!("{href}/text/event-{}", event.id);
    html! {
        div class={ "event" @if let Some(to) = changed { " is-" (to.as_str()) } } {
            span.mark { @if let Some(to) = changed { (sign(to)) } }
            p.what {
                strong { (event_words(entry.kind)) }
                @if entry.kind == EventKind::Claimed { ": " (actor(&entry.actor)) } @else { " by " (actor(&entry.actor)) }
                @if let Some(rule) = &entry.rule { " · rule " code { (shown(rule.as_str(), NAME)) } }
                " " span.when title=(exact(entry.at)) { (moment(entry.at, now)) }
            }
            @if let Some(reason) = &entry.reason { p.reason { (told(&sentence(reason), 600, now)) } }
            @if let Some(detail) = &entry.detail {
                details id={ "event-" (event.id) } {
                    summary { "Evidence" }
                    (json(detail, 2_000, &whole))
                }
            }
        }
    }
}
