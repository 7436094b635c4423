//! Who may see a page and use its forms: the layers around all of them.

use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use reclaimer_server::session::Session;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::fields::{Fields, Link};
use crate::state::App;
use crate::view::layout;

/// The script that asks for a part of a page says so; it is never sent elsewhere.
const LIVE: HeaderName = HeaderName::from_static("x-live");

/// The browser says here who made it ask.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Larger forms are none of ours.
const MOST_BODY: usize = 256 * 1_024;

/// A browser takes nothing into a page but what this server serves under a name of its own, runs no script in a page's
/// text, sends forms nowhere else, and shows a page in no other's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Puts around every answer what keeps a browser from doing more with it than showing it. An asset says for itself how
/// long it is kept.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Lets those through who are logged in, and of their requests that can have an effect those that carry the session's
/// token, as a field or as a header.
pub(crate) async fn logged_in(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(session) = app.sessions.find(request.headers(), Instant::now()) else {
        return to_login(&request);
    };
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut request = request;
        request.extensions_mut().insert(session);
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BODY).await else {
        return Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the form is too large")
            .into_response();
    };
    let fields = Fields::read(&body);
    if !fields.text("csrf").is_some_and(|csrf| session.accepts(csrf)) {
        let detail = "the form does not carry the token of this session; it may come from a page that was opened before \
                      the last login: open the page again and repeat";
        return Failure::new(StatusCode::FORBIDDEN, "csrf", detail).into_response();
    }
    parts.extensions.insert(fields);
    parts.extensions.insert(session);
    next.run(Request::from_parts(parts, axum::body::Body::empty())).await
}

/// Whether another site made the browser ask.
pub(crate) fn is_cross_site(headers: &axum::http::HeaderMap) -> bool {
    headers.get(SITE).is_some_and(|site| site == "cross-site")
}

fn to_login(request: &Request) -> Response {
    if request.headers().contains_key(LIVE) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let reads = *request.method() == Method::GET;
    let wanted = request.uri().path_and_query().map_or("/", |it| it.as_str());
    // A browser that follows a link from elsewhere, e.g. from an alert's message, does not send the cookie, though there
    // may be one. When the page asks for itself, it does.
    if reads && is_cross_site(request.headers()) {
        return layout::again(wanted).into_response();
    }
    let wanted = if reads { wanted } else { page_of(request.uri().path()) };
    let login = Link::to("/login").and("next", Some(wanted).filter(|wanted| *wanted != "/"));
    Redirect::to(&login.and("undone", (!reads).then_some("yes")).href()).into_response()
}

/// The page that has the form which is sent to this path.
fn page_of(path: &str) -> &str {
    match path {
        "/queues" | "/logout" => "/",
        "/jobs/bulk" => "/jobs",
        path => path,
    }
}

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(crate) struct Viewer(pub(crate) Session);

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let session = parts.extensions.get::<Session>().cloned();
        // Every route that takes one lies behind `logged_in`.
        session
            .map(Self)
            .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", "log in first"))
    }
}
