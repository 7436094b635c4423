//! Incidents, and the messages that tell people of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::time::{millis, millis_option};

/// Something that a person should look at, from when a rule found it to when it was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Names it; all its messages carry this.
    pub id: String,
    /// The rule that found it. With the subject it tells incidents apart: there is one of a kind at a time.
    pub rule: String,
    /// What it is about: a link, a process, a loop, or the database.
    pub subject: String,
    /// What there is to say, in one sentence.
    pub what: String,
    /// Since when it has been so.
    #[serde(with = "millis")]
    pub since: DateTime<Utc>,
    /// When the rule found that it had been so for long enough.
    #[serde(with = "millis")]
    pub opened_at: DateTime<Utc>,
    /// When people were last told of it.
    #[serde(with = "millis")]
    pub told_at: DateTime<Utc>,
    /// When it was over; `None` while it lasts.
    #[serde(with = "millis_option")]
    pub resolved_at: Option<DateTime<Utc>>,
}

/// What a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    /// An incident began.
    Opened,
    /// It still lasts.
    Reminder,
    /// It is over.
    Resolved,
    /// Nothing happened: a person tries whether messages arrive.
    Test,
}

impl AlertEvent {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// A message about an incident, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertMessage {
    /// Names it, however often it is sent. Ids sort in the order in which messages were made.
    pub id: String,
    /// What it tells.
    pub event: AlertEvent,
    /// Of what, as it then was.
    pub incident: Incident,
    /// When it was made.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// How often sending it was tried.
    pub attempts: u32,
    /// When it is to be tried next.
    #[serde(with = "millis")]
    pub next_attempt_at: DateTime<Utc>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Whether more will be done about it, and if not, how it ended.
    pub fate: MessageFate,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageFate {
    /// It is to be sent.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// Nobody took it for so long that it is sent no more.
    GivenUp,
}

impl MessageFate {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }
}

/// All that alerting must not forget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertState {
    /// Incidents that last, and those over whose cooldown still runs.
    pub incidents: Vec<Incident>,
    /// Messages that wait to be sent, and the last of the others, oldest first.
    pub messages: Vec<AlertMessage>,
}
