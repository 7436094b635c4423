//! Accounts: whose credentials hold. What is secret of them is never shown.

use axum::extract::State;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_domain::account::Account;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::AccountId;

use crate::failure::Failure;
use crate::fields::{Link, Query};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen};
use crate::view::parts::{nothing, table};
use crate::view::untrusted::shown;
use crate::view::words::{NAME, moment, sign};

/// Accounts on one page.
const PART: u32 = 50;

/// `GET /accounts`
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let after: Option<AccountId> = fields.parsed("after")?;
    let (page, now) = (app.accounts.accounts(after.clone(), PART).await?, app.clock.now());
    let rows: Vec<Vec<Markup>> = page.items.iter().map(|account| row(account, now)).collect();
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href="/workers" { "Workers" } }
        h1 { "Accounts" }
        p { "Jobs that name an account get its credentials with them. Recovery lets a job wait whose account does not hold. "
            "Accounts are set with " code { "reclaimer accounts set" } " or " code { "PUT /api/admin/accounts/{id}" } "." }
        @if rows.is_empty() { (nothing("There is no account.")) } @else {
            (table("Accounts", &["Account", "Provider", "Holds", "Access token", "Refresh token", "Last set"], &rows))
        }
        nav.pager aria-label="Parts of the list" {
            @if after.is_some() { a href="/accounts" rel="first" { "From the beginning" } }
            @if let Some(next) = &page.next {
                a href=(Link::to("/accounts").with("after", next.as_str()).href()) rel="next" { "More" }
            }
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Workers, "Accounts", &body))
}

fn row(it: &Account, now: DateTime<Utc>) -> Vec<Markup> {
    let (class, status, word) = if it.is_valid(now) {
        ("is-finished", Status::Finished, "Yes")
    } else {
        ("is-failed", Status::Failed, "No")
    };
    let jobs = Link::to("/jobs").with("account", it.id.as_str()).href();
    vec![
        html! { a.name href=(jobs) { (shown(it.id.as_str(), NAME)) } p.sub { "user " (shown(&it.user_id, NAME)) } },
        shown(it.provider.as_str(), NAME),
        html! { span class={ "badge " (class) } { (sign(status)) (word) } },
        token(it.access_token.is_some(), it.access_token_expires_at, now),
        token(it.refresh_token.is_some(), it.refresh_token_expires_at, now),
        moment(it.updated_at, now),
    ]
}

fn token(is_there: bool, ends: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    html! {
        @match (is_there, ends) {
            (false, _) => "none",
            (true, None) => "does not end",
            (true, Some(at)) if at > now => { "ends " (moment(at, now)) }
            (true, Some(at)) => { "ended " (moment(at, now)) }
        }
    }
}
