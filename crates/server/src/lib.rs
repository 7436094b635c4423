#![doc = include_str!("../README.md")]

pub mod alerts;
mod auth;
mod code;
mod described;
mod extract;
pub mod fleet;
mod host;
mod listen;
mod metrics;
pub mod policy;
mod problem;
mod request_id;
mod routes;
mod serve;
pub mod session;
mod shapes;
mod state;

pub use auth::{Auth, Peer};
pub use listen::{Address, BindError, InvalidAddress, Listeners, bind_unix};
pub use metrics::{Answered, MetricsPage, MetricsSource};
pub use problem::Problem;
pub use routes::{openapi, router};
pub use serve::{Limits, Served, serve};
pub use state::{Config, Deps};
