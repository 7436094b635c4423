//! Which page is where.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::state::{App, Deps};
use crate::{accounts, alerts, assets, guard, job, jobs, login, overview, policy, queues, recovery, workers};

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
        .route("/recovery", get(recovery::page).post(recovery::start))
        .route("/live/recovery/schedule", get(recovery::schedule_part))
        .route("/live/recovery/runs", get(recovery::runs_part))
        .route("/recovery/runs/{id}", get(recovery::run))
        .route("/recovery/runs/{id}/undo", get(recovery::undo_preview).post(recovery::undo))
        .route("/workers", get(workers::page).post(workers::order))
        .route("/live/workers", get(workers::part))
        .route("/accounts", get(accounts::page))
        .route("/policy", get(policy::page).post(policy::reload))
        .route("/live/policy", get(policy::part))
        .route("/policy/simulate", get(policy::simulation).post(policy::simulate))
        .route("/alerts", get(alerts::page).post(alerts::test))
        .route("/live/alerts", get(alerts::part))
        .route("/logout", post(login::log_out))
        .route_layer(from_fn_with_state(app.clone(), guard::logged_in));
    Router::new()
        .merge(pages)
        .route("/login", get(login::show).post(login::log_in))
        .route("/assets/{name}", get(assets::serve))
        .layer(from_fn(guard::headers))
        .with_state(app)
}
