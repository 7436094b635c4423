#![doc = include_str!("../README.md")]

mod accounts;
mod actions;
mod alerts;
mod assets;
mod failure;
mod fields;
mod guard;
mod history;
mod job;
mod jobs;
mod login;
mod overview;
mod policy;
mod queues;
mod recovery;
mod routes;
mod state;
mod view;
mod workers;

pub use history::History;
pub use routes::router;
pub use state::Deps;
