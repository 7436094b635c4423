//! Rules: what they match, what they require, what they do. A rule serialises to what stands in a policy file.

use std::time::Duration;

use reclaimer_domain::decision::{Requirement, StuckSign};
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{Priority, Status};
use reclaimer_domain::name::{QueueName, RuleName};
use serde::{Serialize, Serializer};

use crate::backoff::Backoff;
use crate::words;

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// Its name, which every decision carries.
    pub name: RuleName,
    /// Which jobs it is about.
    #[serde(rename = "match", skip_serializing_if = "Match::is_empty")]
    pub when: Match,
    /// What must hold before it queues a job again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Requirement>,
    /// What it does.
    #[serde(rename = "action")]
    pub effect: Effect,
    /// Into which queue a recovered job goes; `None` = its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
    /// The priority of recovered jobs; `None` = as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The delay before a recovered job runs; `None` = the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// How often it recovers one job; `None` = the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_recoveries: Option<u32>,
    /// So many leases lost in a row make a job poison; `None` = as the policy says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poison_after: Option<u32>,
    /// One sentence for people; `None` = made from what the rule saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it comes from.
    #[serde(skip)]
    pub origin: Origin,
}

impl Rule {
    /// A rule that matches every job and does this.
    #[must_use]
    pub fn new(name: RuleName, effect: Effect) -> Self {
        Self {
            name,
            when: Match::default(),
            require: Vec::new(),
            effect,
            queue: None,
            priority: None,
            backoff: None,
            max_recoveries: None,
            poison_after: None,
            reason: None,
            origin: Origin::Code,
        }
    }
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// It is built in.
    Builtin,
    /// It stands in a policy file.
    File {
        /// The line of its name, from 1.
        line: u32,
    },
    /// The embedding program made it.
    #[default]
    Code,
}

impl Origin {
    /// The word in answers: `builtin`, `file` or `code`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::File { .. } => "file",
            Self::Code => "code",
        }
    }

    /// The line of its file, where it has one.
    #[must_use]
    pub fn line(self) -> Option<u32> {
        match self {
            Self::File { line } => Some(line),
            Self::Builtin | Self::Code => None,
        }
    }
}

/// Which jobs a rule is about. Everything that is set must hold; of a list, one entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Its status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What its worker said of trying again.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "retryable")]
    pub retryable: Option<Retryable>,
    /// It is stuck by one of these signs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<StuckSign>,
    /// It was handed out at least so often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_at_least: Option<u32>,
    /// It failed, or its worker was last heard of it, at least so long ago.
    #[serde(skip_serializing_if = "Option::is_none", with = "words::time_option")]
    pub older_than: Option<Duration>,
    /// The number of its priority is lower than this: it runs sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_below: Option<Priority>,
    /// It belongs to one of these queues.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<QueueName>,
    /// Its failure was of one of these types, letter by letter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_type: Vec<String>,
    /// Its command looks like one of these: `*` stands for any text, `?` for one character, `[ab]` for one of them,
    /// `{a,b}` for one of several texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// One of these stands in its error, in any case of letters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_contains: Vec<String>,
    /// This regular expression (syntax of the `regex` crate) matches somewhere in its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_regex: Option<String>,
}

impl Match {
    /// Every key, in the order in which conditions are looked at.
    pub const KEYS: [&str; 11] = [
        "status",
        "retryable",
        "stuck",
        "attempt_at_least",
        "older_than",
        "priority_below",
        "queue",
        "error_type",
        "command",
        "error_contains",
        "error_regex",
    ];

    /// Whether it asks for nothing, and so matches every job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a rule does with a job it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Queue it again.
    Requeue,
    /// Set it aside for a person.
    Quarantine,
    /// Nothing.
    Leave,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 3] = [Self::Requeue, Self::Quarantine, Self::Leave];

    /// The word in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Quarantine => "quarantine",
            Self::Leave => "leave",
        }
    }
}

fn retryable<S: Serializer>(said: &Option<Retryable>, serializer: S) -> Result<S::Ok, S::Error> {
    match said {
        Some(Retryable::Yes) => serializer.serialize_bool(true),
        Some(Retryable::No) => serializer.serialize_bool(false),
        Some(Retryable::AskPolicy) => serializer.serialize_str(words::NOT_SAID),
        None => serializer.serialize_none(),
    }
}
