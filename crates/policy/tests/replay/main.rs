//! Policies tried on what happened, and limits advised by it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod advice;
mod prediction;
mod simulation;
mod tape;
