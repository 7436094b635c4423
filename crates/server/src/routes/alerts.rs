//! `/api/admin/alerts`.

use axum::extract::State;
use axum::http::StatusCode;

use crate::alerts::{AlertsView, MessageShape, TestFailed};
use crate::code;
use crate::extract::{Empty, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

impl From<TestFailed> for Problem {
    fn from(error: TestFailed) -> Self {
        let (status, code) = match error {
            TestFailed::NoWebhook => (StatusCode::CONFLICT, code::NO_WEBHOOK),
            TestFailed::Undelivered(_) => (StatusCode::BAD_GATEWAY, code::UNDELIVERED),
        };
        Self::new(status, code, error.to_string())
    }
}

/// Show incidents and messages
///
/// Incidents that last, and the messages that told people of these and of earlier ones.
#[utoipa::path(get, path = "/api/admin/alerts", tag = "admin", responses(
    (status = 200, description = "All of them", body = AlertsView),
))]
pub(crate) async fn show(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> axum::Json<AlertsView> {
    axum::Json(app.alerts.view())
}

/// Send a test message
///
/// Answers once the webhook took it, or did not. It is not tried again.
#[utoipa::path(post, path = "/api/admin/alerts/test", tag = "admin",
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "It arrived", body = MessageShape),
    (status = 409, description = "No webhook is set", body = ProblemDocument),
    (status = 502, description = "The webhook did not take it, and why", body = ProblemDocument),
))]
pub(crate) async fn test(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<MessageShape>, Problem> {
    Ok(axum::Json(app.alerts.test().await?))
}
