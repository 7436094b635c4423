//! What can be done to a job.

use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::{Markup, html};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::Applied;

use super::id_of;
use crate::actions::{Action, chosen_reset, reset_choice, reset_words};
use crate::failure::Failure;
use crate::fields::{Fields, Form};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::csrf;
use crate::view::parts::job_href;

/// A button for each thing that the job's state allows. What cannot be undone asks once more.
pub(super) fn forms(viewer: &Viewer, job: &Job) -> Markup {
    let href = job_href(job.id.as_str());
    let possible = Action::ALL.into_iter().filter(|action| action.is_possible(job.status));
    html! {
        section.actions aria-labelledby="actions-title" {
            h2 #actions-title .unseen { "What you can do" }
            @for action in possible { @match (action, action.usual_reset()) {
                (Action::Cancel, _) => details #act-cancel {
                    summary { "Cancel…" }
                    form method="post" action=(href) {
                        (csrf(viewer))
                        p { (action.effect()) }
                        button.danger type="submit" name="action" value=(action.word()) { "Cancel the job" }
                    }
                },
                (_, Some(usual)) => details id={ "act-" (action.word()) } {
                    summary { (action.label()) "…" }
                    form method="post" action=(href) {
                        (csrf(viewer))
                        p { (action.effect()) }
                        (reset_choice(usual))
                        button.primary type="submit" name="action" value=(action.word()) { (action.label()) " the job" }
                    }
                },
                (_, None) => form method="post" action=(href) {
                    (csrf(viewer))
                    button type="submit" name="action" value=(action.word()) title=(action.effect()) { (action.label()) }
                },
            } }
            @if job.status.is_terminal() {
                form method="post" action=(href) {
                    (csrf(viewer))
                    button type="submit" name="action" value="rerun" title="A new job like this one, spawned from it." {
                        "Run again as a new job"
                    }
                }
            }
        }
    }
}

/// `POST /jobs/{id}`
pub(crate) async fn act(
    State(app): State<App>,
    Viewer(session): Viewer,
    Path(id): Path<String>,
    Form(fields): Form,
) -> Result<Redirect, Failure> {
    let id = id_of(&id)?;
    let (said, shown_next) = match fields.text("action") {
        Some("rerun") => rerun(&app, id).await?,
        Some("accept") => accept(&app, id, &fields).await?,
        _ => administer(&app, id, &fields).await?,
    };
    app.sessions.leave_notice(&session, said);
    Ok(Redirect::to(&job_href(shown_next.as_str())))
}

async fn administer(app: &App, id: JobId, fields: &Fields) -> Result<(String, JobId), Failure> {
    let action = Action::of(fields)?;
    let order = action.with(chosen_reset(fields)?);
    match app.jobs.administer(id.clone(), order, Actor::Admin, app.clock.now()).await? {
        Applied::Done(done) => {
            let reset = Some(reset_words(&done.reset)).filter(|words| !words.is_empty());
            let reset = reset.map(|words| format!(" Begun again: {words}.")).unwrap_or_default();
            Ok((format!("The job was {}.{reset}", action.done()), id))
        }
        Applied::Refused(refused) => Err(refused.into()),
    }
}

async fn rerun(app: &App, id: JobId) -> Result<(String, JobId), Failure> {
    let new = app.provisioning.new_job_id();
    match app.jobs.rerun(id.clone(), new, Actor::Admin, app.clock.now()).await? {
        Applied::Done(job) => Ok((format!("This new job was made from {id}."), job.id)),
        Applied::Refused(refused) => Err(refused.into()),
    }
}

async fn accept(app: &App, id: JobId, fields: &Fields) -> Result<(String, JobId), Failure> {
    let number = fields.parsed("number")?;
    let number = number.ok_or_else(|| Failure::bad_request("`number`: say which late result"))?;
    match app.provisioning.accept_late(id.clone(), number, Actor::Admin).await? {
        Applied::Done(job) => {
            Ok((format!("Late result {number} counts now: the job is {}.", job.status), id))
        }
        Applied::Refused(refused) => Err(refused.into()),
    }
}
