//! Which page is where.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::state::{App, Deps};
use crate::{assets, guard, job, jobs, login, overview, queues};

/// The dashboard: pages from `/` on. It answers nothing below `/api` or `/docs`.
pub fn router(deps: Deps) -> Router {
    let app = App::new(deps);
    let pages = Router::new()
        .route("/", get(overview::page))
        .route("/live/overview/{part}", get(overview::part))
        .route("/queues", post(queues::set))
        .route("/jobs", get(jobs::page))
        .route("/live/jobs", get(jobs::part))
        .route("/jobs/bulk", get(jobs::preview).post(jobs::carry_out))
        .route("/jobs/{id}", get(job::page).post(job::act))
        .route("/live/jobs/{id}/{part}", get(job::part))
        .route("/jobs/{id}/text/{what}", get(job::text))
        .route("/logout", post(login::log_out))
        .route_layer(from_fn_with_state(app.clone(), guard::logged_in));
    Router::new()
        .merge(pages)
        .route("/login", get(login::show).post(login::log_in))
        .route("/assets/{name}", get(assets::serve))
        .layer(from_fn(guard::headers))
        .with_state(app)
}
