#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod account;
pub mod alert;
pub mod area;
pub mod decision;
pub mod history;
pub mod id;
pub mod job;
pub mod name;
pub mod nesting;
pub mod ports;
pub mod recovery;
pub mod saw;
pub mod secret;
pub mod time;
pub mod trace;
pub mod wire;
