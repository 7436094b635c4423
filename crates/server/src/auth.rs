//! Who calls, and whether they may.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::code;
use crate::problem::Problem;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Admin,
    Worker,
    /// It showed something, and that was wrong.
    Wrong,
    /// It showed nothing.
    Nobody,
}

impl Auth {
    fn caller(&self, request: &Request) -> Caller {
        if let Some(value) = request.headers().get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|text| {
                let (scheme, token) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            let Some(token) = token else { return Caller::Wrong };
            let digest = Sha256::digest(token.as_bytes());
            // Every known digest is compared, in constant time each.
            let known = |digests: &[[u8; 32]]| {
                digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&digest[..]))
            };
            let (admin, worker) = (known(&self.admin), known(&self.worker));
            return match (bool::from(admin), bool::from(worker)) {
                (true, _) => Caller::Admin,
                (false, true) => Caller::Worker,
                (false, false) => Caller::Wrong,
            };
        }
        match request.extensions().get::<Peer>() {
            Some(Peer::Unix { uid }) if self.socket_uids.contains(uid) => Caller::Worker,
            Some(Peer::Unix { .. }) => Caller::Wrong,
            Some(Peer::Tcp(_)) | None => Caller::Nobody,
        }
    }
}

/// Lets workers, producers and admins through.
pub(crate) async fn worker(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.config.auth.caller(&request) {
        Caller::Admin | Caller::Worker => next.run(request).await,
        Caller::Wrong => unauthorized("the token is not valid here, nor may this user call over the socket"),
        Caller::Nobody => unauthorized("a worker token is needed: `Authorization: Bearer <token>`"),
    }
}

/// Lets admins through.
pub(crate) async fn admin(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.config.auth.caller(&request) {
        Caller::Admin => next.run(request).await,
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

fn unauthorized(detail: &str) -> Response {
    Problem::new(StatusCode::UNAUTHORIZED, code::UNAUTHORIZED, detail)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"reclaimer\""))
        .into_response()
}
