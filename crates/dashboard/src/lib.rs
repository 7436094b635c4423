#![doc = include_str!("../README.md")]

mod actions;
mod assets;
mod failure;
mod fields;
mod guard;
mod job;
mod jobs;
mod login;
mod overview;
mod queues;
mod routes;
mod state;
mod view;

pub use routes::router;
pub use state::Deps;
