//! Names under which the server may be called over TCP.
//!
//! A web page can make a visitor's browser call an address of the visitor's own network under a name of the page's
//! (DNS rebinding). The name stands in the `Host` header, so only known ones are served.

use axum::extract::Request;
use axum::http::{StatusCode, header};

use crate::auth::Peer;
use crate::code;
use crate::problem::Problem;
use crate::state::Config;

/// Names that are always known.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Refuses TCP requests under an unknown name.
pub(crate) fn check(config: &Config, request: &Request) -> Result<(), Problem> {
    if !matches!(request.extensions().get::<Peer>(), Some(Peer::Tcp(_))) {
        return Ok(());
    }
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let name =
        without_port(named.or_else(|| request.uri().authority().map(|it| it.as_str())).unwrap_or_default());
    let known = LOCAL.into_iter().chain(config.allowed_hosts.iter().map(|host| without_port(host)));
    if known.into_iter().any(|host| host.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let shown: String = name.chars().take(128).collect();
    let detail =
        format!("the server is not called `{shown}`; add that name to server.allowed_hosts if it is");
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, code::UNKNOWN_HOST, detail))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The last part of a bare IPv6 address is no port; in a `Host` header it stands in brackets.
        Some((name, port)) if !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_the_name() {
        let names = ["h:80", "h", "[::1]:7400", "[::1]", "1.2.3.4:1"].map(without_port);
        assert_eq!(names, ["h", "h", "[::1]", "[::1]", "1.2.3.4"]);
    }
}
