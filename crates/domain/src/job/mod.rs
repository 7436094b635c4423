//! A job: its record, its states, its lease, and everything that may happen to it.
//!
//! [`Job`] is the row. [`status`] is the table of states. [`lifecycle`] holds one function per thing that happens to a
//! job: it checks [`Status::after`], changes the record, and returns what history has to say about it. Stores load a
//! job, call such a function, and write the result back under a guard; they decide nothing themselves.

mod counter;
mod late;
mod lease;
pub mod lifecycle;
mod new;
mod priority;
mod record;
mod recover;
pub mod report;
mod set_aside;
pub mod status;
mod undo;

pub use counter::{Counter, Counts, Reset, UnknownCounter};
pub use late::{LateReport, LateResult, MAX_LATE_RESULT, MAX_LATE_RESULTS, Stale};
pub use lease::{EndedLease, Lease, LeaseToken};
pub use new::{InvalidJob, NewJob, SpawnIntent, is_path};
pub use priority::{InvalidPriority, Priority};
pub use record::{Job, Progress};
pub use status::{IllegalTransition, Status, StatusEvent, UnknownStatus};
pub use undo::NotUndone;
