//! Shapes that go to workers and come from them, the same over HTTP and over a socket.

mod job;
mod report;

pub use job::{Credentials, JobOnTheWire, LeaseOnTheWire};
pub use report::{InvalidReport, MAX_AREAS, MAX_EXTRA, read_report, salvage_report};
