//! Where messages go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reclaimer_domain::alert::AlertMessage;
use reclaimer_domain::ports::Clock;
use reclaimer_domain::secret::Secret;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use url::Url;

use crate::signature::sign;
use crate::text::body;

/// A receiver that takes longer than this did not take the message.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes messages to their receiver.
#[async_trait]
pub trait Courier: Send + Sync + fmt::Debug {
    /// Where messages go, without what is secret of it.
    fn target(&self) -> String;

    /// Sends a message, once. Whether it counts as received when the answer is lost, nobody can know: the receiver tells a
    /// repetition by the message's id.
    async fn deliver(&self, message: &AlertMessage) -> Result<(), Undelivered>;
}

/// The receiver did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Undelivered {
    /// Why; carries nothing of the address and nothing that the receiver said.
    pub why: String,
    /// When the receiver wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// Why a webhook cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// The address is none that messages can be posted to.
    #[error("the webhook's address is no http or https URL")]
    Address,
    /// The TLS library of this machine cannot be used.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Posts messages to a URL.
#[derive(Debug)]
pub struct Webhook {
    http: reqwest::Client,
    /// With services like Slack's, whoever knows it can post.
    url: Secret,
    target: String,
    secret: Option<Secret>,
    server: String,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// A webhook at `url`, whose messages are signed with `secret` and come from `server`.
    ///
    /// # Errors
    /// When the URL is none, or no HTTP client can be made.
    pub fn try_new(
        url: Secret,
        secret: Option<Secret>,
        server: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidWebhook> {
        let parsed: Url = url.expose().parse().map_err(|_| InvalidWebhook::Address)?;
        let (Some(host), "http" | "https") = (parsed.host_str(), parsed.scheme()) else {
            return Err(InvalidWebhook::Address);
        };
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        let target = format!("{}://{host}{port}/…", parsed.scheme());
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(InvalidWebhook::Client)?;
        Ok(Self { http, url, target, secret, server, clock })
    }
}

#[async_trait]
impl Courier for Webhook {
    fn target(&self) -> String {
        self.target.clone()
    }

    async fn deliver(&self, message: &AlertMessage) -> Result<(), Undelivered> {
        let body = body(message, &self.server).to_string();
        let timestamp = self.clock.now().timestamp();
        let mut request = self
            .http
            .post(self.url.expose())
            .header(CONTENT_TYPE, "application/json")
            .header("x-reclaimer-delivery", &message.id)
            .header("x-reclaimer-timestamp", timestamp);
        if let Some(secret) = &self.secret {
            request = request.header("x-reclaimer-signature", sign(secret, timestamp, body.as_bytes()));
        }
        let answer = request.body(body).send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Undelivered { why: refused(status), retry_after: seconds.map(Duration::from_secs) })
    }
}

fn unreachable(error: reqwest::Error) -> Undelivered {
    let what = if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_connect() {
        "the receiver cannot be reached"
    } else {
        "the connection to the receiver broke"
    };
    // The library's own words may name the address; what lies beneath is the system's, or TLS's.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(beneath) = cause.source() {
        cause = beneath;
    }
    let cause = if cause.is::<reqwest::Error>() { String::new() } else { format!(": {cause}") };
    Undelivered { why: format!("{what}{cause}"), retry_after: None }
}

fn refused(status: StatusCode) -> String {
    match status.as_u16() {
        300..=399 => format!("the receiver answered {status}: it has moved; set its new address"),
        401 | 403 | 404 | 410 => format!("the receiver answered {status}: check the address and the secret"),
        _ => format!("the receiver answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reclaimer_testkit::ManualClock;

    fn webhook(url: &str) -> Result<Webhook, InvalidWebhook> {
        let clock = Arc::new(ManualClock::default());
        Webhook::try_new(Secret::new(url), Some(Secret::new("sesame")), "host".to_owned(), clock)
    }

    #[test]
    fn nothing_secret_of_an_address_is_shown() {
        let webhook = webhook("https://user:pass@hooks.example:8443/services/T0/B0/token?x=1").unwrap();
        assert_eq!(webhook.target(), "https://hooks.example:8443/…");
        let shown = format!("{webhook:?}");
        assert!(!["token", "pass@", "sesame"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    #[tokio::test]
    async fn why_a_receiver_is_not_reached_is_said_without_its_address() {
        let webhook = webhook("http://127.0.0.1:1/services/token").unwrap();
        let incident = reclaimer_domain::alert::Incident {
            id: "i".to_owned(),
            rule: "r".to_owned(),
            subject: "s".to_owned(),
            what: "w".to_owned(),
            since: reclaimer_testkit::noon(),
            opened_at: reclaimer_testkit::noon(),
            told_at: reclaimer_testkit::noon(),
            resolved_at: None,
        };
        let event = reclaimer_domain::alert::AlertEvent::Opened;
        let message = crate::watch::message(event, incident, reclaimer_testkit::noon(), "m".to_owned());
        let why = webhook.deliver(&message).await.unwrap_err().why;
        assert!(why.starts_with("the receiver cannot be reached: "), "{why}");
        assert!(why.contains("refused") && !why.contains("token"), "{why}");
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["", "hooks.example/x", "mailto:a@b", "ftp://x/"] {
            assert!(matches!(webhook(url), Err(InvalidWebhook::Address)), "{url}");
        }
    }
}
