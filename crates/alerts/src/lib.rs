#![doc = include_str!("../README.md")]

mod alerts;
mod findings;
mod handle;
mod keeper;
mod outbox;
mod rule;
mod sender;
mod signature;
mod text;
mod watch;
mod webhook;

pub use alerts::{Alerts, Config, Deps};
pub use handle::{AlertsHandle, Overview, TestFailed};
pub use outbox::Outbox;
pub use rule::{Condition, Rule};
pub use signature::sign;
pub use watch::{Looked, Terms, Watch};
pub use webhook::{Courier, InvalidWebhook, Undelivered, Webhook};

/// The part of the server that the log names.
const AREA: &str = "JOB-MANAGER";
