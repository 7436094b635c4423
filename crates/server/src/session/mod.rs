//! Sessions of the dashboard: logging in with the admin token, the cookie, and the token that every form carries.
//!
//! A cookie is sent by the browser whoever made the request, so it alone changes nothing: whatever has an effect must
//! carry the session's CSRF token as well, which no other page can read.

mod table;
mod throttle;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use rand::Rng;
use rand::rngs::StdRng;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::auth::{Peer, digest, is_known};
use table::{Key, Table, key_of};
use throttle::{Throttle, Who};

/// The cookie's name.
const COOKIE: &str = "reclaimer_session";

/// The header by which a program that uses a session's cookie shows the session's CSRF token.
pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// The sessions of one server. They live in its memory: a restart ends them all.
pub struct Sessions {
    admin: Vec<[u8; 32]>,
    inner: Mutex<Inner>,
}

struct Inner {
    table: Table,
    throttle: Throttle,
    rng: StdRng,
}

/// An open session, as a request shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    key: Key,
    csrf: [u8; 32],
}

/// Why nobody was logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// The token is none that admins have.
    #[error(
        "this is not the admin token; it is in the file `admin.token` of the data folder, unless the settings name another"
    )]
    WrongToken,
    /// Too many attempts failed.
    #[error("too many attempts failed; try again in {} s", whole_seconds(*wait))]
    TooOften {
        /// How long the next attempt must wait.
        wait: Duration,
    },
}

/// A wait in whole seconds, rounded up: what `Retry-After` takes.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(***)")
    }
}

impl Sessions {
    /// No session yet. `admin` are the SHA-256 digests of the tokens that open one; `rng` must be one that nobody can
    /// guess.
    #[must_use]
    pub fn new(admin: Vec<[u8; 32]>, rng: StdRng) -> Self {
        let inner = Inner { table: Table::default(), throttle: Throttle::default(), rng };
        Self { admin, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session for whoever shows an admin token; answers the value of the header `set-cookie`.
    ///
    /// The cookie is `HttpOnly` and `SameSite=Strict`. It is not `Secure`, since the server speaks plain HTTP itself: a
    /// proxy that adds TLS can add that word too.
    ///
    /// # Errors
    /// When the token is wrong, or too many were.
    pub fn log_in(&self, peer: Option<Peer>, token: &str, now: Instant) -> Result<String, LoginRefused> {
        let who = Who::from(peer);
        let inner = &mut *self.inner();
        if let Some(wait) = inner.throttle.wait(who, now) {
            return Err(LoginRefused::TooOften { wait });
        }
        if !bool::from(is_known(&self.admin, &digest(token))) {
            inner.throttle.failed(who, now);
            return Err(LoginRefused::WrongToken);
        }
        inner.throttle.succeeded(who);
        let (mut id, mut csrf) = ([0; 32], [0; 32]);
        inner.rng.fill_bytes(&mut id);
        inner.rng.fill_bytes(&mut csrf);
        inner.table.open(&id, csrf, now);
        Ok(cookie(&hex::encode(id), table::LONGEST))
    }

    /// The session whose cookie these headers carry, if it is open. That counts as using it.
    pub fn find(&self, headers: &HeaderMap, now: Instant) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim() == COOKIE)?;
        let mut id = [0; 32];
        hex::decode_to_slice(value.trim(), &mut id).ok()?;
        let key = key_of(&id);
        let csrf = self.inner().table.touch(&key, now)?;
        Some(Session { key, csrf })
    }

    /// Ends a session; answers the value of the header `set-cookie` that makes the browser forget it.
    pub fn log_out(&self, session: &Session) -> String {
        self.inner().table.close(&session.key);
        cookie("", Duration::ZERO)
    }

    /// Keeps what the session's next page is to say at its top: what became of an order, after a redirect.
    pub fn leave_notice(&self, session: &Session, notice: String) {
        if let Some(place) = self.inner().table.notice(&session.key) {
            *place = Some(notice);
        }
    }

    /// Takes what was left for the next page.
    pub fn take_notice(&self, session: &Session) -> Option<String> {
        self.inner().table.notice(&session.key)?.take()
    }
}

impl Session {
    /// What every form of this session carries.
    #[must_use]
    pub fn csrf(&self) -> String {
        hex::encode(self.csrf)
    }

    /// Whether this is the session's CSRF token; compared in constant time.
    #[must_use]
    pub fn accepts(&self, csrf: &str) -> bool {
        let mut shown = [0; 32];
        hex::decode_to_slice(csrf, &mut shown).is_ok() && shown.ct_eq(&self.csrf).into()
    }

