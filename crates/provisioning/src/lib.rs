#![doc = include_str!("../README.md")]

mod arrivals;
mod config;
mod create;
mod credentials;
mod delivery;
mod open;
mod report;
mod report_all;
mod service;

pub use arrivals::Arrivals;
pub use config::Config;
pub use create::{CreateError, DiscoveryOptions, idempotency};
pub use credentials::{CredentialsError, FreshAnswer};
pub use open::Want;
pub use report::HeldJob;
pub use report_all::Reported;
pub use service::{Deps, Provisioning};
