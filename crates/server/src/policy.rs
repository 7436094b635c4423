//! What the API shows of the recovery policy, and what it asks of whoever reads it from a file. Such a one implements
//! [`PolicySource`]; a server whose policy is code uses [`FixedPolicy`].

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::time::millis;
use reclaimer_policy::file::Finding;
use reclaimer_policy::{Policy, Rule};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Where the policy in force comes from.
#[async_trait]
pub trait PolicySource: Send + Sync + fmt::Debug {
    /// The policy in force, now.
    fn view(&self) -> PolicyView;

    /// Reads the policy anew and puts it in force, or leaves the one that is.
    ///
    /// # Errors
    /// When there is nothing to read it from, or what is read is no policy.
    async fn reload(&self) -> Result<PolicyView, ReloadError>;
}

/// Why the policy in force stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It was not read from a file.
    #[error("no policy file is configured: set `recovery.policy`, and start the server again")]
    NoFile,
    /// The file cannot be used.
    #[error("{message}; the policy {in_force} stays in force")]
    Refused {
        /// What is wrong with it, each place with its line.
        message: String,
        /// The hash of the policy that stays.
        in_force: String,
    },
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// Tells it from others; every decision carries it.
    pub hash: String,
    /// The file it was read from; `null` = none, the built-in rules alone hold.
    pub file: Option<String>,
    /// Since when it is in force.
    #[serde(with = "millis")]
    pub since: DateTime<Utc>,
    /// What holds where a rule does not say otherwise, with the keys of a policy file.
    #[schema(value_type = Object)]
    pub defaults: Value,
    /// The rules in the order in which they are tried, with the keys of a policy file, and beside them `origin`
    /// (`builtin`, `file` or `code`) and the `line` where a rule of the file stands.
    #[schema(value_type = Vec<Object>)]
    pub rules: Vec<Value>,
    /// What the author of the file probably did not mean.
    #[schema(value_type = Vec<crate::described::PolicyFinding>)]
    pub warnings: Vec<Finding>,
    /// The last attempt to put another in its place, if that was refused.
    pub refused: Option<RefusedPolicy>,
}

/// A policy file that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedPolicy {
    /// When.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// Why.
    pub message: String,
    /// What is wrong with it, in the order of lines; empty when it could not be read at all.
    #[schema(value_type = Vec<crate::described::PolicyFinding>)]
    pub findings: Vec<Finding>,
}

impl PolicyView {
    /// A policy that is in force since then, and was read from no file.
    #[must_use]
    pub fn of(policy: &Policy, since: DateTime<Utc>) -> Self {
        Self {
            hash: policy.hash().to_string(),
            file: None,
            since,
            defaults: serde_json::to_value(policy.defaults()).unwrap_or_default(),
            rules: policy.rules().map(shown).collect(),
            warnings: Vec::new(),
            refused: None,
        }
    }
}

/// A rule as it stands in a policy file, and where it comes from.
fn shown(rule: &Rule) -> Value {
    let mut shown = serde_json::to_value(rule).unwrap_or_default();
    shown["origin"] = rule.origin.as_str().into();
    if let Some(line) = rule.origin.line() {
        shown["line"] = line.into();
    }
    shown
}

/// A policy that the program itself put in force.
#[derive(Debug, Clone)]
pub struct FixedPolicy {
    recovery: reclaimer_recovery::Handle,
    since: DateTime<Utc>,
}

impl FixedPolicy {
    /// Shows the policy of this engine, which is in force since then.
    #[must_use]
    pub fn new(recovery: reclaimer_recovery::Handle, since: DateTime<Utc>) -> Self {
        Self { recovery, since }
    }
}

#[async_trait]
impl PolicySource for FixedPolicy {
    fn view(&self) -> PolicyView {
        PolicyView::of(&self.recovery.policy(), self.since)
    }

    async fn reload(&self) -> Result<PolicyView, ReloadError> {
        Err(ReloadError::NoFile)
    }
}
