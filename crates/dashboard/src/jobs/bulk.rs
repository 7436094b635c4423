//! One thing done to many jobs: first what would be done, then doing it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Redirect;
use futures::future::join_all;
use maud::{Markup, html};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Counts;
use reclaimer_domain::ports::{Applied, Bulk, Ineligible, JobRead, Refused, StoreError};

use super::filter::Filter;
use crate::actions::{Action, reset_words};
use crate::failure::Failure;
use crate::fields::{Fields, Form, Query};
use crate::guard::Viewer;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{job_href, table};
use crate::view::untrusted::shown;
use crate::view::words::{NAME, count, number};

/// At most so many jobs at once.
const MOST: u32 = 1_000;

/// At most so many ticked ones: more do not fit on a page.
const MOST_TICKED: usize = 500;

/// Jobs of a preview that are named.
const NAMED: usize = 100;

/// Which jobs.
#[derive(Debug)]
enum Which {
    /// These.
    Ticked(Vec<JobId>),
    /// All of the filter.
    All,
}

#[derive(Debug)]
struct Order {
    filter: Filter,
    action: Action,
    which: Which,
}

/// What was done to each job, or would be.
#[derive(Debug, Default)]
struct Outcome {
    /// Jobs that allow it, those beyond the limit included.
    eligible: u64,
    ineligible: Vec<Ineligible>,
    items: Vec<(String, Result<Counts, String>)>,
    more: bool,
}

impl Order {
    fn read(fields: &Fields) -> Result<Self, Failure> {
        let (filter, action) = (Filter::read(fields)?, Action::of(fields)?);
        if fields.text("all").is_some() {
            return Ok(Self { filter, action, which: Which::All });
        }
        let mut ids: Vec<JobId> = fields.all_parsed("id")?;
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Err(Failure::bad_request("no job is ticked: go back, tick some, and try again"));
        }
        if ids.len() > MOST_TICKED {
            return Err(Failure::bad_request(format!("at most {MOST_TICKED} jobs can be ticked at once")));
        }
        Ok(Self { filter, action, which: Which::Ticked(ids) })
    }

    fn bulk(&self, app: &App, dry_run: bool) -> Bulk {
        Bulk {
            filter: self.filter.0.clone(),
            action: self.action.with(None),
            limit: MOST,
            dry_run,
            actor: Actor::Admin,
            now: app.clock.now(),
        }
    }

    /// What would be done.
    async fn look(&self, app: &App) -> Result<Outcome, StoreError> {
        let bulk = self.bulk(app, true);
        let Which::Ticked(ids) = &self.which else { return many(app, bulk).await };
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut items = Vec::new();
        for (id, read) in ids.iter().zip(join_all(ids.iter().map(|id| app.jobs.job(id))).await) {
            let outcome = match read? {
                None => Err(Refused::NoSuchJob(id.clone()).to_string()),
                Some(JobRead::Broken(row)) => {
                    Err(Refused::Broken { id: row.id, reason: row.reason }.to_string())
                }
                Some(JobRead::Whole(mut job)) => {
                    *counts.entry(job.status.to_string()).or_default() += 1;
                    let done = bulk.action.act(&mut job, Actor::Admin, bulk.now);
                    done.map(|(_, reset)| reset).map_err(|illegal| illegal.to_string())
                }
            };
            items.push((id.to_string(), outcome));
        }
        let (eligible, ineligible) =
            Bulk { filter: Default::default(), ..bulk }.sort(counts.into_iter().collect());
        Ok(Outcome { eligible, ineligible, items, more: false })
    }

    /// Does it.
    async fn carry_out(&self, app: &App) -> Result<Outcome, StoreError> {
        let bulk = self.bulk(app, false);
        let Which::Ticked(ids) = &self.which else { return many(app, bulk).await };
        let orders =
            ids.iter().map(|id| app.jobs.administer(id.clone(), bulk.action, Actor::Admin, bulk.now));
        let mut items = Vec::new();
        for (id, done) in ids.iter().zip(join_all(orders).await) {
            items.push((
                id.to_string(),
                match done? {
                    Applied::Done(done) => Ok(done.reset),
                    Applied::Refused(refused) => Err(refused.to_string()),
                },
            ));
        }
        Ok(Outcome { items, ..Outcome::default() })
    }
}

