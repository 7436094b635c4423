//! `/api/admin/accounts`: credentials go in, and never come out again in clear.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::name::{AccountId, ProviderId};
use reclaimer_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use super::paging::{self, PageParameters};
use crate::code;
use crate::extract::{Body, Empty, Id, Parameters, moment};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::{AccountShape, ListShape};
use crate::state::App;

/// An account to set.
// It has no `Debug` that could show its secrets.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AccountRequest {
    /// Whose it is.
    user_id: String,
    /// Where its tokens count.
    #[schema(value_type = String)]
    provider_id: ProviderId,
    access_token: Option<String>,
    refresh_token: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    access_token_expires_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "moment")]
    refresh_token_expires_at: Option<DateTime<Utc>>,
}

/// The longest user id, in characters.
const LONGEST_USER: usize = 256;

/// List accounts
///
/// In the order of their names, without their secrets.
#[utoipa::path(get, path = "/api/admin/accounts", tag = "admin", params(PageParameters), responses(
    (status = 200, description = "A part of the list", body = ListShape<AccountShape>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<axum::Json<ListShape<AccountShape>>, Problem> {
    let (limit, cursor) = parameters.read()?;
    let page = app.accounts.accounts(cursor, limit).await?;
    let next_cursor = page.next.map(paging::cursor_of);
    let now = app.clock.now();
    let items = page.items.into_iter().map(|account| AccountShape::new(account, now)).collect();
    Ok(axum::Json(ListShape { items, next_cursor }))
}

/// Set an account
///
/// Creates it or replaces all of it.
#[utoipa::path(put, path = "/api/admin/accounts/{id}", tag = "admin", params(("id" = String, Path, description = "The account")),
    request_body = AccountRequest, responses(
    (status = 200, description = "Replaced", body = AccountShape),
    (status = 201, description = "Created", body = AccountShape),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
))]
pub(crate) async fn set(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(request): Body<AccountRequest>,
) -> Result<(StatusCode, axum::Json<AccountShape>), Problem> {
    let length = request.user_id.chars().count();
    if !(1..=LONGEST_USER).contains(&length) {
        let detail = format!("`userId`: 1 to {LONGEST_USER} characters, got {length}");
        return Err(Problem::bad_request(code::INVALID_REQUEST, detail));
    }
    let now = app.clock.now();
    let before = app.accounts.account(&id).await?;
    // An empty token opens nothing.
    let token = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Secret::new);
    let account = Account {
        id,
        user_id: request.user_id,
        provider: request.provider_id,
        access_token: token(request.access_token),
        refresh_token: token(request.refresh_token),
        access_token_expires_at: request.access_token_expires_at,
        refresh_token_expires_at: request.refresh_token_expires_at,
        created_at: before.as_ref().map_or(now, |before| before.created_at),
        updated_at: now,
    };
    app.accounts.put(account.clone()).await?;
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(AccountShape::new(account, now))))
}

fn unknown(id: &AccountId) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code::UNKNOWN_ACCOUNT, format!("there is no account `{id}`"))
}

/// Read an account
///
/// Without its secrets.
#[utoipa::path(get, path = "/api/admin/accounts/{id}", tag = "admin", params(("id" = String, Path, description = "The account")), responses(
    (status = 200, description = "The account", body = AccountShape),
    (status = 404, description = "There is no such account", body = ProblemDocument),
))]
pub(crate) async fn show(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<AccountShape>, Problem> {
    let account = app.accounts.account(&id).await?.ok_or_else(|| unknown(&id))?;
    Ok(axum::Json(AccountShape::new(account, app.clock.now())))
}

/// Erase an account
///
/// Its secrets are gone; jobs that name it keep its name, and wait until it is set again.
#[utoipa::path(delete, path = "/api/admin/accounts/{id}", tag = "admin", params(("id" = String, Path, description = "The account")), responses(
    (status = 204, description = "Erased"),
    (status = 404, description = "There is no such account", body = ProblemDocument),
))]
pub(crate) async fn erase(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<StatusCode, Problem> {
    let now = app.clock.now();
    if app.accounts.erase(id.clone(), now).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&id)) }
}
