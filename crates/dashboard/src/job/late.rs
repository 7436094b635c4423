//! Results that came too late, and may be accepted.

use maud::{Markup, html};
use reclaimer_domain::job::{Job, LateResult, Status, StatusEvent};

use crate::failure::Failure;
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::csrf;
use crate::view::parts::job_href;
use crate::view::untrusted::{json, shown};
use crate::view::words::{count, moment};

/// The job's late results; nothing where there are none.
pub(super) async fn section(app: &App, viewer: &Viewer, job: &Job) -> Result<Markup, Failure> {
    let late = app.jobs.late_results(&job.id).await?.unwrap_or_default();
    let now = app.clock.now();
    Ok(html! {
        @if !late.is_empty() {
            section.late aria-labelledby="late-title" {
                h2 #late-title { "Late results" }
                p.soft { "A worker that had lost the job reported its end all the same. It counts only if you accept it." }
                ul.plain { @for it in &late { li.card { (one(viewer, job, it, now)) } } }
            }
        }
    })
}

fn one(viewer: &Viewer, job: &Job, late: &LateResult, now: chrono::DateTime<chrono::Utc>) -> Markup {
    let may = job.status.after(StatusEvent::AcceptFinish).is_ok();
    let whole = format!("{}/text/late-{}", job_href(job.id.as_str()), late.number);
    html! {
        p { strong { (late.number) ". " } (shown(&late.summary, 400)) ", " (moment(late.at, now)) "." }
        @if !late.report.areas.is_empty() {
            p { "It found " (count(late.report.areas.len() as u64, "area", "areas")) "." }
        }
        details id={ "late-" (late.number) } {
            summary { "What it said" }
            (json(&late.report.said.clone().into(), 2_000, &whole))
        }
        @match late.accepted_at {
            Some(at) => p.soft { "Accepted " (moment(at, now)) "." },
            None if may => form method="post" action=(job_href(job.id.as_str())) {
                (csrf(viewer))
                input type="hidden" name="number" value=(late.number);
                button type="submit" name="action" value="accept" {
                    @if job.status == Status::Quarantined { "Accept it instead of running the job again" }
                    @else { "Accept it; the job does not run again" }
                }
            },
            None => p.soft { "It can be accepted while the job is queued or quarantined." },
        }
    }
}
