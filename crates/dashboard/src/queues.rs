//! Pausing and resuming queues.

use axum::extract::State;
use axum::response::Redirect;
use reclaimer_domain::name::QueueName;

use crate::failure::Failure;
use crate::fields::Form;
use crate::guard::Viewer;
use crate::state::App;

/// `POST /queues`: `queue` and `action`, which is `pause` or `resume`.
pub(crate) async fn set(
    State(app): State<App>,
    Viewer(session): Viewer,
    Form(fields): Form,
) -> Result<Redirect, Failure> {
    let queue: QueueName =
        fields.parsed("queue")?.ok_or_else(|| Failure::bad_request("`queue`: say which queue"))?;
    let (paused, said) = match fields.text("action") {
        Some("pause") => (true, "is paused: workers get no more jobs of it, and finish those they have"),
        Some("resume") => (false, "goes on: workers get its jobs again"),
        _ => return Err(Failure::bad_request("`action`: `pause` or `resume`")),
    };
    app.jobs.pause_queue(queue.clone(), paused, app.clock.now()).await?;
    app.sessions.leave_notice(&session, format!("Queue {queue} {said}."));
    Ok(Redirect::to("/"))
}
