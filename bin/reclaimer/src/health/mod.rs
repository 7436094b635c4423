//! The server's health: observed here, judged by the crate of that name.
//!
//! [`Ledger`] keeps what the store tells of; [`Observer`] looks at everything else when somebody asks, at most once a
//! second, however many ask; [`Counted`] writes that down beside what was counted.

mod counted;
mod database;
mod ledger;
mod observer;

pub(crate) use self::counted::Counted;
pub(crate) use self::ledger::Ledger;
pub(crate) use self::observer::{Deps, Observer};
