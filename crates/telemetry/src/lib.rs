#![doc = include_str!("../README.md")]

mod catalogue;
mod labels;
mod metrics;
mod observed;
mod spans;
mod tally;

pub use catalogue::{Kind, METRICS, Metric};
pub use metrics::{CONTENT_TYPE, Metrics};
pub use observed::Observed;
pub use spans::{Request, Spans};
