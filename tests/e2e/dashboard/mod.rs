//! The dashboard, as a browser without scripts meets it: requests, redirects, forms.

mod doing;
mod hostile;
mod session;
mod visitor;

use visitor::{Page, Visitor};
