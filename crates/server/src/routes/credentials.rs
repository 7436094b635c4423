//! `POST /api/internal/refresh-token`: credentials for a worker.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use reclaimer_domain::name::{AccountId, ProviderId};
use reclaimer_domain::ports::{IssueError, StoreError};
use reclaimer_domain::time::millis_option;
use reclaimer_provisioning::CredentialsError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code;
use crate::extract::{Body, Empty, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    #[schema(value_type = String)]
    provider_id: ProviderId,
    #[schema(value_type = String)]
    account_id: AccountId,
    user_id: String,
}

/// Credentials that hold.
// It has no `Debug` that could show them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FreshCredentials {
    success: bool,
    access_token: String,
    token_type: &'static str,
    #[serde(with = "millis_option")]
    expires_at: Option<DateTime<Utc>>,
    #[schema(value_type = String)]
    provider_id: ProviderId,
}

/// Get fresh credentials
///
/// The stored ones while they last, otherwise fresh ones from the provider's token endpoint; one refresh per account at
/// a time, however many ask.
#[utoipa::path(post, path = "/api/internal/refresh-token", tag = "worker", request_body = RefreshRequest, responses(
    (status = 200, description = "Credentials that hold", body = FreshCredentials),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
    (status = 404, description = "There is no such account", body = ProblemDocument),
    (status = 409, description = "Nothing of the account holds; it must be authorised again", body = ProblemDocument),
    (status = 422, description = "The account is another provider's or user's", body = ProblemDocument),
    (status = 502, description = "The provider cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn refresh_token(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(request): Body<RefreshRequest>,
) -> Result<axum::Json<FreshCredentials>, Problem> {
    let RefreshRequest { provider_id, account_id, user_id } = request;
    let fresh =
        app.provisioning.credentials(&provider_id, &account_id, Some(&user_id)).await.map_err(problem)?;
    Ok(axum::Json(FreshCredentials {
        success: true,
        access_token: fresh.access_token.expose().to_owned(),
        token_type: "Bearer",
        expires_at: fresh.expires_at,
        provider_id: fresh.provider,
    }))
}

fn problem(error: CredentialsError) -> Problem {
    let (status, code) = match &error {
        CredentialsError::UnknownAccount(_) | CredentialsError::NoAccount(_) => {
            (StatusCode::NOT_FOUND, code::UNKNOWN_ACCOUNT)
        }
        CredentialsError::WrongProvider { .. } => (StatusCode::UNPROCESSABLE_ENTITY, code::WRONG_PROVIDER),
        CredentialsError::WrongUser(_) => (StatusCode::UNPROCESSABLE_ENTITY, code::WRONG_USER),
        CredentialsError::NotValid(_) => (StatusCode::CONFLICT, code::ACCOUNT_NOT_VALID),
        CredentialsError::Issue(issue) => match &**issue {
            IssueError::UnknownProvider(_) => (StatusCode::CONFLICT, code::UNKNOWN_PROVIDER),
            IssueError::Refused { .. } => (StatusCode::CONFLICT, code::REFRESH_REFUSED),
            _ => (StatusCode::BAD_GATEWAY, code::PROVIDER_UNAVAILABLE),
        },
        CredentialsError::Store(store) => match &**store {
            StoreError::Failed { .. } => (StatusCode::INTERNAL_SERVER_ERROR, store.code()),
            _ => (StatusCode::SERVICE_UNAVAILABLE, store.code()),
        },
        _ => (StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL),
    };
    Problem::new(status, code, error.to_string())
}
