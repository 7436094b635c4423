//! End-to-end tests: the real binary, real files, real child processes, the `sqlite3` program.
//!
//! `tests/run` builds the binary and brings what else is needed.

mod architecture;
mod bad_requests;
mod broken_rows;
mod crash;
mod fencing;
mod life;
mod recovery;
mod rig;
mod sql;
mod storage;
