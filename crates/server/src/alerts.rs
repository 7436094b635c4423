//! What the API shows of alerts, and what it asks of whoever sends them. Such a one implements [`Alerting`]; a server that
//! tells nobody uses [`NoAlerts`].

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::alert::{AlertMessage, Incident};
use reclaimer_domain::time::{millis, millis_option};
use serde::Serialize;
use utoipa::ToSchema;

/// Finds incidents and tells people of them.
#[async_trait]
pub trait Alerting: Send + Sync + fmt::Debug {
    /// How it stands.
    fn view(&self) -> AlertsView;

    /// Sends a test message now, and answers once it was taken. It is not tried again.
    ///
    /// # Errors
    /// When there is nowhere to send it, or nobody took it.
    async fn test(&self) -> Result<MessageShape, TestFailed>;
}

/// Why a test message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestFailed {
    /// There is nowhere to send it.
    #[error("no webhook is set: set `alerts.webhook_url`, and start the server again")]
    NoWebhook,
    /// The receiver did not take it, and why.
    #[error("the test message did not arrive: {0}")]
    Undelivered(String),
}

/// Alerts, now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertsView {
    /// Where messages go, without what is secret of the address; `null` = nowhere.
    pub target: Option<String>,
    /// The names of the rules by which incidents are found.
    pub rules: Vec<String>,
    /// Incidents that last, the oldest first.
    pub incidents: Vec<IncidentShape>,
    /// Messages that wait to be sent, and the last of the others, newest first.
    pub messages: Vec<MessageShape>,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentShape {
    /// Names it; all its messages carry this.
    pub id: String,
    /// The rule that found it.
    pub rule: String,
    /// What it is about: a link, a process, a loop, the queues, or the database.
    pub subject: String,
    /// What there is to say, in one sentence.
    pub what: String,
    /// Since when it has been so.
    #[serde(with = "millis")]
    pub since: DateTime<Utc>,
    /// When the rule found that it had been so for long enough.
    #[serde(with = "millis")]
    pub opened_at: DateTime<Utc>,
    /// When it was over; `null` while it lasts.
    #[serde(with = "millis_option")]
    pub resolved_at: Option<DateTime<Utc>>,
}

impl From<Incident> for IncidentShape {
    fn from(incident: Incident) -> Self {
        let Incident { id, rule, subject, what, since, opened_at, resolved_at, told_at: _ } = incident;
        Self { id, rule, subject, what, since, opened_at, resolved_at }
    }
}

/// A message, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageShape {
    /// Names it, however often it is sent: the header `x-reclaimer-delivery`.
    pub id: String,
    /// `opened`, `reminder`, `resolved` or `test`.
    pub event: &'static str,
    /// Of what, as it then was.
    pub incident: IncidentShape,
    /// When it was made.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// `waiting`, `delivered` or `given_up`.
    pub fate: &'static str,
    /// How often sending it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl From<AlertMessage> for MessageShape {
    fn from(message: AlertMessage) -> Self {
        let AlertMessage { id, event, incident, at, attempts, last_error, fate, next_attempt_at: _ } =
            message;
        let (event, fate, incident) = (event.as_str(), fate.as_str(), incident.into());
        Self { id, event, incident, at, fate, attempts, last_error }
    }
}

/// Nobody is told of anything.
#[derive(Debug, Clone, Copy)]
pub struct NoAlerts;

#[async_trait]
impl Alerting for NoAlerts {
    fn view(&self) -> AlertsView {
        AlertsView::default()
    }

    async fn test(&self) -> Result<MessageShape, TestFailed> {
        Err(TestFailed::NoWebhook)
    }
}
