//! End-to-end tests: the real binary, real files, real child processes, the `sqlite3` program.
//!
//! `tests/run` builds the binary and brings what else is needed.

mod alerts;
mod architecture;
mod bad_requests;
mod bench;
mod broken_rows;
mod browser;
mod by_hand;
mod command_line;
mod configuration;
mod crash;
mod crawlers;
mod dashboard;
mod demo;
mod examples;
mod fencing;
mod flushed;
mod health;
mod in_order;
mod life;
mod link;
mod live;
mod metrics;
mod next_jobs;
mod operating;
mod ops;
mod policy;
mod policy_past;
mod privacy;
mod recovery;
mod retention;
mod rig;
mod second_thoughts;
mod sockets;
mod sql;
mod storage;
mod supervised;
mod systemd;
mod top;
mod traces;
