//! Logging in and out.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use reclaimer_server::Peer;
use reclaimer_server::session::{LoginRefused, whole_seconds};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::failure::Failure;
use crate::fields::{Fields, Query};
use crate::guard::{Viewer, is_cross_site};
use crate::state::App;
use crate::view::layout;

/// Longer forms are no login.
const MOST_BODY: usize = 8 * 1_024;

/// `GET /login`
pub(crate) async fn show(Query(fields): Query) -> Markup {
    let undone = fields.text("undone").is_some();
    page(&next_of(&fields), undone.then_some(&html! {
        p.notice role="status" id="undone" { "Nothing was done: you were no longer logged in. Log in, and do it again." }
    }))
}

/// `POST /login`
pub(crate) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    // Nobody else's page uses up our attempts.
    if is_cross_site(request.headers()) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "this login was sent by another site's page",
        ));
    }
    let peer = request.extensions().get::<Peer>().copied();
    let body = axum::body::to_bytes(request.into_body(), MOST_BODY).await;
    let body =
        body.map_err(|_| Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the form is too large"))?;
    let fields = Fields::read(&body);
    let next = next_of(&fields);
    match app.sessions.log_in(peer, fields.text("token").unwrap_or_default(), Instant::now()) {
        Ok(cookie) => {
            info!(area = "JOB-MANAGER", peer = %Shown(peer), "somebody logged in to the dashboard");
            Ok(with_cookie(Redirect::to(&next).into_response(), &cookie))
        }
        Err(refused) => {
            warn!(area = "JOB-MANAGER", peer = %Shown(peer), "a login to the dashboard was refused: {refused}");
            let page = page(
                &next,
                Some(&html! {
                    p.notice.bad role="alert" id="refused" { "That did not work: " (refused.to_string()) "." }
                }),
            );
            Ok(match refused {
                LoginRefused::WrongToken => (StatusCode::UNAUTHORIZED, page).into_response(),
                LoginRefused::TooOften { wait } => {
                    let wait = HeaderValue::from(whole_seconds(wait));
                    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, wait)], page).into_response()
                }
            })
        }
    }
}

/// `POST /logout`
pub(crate) async fn log_out(State(app): State<App>, Viewer(session): Viewer) -> Response {
    let cookie = app.sessions.log_out(&session);
    with_cookie(Redirect::to("/login").into_response(), &cookie)
}

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, value);
    }
    answer
}

/// A page of ours to go to after the login: a path that no browser takes for another host.
fn next_of(fields: &Fields) -> String {
    let ours = |next: &&str| {
        next.len() <= 2_048
            && next.starts_with('/')
            && !next.starts_with("//")
            && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    fields.text("next").filter(ours).unwrap_or("/").to_owned()
}

fn page(next: &str, notice: Option<&Markup>) -> Markup {
    layout::bare(
        "Log in",
        &html! {
            div.login {
                h1 { "Log in" }
                @if let Some(notice) = notice { (notice) }
                form method="post" action="/login" {
                    input type="hidden" name="next" value=(next);
                    label for="token" { "Admin token" }
                    input #token type="password" name="token" required autofocus autocomplete="current-password"
                        aria-describedby="where";
                    p #where .soft { "It is in the file " code { "admin.token" } " of the server’s data folder." }
                    button.primary type="submit" { "Log in" }
                }
            }
        },
    )
}

/// A peer in a line of the log.
struct Shown(Option<Peer>);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(Peer::Tcp(address)) => write!(f, "{}", address.ip()),
            Some(Peer::Unix { uid }) => write!(f, "uid {uid}"),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_login_no_browser_is_sent_elsewhere() {
        let next =
            |text: &str| next_of(&Fields::read(format!("next={}", crate::fields::segment(text)).as_bytes()));
        for ours in ["/", "/jobs?status=failed&queue=a%20b", "/jobs/01J"] {
            assert_eq!(next(ours), ours);
        }
        for other in [
            "",
            "jobs",
            "//elsewhere.example",
            "/\\elsewhere.example",
            "https://elsewhere.example",
            "/a b",
            "/\r\n",
        ] {
            assert_eq!(next(other), "/", "{other:?}");
        }
    }
}
