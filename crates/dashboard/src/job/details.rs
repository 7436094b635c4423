//! The fields of a job.

use maud::{Markup, html};
use reclaimer_domain::job::Job;
use reclaimer_domain::time::spoken;
use serde_json::Value;

use crate::fields::Link;
use crate::state::App;
use crate::view::parts::{job_href, job_link};
use crate::view::untrusted::{json, shown};
use crate::view::words::{NAME, moment};

/// Characters of a JSON field that are shown at once.
const LONG: usize = 2_000;

/// All fields.
pub(super) fn part(app: &App, job: &Job) -> Markup {
    let now = app.clock.now();
    let whole = |what: &str| format!("{}/text/{what}", job_href(job.id.as_str()));
    let list = |name: &str, value: &str| Link::to("/jobs").with(name, value).href();
    let at = |moment_of: Option<chrono::DateTime<chrono::Utc>>| moment_of.map(|at| moment(at, now));
    let rows: Vec<(&str, Option<Markup>)> = vec![
        (
            "Queue",
            Some(html! { a href=(list("queue", job.queue.as_str())) { (shown(job.queue.as_str(), NAME)) } }),
        ),
        (
            "Worker",
            job.lease.as_ref().map(|lease| {
                html! {
                    a href=(list("worker", lease.worker.as_str())) { (shown(lease.worker.as_str(), NAME)) }
                }
            }),
        ),
        ("Lease ends", at(job.lease.as_ref().map(|lease| lease.expires_at))),
        (
            "Account",
            job.account_id.as_ref().map(|id| {
                html! {
                    a href=(list("account", id.as_str())) { (shown(id.as_str(), NAME)) }
                }
            }),
        ),
        ("Attempts", Some(html! { (job.attempt) " of " (job.max_attempts) })),
        ("Recoveries", Some(html! { (job.recoveries) })),
        ("Lost leases in a row", Some(html! { (job.lease_losses) })),
        ("Priority", Some(html! { (job.priority.get()) })),
        ("Not before", at(Some(job.run_at).filter(|at| *at > now))),
        ("Recovery rests until", at(job.recover_after.filter(|at| *at > now))),
        ("Timeout", job.timeout.map(|timeout| html! { (spoken(timeout)) })),
        ("Unique key", job.unique_key.as_ref().map(|key| shown(key.as_str(), 80))),
        ("Spawned from", job.spawned_from.as_ref().map(job_link)),
        ("Created", at(Some(job.created_at))),
        ("Attempt began", at(job.started_at)),
        ("Attempt ended", at(job.finished_at)),
    ];
    html! {
        section aria-labelledby="fields-title" {
            h2 #fields-title { "Fields" }
            dl.fields { @for (name, value) in rows { @if let Some(value) = value {
                dt { (name) } dd { (value) }
            } } }
        }
        (block("progress", "Progress", &Value::Object(job.progress.clone()), &whole("progress")))
        (block("payload", "Payload", &job.payload, &whole("payload")))
        @if let Some(state) = &job.resume_state {
            (block("resume-state", "Resume state", state, &whole("resume-state")))
        }
    }
}

fn block(id: &str, name: &str, value: &Value, whole: &str) -> Markup {
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null();
    html! {
        section aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (name) }
            @if empty { p.soft { "Empty" } } @else { (json(value, LONG, whole)) }
        }
    }
}