    /// Whether these headers carry the session's CSRF token.
    pub(crate) fn accepts_header(&self, headers: &HeaderMap) -> bool {
        headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).is_some_and(|csrf| self.accepts(csrf))
    }
}

fn cookie(value: &str, lasts: Duration) -> String {
    format!("{COOKIE}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", lasts.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use sha2::{Digest, Sha256};

    fn sessions() -> Sessions {
        Sessions::new(vec![Sha256::digest("right").into()], StdRng::seed_from_u64(7))
    }

    fn headers(cookie: &str) -> HeaderMap {
        [(header::COOKIE, cookie.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn the_cookie_of_a_login_opens_the_session_and_nothing_else_does() {
        let (sessions, now) = (sessions(), Instant::now());
        let set = sessions.log_in(None, "right", now).unwrap();
        let (pair, flags) = set.split_once("; ").unwrap();
        assert_eq!(flags, "Path=/; Max-Age=604800; HttpOnly; SameSite=Strict");
        let session = sessions.find(&headers(&format!("a=b; {pair}; c=d")), now).unwrap();
        assert!(session.accepts(&session.csrf()));
        let id = pair.split_once('=').unwrap().1;
        assert_eq!(id.len(), 64);
        assert!(!session.accepts(id), "the cookie is no CSRF token");
        for other in
            ["", "reclaimer_session=", "reclaimer_session=00", &format!("x{pair}"), &pair[..pair.len() - 1]]
        {
            assert_eq!(sessions.find(&headers(other), now), None, "{other}");
        }
        assert_eq!(sessions.find(&HeaderMap::new(), now), None);
        assert!(sessions.log_out(&session).contains("Max-Age=0"));
        assert_eq!(sessions.find(&headers(pair), now), None);
    }

    #[test]
    fn a_csrf_token_is_of_one_session() {
        let (sessions, now) = (sessions(), Instant::now());
        let [one, other] = [(); 2].map(|()| {
            let set = sessions.log_in(None, "right", now).unwrap();
            sessions.find(&headers(set.split_once(';').unwrap().0), now).unwrap()
        });
        assert!(!one.accepts(&other.csrf()));
        for wrong in ["", "0", &one.csrf()[..62], &format!("{}00", one.csrf())] {
            assert!(!one.accepts(wrong), "{wrong}");
        }
        let shown: HeaderMap = [(CSRF_HEADER, one.csrf().parse().unwrap())].into_iter().collect();
        assert!(one.accepts_header(&shown) && !other.accepts_header(&shown));
        assert!(!one.accepts_header(&HeaderMap::new()));
    }

    #[test]
    fn whoever_guesses_waits_even_with_the_right_token() {
        let (sessions, now) = (sessions(), Instant::now());
        let peer = Some(Peer::Tcp("10.0.0.1:1".parse().unwrap()));
        for _ in 0..3 {
            assert_eq!(sessions.log_in(peer, "wrong", now), Err(LoginRefused::WrongToken));
        }
        let wait = Duration::from_secs(1);
        assert_eq!(sessions.log_in(peer, "right", now), Err(LoginRefused::TooOften { wait }));
        assert!(sessions.log_in(Some(Peer::Unix { uid: 1 }), "right", now).is_ok(), "others need not wait");
        assert!(sessions.log_in(peer, "right", now + wait).is_ok());
        assert_eq!(sessions.log_in(peer, "wrong", now + wait), Err(LoginRefused::WrongToken));
    }

    #[test]
    fn a_notice_is_said_once() {
        let (sessions, now) = (sessions(), Instant::now());
        let set = sessions.log_in(None, "right", now).unwrap();
        let session = sessions.find(&headers(set.split_once(';').unwrap().0), now).unwrap();
        assert_eq!(sessions.take_notice(&session), None);
        sessions.leave_notice(&session, "done".to_owned());
        assert_eq!(sessions.take_notice(&session).as_deref(), Some("done"));
        assert_eq!(sessions.take_notice(&session), None);
    }

    #[test]
    fn neither_a_session_nor_the_sessions_show_what_is_secret() {
        let (sessions, now) = (sessions(), Instant::now());
        let set = sessions.log_in(None, "right", now).unwrap();
        let session = sessions.find(&headers(set.split_once(';').unwrap().0), now).unwrap();
        assert_eq!(format!("{session:?} {sessions:?}"), "Session(***) Sessions { .. }");
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let seconds = [0, 1, 1_000, 1_001].map(|millis| whole_seconds(Duration::from_millis(millis)));
        assert_eq!(seconds, [0, 1, 1, 2]);
    }
}
