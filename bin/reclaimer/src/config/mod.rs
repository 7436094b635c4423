//! Configuration: built-in defaults, then a file, the environment and flags, each over the one before.
//!
//! [`Settings`] are plain data, [`keys`] is the list of everything that can be set, [`sources`] reads where it is set,
//! and [`load()`] puts them together and refuses what is wrong with the place where it stands.

pub(crate) mod alerts;
mod check;
mod fleet;
mod health;
mod keys;
mod load;
mod settings;
mod show;
mod sources;
mod words;

pub(crate) use fleet::{Mode, OnExhausted, Restart, Worker};
pub(crate) use load::{Flags, Loaded, load};
pub(crate) use settings::{LogFormat, Masked, Provider, Recovery, Settings};
pub(crate) use show::shown;
