//! A long field of a job whole, as plain text that no browser takes for anything else.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::JobRead;
use serde_json::Value;

use super::{id_of, read};
use crate::failure::Failure;
use crate::state::App;

/// `GET /jobs/{id}/text/{what}`
pub(crate) async fn text(
    State(app): State<App>,
    Path((id, what)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let id = id_of(&id)?;
    let found = match what.split_once('-') {
        Some(("event", number)) => event(&app, &id, number).await?,
        Some(("late", number)) => late(&app, &id, number).await?,
        _ => field(&app, &id, &what).await?,
    };
    let text = found.ok_or_else(|| Failure::not_found("the job has no such text"))?;
    let mut answer = text.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    );
    Ok(answer)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

async fn field(app: &App, id: &JobId, what: &str) -> Result<Option<String>, Failure> {
    let JobRead::Whole(job) = read(app, id).await? else { return Ok(None) };
    Ok(match what {
        "path" => job.full_path,
        "payload" => Some(pretty(&job.payload)),
        "progress" => Some(pretty(&Value::Object(job.progress))),
        "resume-state" => job.resume_state.as_ref().map(pretty),
        _ => None,
    })
}

async fn event(app: &App, id: &JobId, number: &str) -> Result<Option<String>, Failure> {
    let Some(before) = number.parse::<i64>().ok().and_then(|number| number.checked_sub(1)) else {
        return Ok(None);
    };
    let page = app.jobs.events(id, Some(before), 1).await?;
    let found = page.and_then(|page| page.items.into_iter().next());
    let found = found.filter(|event| event.id - 1 == before);
    Ok(found.and_then(|event| event.entry.detail).as_ref().map(pretty))
}

async fn late(app: &App, id: &JobId, number: &str) -> Result<Option<String>, Failure> {
    let late = app.jobs.late_results(id).await?.unwrap_or_default();
    let found = late.into_iter().find(|it| it.number.to_string() == number);
    Ok(found.map(|it| pretty(&Value::Object(it.report.said))))
}
