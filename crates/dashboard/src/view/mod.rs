//! What pages are made of.

pub(crate) mod chart;
pub(crate) mod layout;
pub(crate) mod parts;
pub(crate) mod untrusted;
pub(crate) mod words;
