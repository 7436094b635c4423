//! Reading requests, strictly, with refusals that name the fault.

mod body;
mod document;
mod object;
mod query;
mod value;

pub(crate) use body::{Body, MaybeBody, RawBody, parse};
pub(crate) use document::{Document, document};
pub(crate) use object::{Objects, object};
pub(crate) use query::{Empty, Id, Ids, Parameters};
pub(crate) use value::{moment, some_text, statuses, whole};