async fn many(app: &App, bulk: Bulk) -> Result<Outcome, StoreError> {
    let answer = app.jobs.administer_many(bulk).await?;
    let items = answer.items.into_iter();
    let items = items.map(|item| (item.id, item.outcome.map_err(|refused| refused.to_string())));
    Ok(Outcome {
        eligible: answer.eligible,
        ineligible: answer.ineligible,
        items: items.collect(),
        more: answer.more,
    })
}

/// `GET /jobs/bulk`
pub(crate) async fn preview(
    State(app): State<App>,
    viewer: Viewer,
    Query(fields): Query,
) -> Result<Markup, Failure> {
    let order = Order::read(&fields)?;
    let outcome = order.look(&app).await?;
    let action = order.action;
    let will: Vec<_> = outcome.items.iter().filter_map(|(id, it)| Some((id, it.as_ref().ok()?))).collect();
    let will_not: Vec<_> =
        outcome.items.iter().filter_map(|(id, it)| Some((id, it.as_ref().err()?))).collect();
    let title = format!("{} {}?", action.label(), count(will.len() as u64, "job", "jobs"));
    let body = html! {
        nav.crumbs aria-label="Where you are" { a href=(order.filter.link("/jobs").href()) { "Jobs" } }
        h1 { (title) }
        p.lead #preview {
            @if will.is_empty() {
                "None of these jobs can be " (action.done()) "."
            } @else {
                (count(will.len() as u64, "job", "jobs")) " would be " (action.done()) ". Nothing has been done yet."
            }
            @if outcome.more {
                " There are " (number(outcome.eligible)) " of this kind; at most " (number(MOST.into()))
                " are taken at once, the oldest first."
            }
        }
        @if !outcome.ineligible.is_empty() {
            ul {
                @for they in &outcome.ineligible {
                    li { (count(they.count, "job is", "jobs are")) " " (shown(&they.status, NAME)) ": " (shown(&they.reason, 300)) "." }
                }
            }
        }
        @if !will.is_empty() {
            p { (action.effect()) }
            form.confirm method="post" action="/jobs/bulk" {
                (csrf(&viewer))
                (order.filter.hidden())
                input type="hidden" name="action" value=(action.word());
                @match &order.which {
                    Which::All => input type="hidden" name="all" value="yes";,
                    Which::Ticked(ids) => @for id in ids { input type="hidden" name="id" value=(id); },
                }
                button class=(if action == Action::Cancel { "danger" } else { "primary" }) type="submit" { (action.label()) " " (count(will.len() as u64, "job", "jobs")) }
                " " a href=(order.filter.link("/jobs").href()) { "Do nothing" }
            }
            h2 { "What would be done" }
            (table("Jobs that would change", &["Job", "Begins again"], &will.iter().take(NAMED).map(|(id, reset)| vec![
                html! { a.id href=(job_href(id)) { (shown(id, NAME)) } },
                html! { (reset_words(reset)) },
            ]).collect::<Vec<_>>()))
            @if will.len() > NAMED { p.soft { "… and " (number((will.len() - NAMED) as u64)) " more." } }
        }
        @if !will_not.is_empty() {
            h2 { "What would be left alone" }
            (table("Jobs that would be left alone", &["Job", "Why"], &will_not.iter().take(NAMED).map(|(id, why)| vec![
                html! { a.id href=(job_href(id)) { (shown(id, NAME)) } },
                html! { (shown(why, 300)) },
            ]).collect::<Vec<_>>()))
        }
    };
    Ok(layout::page(&app, &viewer, Screen::Jobs, &title, &body))
}

/// `POST /jobs/bulk`
pub(crate) async fn carry_out(
    State(app): State<App>,
    Viewer(session): Viewer,
    Form(fields): Form,
) -> Result<Redirect, Failure> {
    let order = Order::read(&fields)?;
    let outcome = order.carry_out(&app).await?;
    let refused: Vec<&String> = outcome.items.iter().filter_map(|(_, it)| it.as_ref().err()).collect();
    let done = (outcome.items.len() - refused.len()) as u64;
    let mut said = format!("{} {}.", count(done, "job was", "jobs were"), order.action.done());
    if let Some(first) = refused.first() {
        said.push_str(&format!(" {} not: {first}.", count(refused.len() as u64, "was", "were")));
    }
    if outcome.more {
        said.push_str(" More are left; repeat it to go on.");
    }
    app.sessions.leave_notice(&session, said);
    Ok(Redirect::to(&order.filter.link("/jobs").href()))
}
