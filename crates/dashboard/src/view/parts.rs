//! Parts that several pages are made of.

use maud::{Markup, html};
use reclaimer_domain::id::JobId;

use super::untrusted::shown;
use super::words::NAME;
use crate::fields::segment;

/// A part of a page that the script fetches again from `from` when one of `events` comes in, no more often than once a
/// second.
pub(crate) fn live(id: &str, events: &str, from: &str, content: &Markup) -> Markup {
    html! { div id=(id) data-live=(events) data-from=(from) { (content) } }
}

/// Where a job's page is.
pub(crate) fn job_href(id: &str) -> String {
    format!("/jobs/{}", segment(id))
}

/// A job by its name, as a link.
pub(crate) fn job_link(id: &JobId) -> Markup {
    html! { a.id href=(job_href(id.as_str())) { (shown(id.as_str(), NAME)) } }
}

/// A table that scrolls by itself where it is too wide.
pub(crate) fn table(name: &str, head: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll role="group" aria-label=(name) tabindex="0" {
            table {
                thead { tr { @for cell in head { th scope="col" { (cell) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

/// What a list says that has nothing to show.
pub(crate) fn nothing(text: &str) -> Markup {
    html! { p.empty { (text) } }
}
