//! Who calls, and whether they may.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::time::Instant;

use crate::code;
use crate::problem::Problem;
use crate::session::{CSRF_HEADER, Session, Sessions};
use crate::state::App;

/// Who may call. Tokens are known by their SHA-256 alone; several of a kind are valid at once, so that they can be
/// changed without an interruption.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// Digests of admin tokens.
    pub admin: Vec<[u8; 32]>,
    /// Digests of worker tokens.
    pub worker: Vec<[u8; 32]>,
    /// Users who may call over a Unix socket, as workers.
    pub socket_uids: Vec<u32>,
}

/// Where a request comes from: put into its extensions by whoever accepted the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket, from a process of this user.
    Unix {
        /// The user's id, as the kernel tells it.
        uid: u32,
    },
}

/// What a caller has shown itself to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    Admin,
    Worker,
    /// Somebody who is logged in to the dashboard.
    LoggedIn(Session),
    /// It showed something, and that was wrong.
    Wrong,
    /// It showed nothing.
    Nobody,
}

impl Auth {
    fn caller(&self, sessions: &Sessions, request: &Request) -> Caller {
        if let Some(value) = request.headers().get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|text| {
                let (scheme, token) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            let Some(token) = token else { return Caller::Wrong };
            let digest = digest(token);
            let (admin, worker) = (is_known(&self.admin, &digest), is_known(&self.worker, &digest));
            return match (bool::from(admin), bool::from(worker)) {
                (true, _) => Caller::Admin,
                (false, true) => Caller::Worker,
                (false, false) => Caller::Wrong,
            };
        }
        if let Some(session) = sessions.find(request.headers(), Instant::now()) {
            return Caller::LoggedIn(session);
        }
        match request.extensions().get::<Peer>() {
            Some(Peer::Unix { uid }) if self.socket_uids.contains(uid) => Caller::Worker,
            Some(Peer::Unix { .. }) => Caller::Wrong,
            Some(Peer::Tcp(_)) | None => Caller::Nobody,
        }
    }
}

/// By which a token is known.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether this is one of these digests. Every one is compared, in constant time each.
pub(crate) fn is_known(digests: &[[u8; 32]], digest: &[u8; 32]) -> Choice {
    digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&digest[..]))
}

/// Lets workers, producers and admins through. Among what workers call there are reads that have an effect, so a session
/// must show its CSRF token whatever it asks for.
pub(crate) async fn worker(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.config.auth.caller(&app.sessions, &request) {
        Caller::Admin | Caller::Worker => next.run(request).await,
        Caller::LoggedIn(session) if session.accepts_header(request.headers()) => next.run(request).await,
        Caller::LoggedIn(_) => without_csrf(),
        Caller::Wrong => unauthorized("the token is not valid here, nor may this user call over the socket"),
        Caller::Nobody => unauthorized("a worker token is needed: `Authorization: Bearer <token>`"),
    }
}

/// Lets admins through. A session that only reads need not show its CSRF token: a browser's event source cannot.
pub(crate) async fn admin(State(app): State<App>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match app.config.auth.caller(&app.sessions, &request) {
        Caller::Admin => next.run(request).await,
        Caller::LoggedIn(session) if reads || session.accepts_header(request.headers()) => {
            next.run(request).await
        }
        Caller::LoggedIn(_) => without_csrf(),
        Caller::Worker => {
            let detail = "this needs the admin token; the worker's is not enough";
            Problem::new(StatusCode::FORBIDDEN, code::FORBIDDEN, detail).into_response()
        }
        Caller::Wrong => unauthorized("the token is not valid here"),
        Caller::Nobody => unauthorized("the admin token is needed: `Authorization: Bearer <token>`"),
    }
}

/// Lets through whoever may see metrics and health: admins, or anybody where the settings say so.
pub(crate) async fn watcher(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.config.open_metrics {
        return next.run(request).await;
    }
    admin(State(app), request, next).await
}

fn without_csrf() -> Response {
    let detail = format!(
        "the request comes with a session of the dashboard, and without its token: send it as `{CSRF_HEADER}`"
    );
    Problem::new(StatusCode::FORBIDDEN, code::CSRF, detail).into_response()
}

fn unauthorized(detail: &str) -> Response {
    Problem::new(StatusCode::UNAUTHORIZED, code::UNAUTHORIZED, detail)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"reclaimer\""))
        .into_response()
}
