//! The dashboard, as a browser without scripts meets it: requests, redirects, forms.

mod doing;
mod hostile;
mod plans;
mod recovering;
mod session;
mod visitor;
mod watching;

use visitor::{Page, Visitor};
