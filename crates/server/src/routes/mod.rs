//! The routes, and the layers around them.

mod accounts;
mod admin_jobs;
mod alerts;
mod bulk;
mod credentials;
mod description;
mod discovery;
mod events;
mod health;
mod jobs;
mod late_results;
mod leases;
mod open;
mod order;
mod paging;
mod policy;
mod progress;
mod queues;
mod recovery;
mod runs;
mod workers;

pub(crate) use jobs::CreatedList;
pub(crate) use open::ProvisioningFailure;
pub(crate) use order::Order;

use std::any::Any;

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::code;
use crate::extract::{Empty, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::{App, Config, Deps};
use crate::{auth, request_id};

/// What the description says of the whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reclaimer",
        description = "Hands jobs to workers, and gets every job back that goes wrong.\n\nErrors are problem \
                       documents (RFC 9457), except that `GET /api/internal/jobs/open` never answers 5xx.",
        license(name = "MIT", identifier = "MIT")
    ),
    components(schemas(ProblemDocument)),
    tags(
        (name = "worker", description = "For workers: a worker token, an admin token, or a Unix-socket peer of an allowed user."),
        (name = "producer", description = "For producers: the same."),
        (name = "admin", description = "For admins: an admin token, or a session of the dashboard: its cookie, and its token in the header `x-csrf-token` for whatever is no GET."),
        (name = "health", description = "For whoever watches over the server.")
    ),
    security(("token" = []))
)]
struct Description;

fn worker_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(open::open))
        .routes(routes!(progress::report))
        .routes(routes!(leases::heartbeat))
        .routes(routes!(leases::release))
        .routes(routes!(credentials::refresh_token))
        .routes(routes!(jobs::list, jobs::create))
        .routes(routes!(discovery::discover))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::events))
        .routes(routes!(late_results::list))
}

fn admin_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(recovery::overview, recovery::recover))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::undo))
        .routes(routes!(policy::show))
        .routes(routes!(policy::reload))
        .routes(routes!(policy::explain))
        .routes(routes!(admin_jobs::retry))
        .routes(routes!(admin_jobs::cancel))
        .routes(routes!(admin_jobs::pause))
        .routes(routes!(admin_jobs::resume))
        .routes(routes!(admin_jobs::release))
        .routes(routes!(admin_jobs::rerun))
        .routes(routes!(late_results::accept))
        .routes(routes!(bulk::bulk))
        .routes(routes!(queues::list))
        .routes(routes!(queues::pause))
        .routes(routes!(queues::resume))
        .routes(routes!(workers::list))
        .routes(routes!(workers::pause))
        .routes(routes!(workers::resume))
        .routes(routes!(workers::restart))
        .routes(routes!(workers::breaker))
        .routes(routes!(events::listen))
        .routes(routes!(alerts::show))
        .routes(routes!(alerts::test))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::set, accounts::show, accounts::erase))
}

fn watch_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health::health)).routes(routes!(health::metrics))
}

fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health::healthz)).routes(routes!(health::readyz))
}

/// The whole API as a router that any program can mount, with `more` routes of the program's own beside it (behind the
/// same layers, open to everybody). It answers unknown paths with problem documents.
///
/// The layers, as a request meets them: request id, the host's name, problem documents and the log; panics; and, for each
/// group of routes, who may call.
pub fn router(config: Config, deps: Deps, more: Router) -> Router {
    let app = App::new(config, deps);
    let guarded = worker_routes()
        .route_layer(from_fn_with_state(app.clone(), auth::worker))
        .merge(admin_routes().route_layer(from_fn_with_state(app.clone(), auth::admin)))
        .merge(watch_routes().route_layer(from_fn_with_state(app.clone(), auth::watcher)))
        .merge(open_routes());
    let (router, _) = guarded.split_for_parts();
    router
        .route("/openapi.json", get(describe))
        .with_state(app.clone())
        .merge(more)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app, request_id::layer))
}

/// The description of the whole API, generated from the handlers.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let routes = worker_routes().merge(admin_routes()).merge(watch_routes()).merge(open_routes());
    let mut description = Description::openapi();
    description.merge(routes.into_openapi());
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The admin or the worker token, see the files in the data folder."))
        .build();
    if let Some(components) = &mut description.components {
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
    description::complete(&mut description);
    description
}

async fn describe(Parameters(Empty {}): Parameters<Empty>) -> axum::Json<utoipa::openapi::OpenApi> {
    axum::Json(openapi())
}

async fn not_found(OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!("there is nothing at {}; GET /openapi.json describes what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, detail)
}

async fn not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!("{method} is not possible at {}; the header `allow` says what is", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, code::METHOD_NOT_ALLOWED, detail)
}

/// A panic is a defect; its text is for the log alone.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    error!(area = "JOB-MANAGER", panic = panic_text(&*panic), "a request handler panicked");
    let detail = "the server met a defect of its own; the log has the details under this request's id";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, detail).into_response()
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_the_one_in_the_repository() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let described = openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, &described).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(stored == described, "docs/openapi.json is not up to date: run with UPDATE_SNAPSHOTS=1");
    }
}
