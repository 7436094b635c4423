//! Reading requests, strictly, with refusals that name the fault.

mod body;
mod query;

pub(crate) use body::{Body, MaybeBody};
pub(crate) use query::{Empty, Id, Parameters};
