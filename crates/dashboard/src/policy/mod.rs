//! The policy: its rules in the order in which they are tried, and how often each decided.

mod simulate;

pub(crate) use simulate::{page as simulation, run as simulate};

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use reclaimer_domain::name::RuleName;
use reclaimer_policy::file::Finding;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::guard::Viewer;
use crate::history::Hits;
use crate::state::App;
use crate::view::layout::{self, Screen, csrf};
use crate::view::parts::{live, table};
use crate::view::untrusted::shown;
use crate::view::words::{NAME, action_words, moment, number};

/// `GET /policy`
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Markup {
    let (policy, now) = (app.policy.view(), app.clock.now());
    let body = html! {
        h1 { "Policy" }
        p.lead {
            "Rules are tried from top to bottom; the first that matches a job decides about it. "
            @match &policy.file {
                Some(file) => { "They come from " code { (shown(file, 300)) } "." }
                None => "No policy file is set: the built-in rules alone hold.",
            }
        }
        p.soft { "Policy " code { (policy.hash) } ", in force since " (moment(policy.since, now)) "." }
        div.buttons {
            a.button href="/policy/simulate" { "Try another policy…" }
            @if policy.file.is_some() {
                form method="post" action="/policy" {
                    (csrf(&viewer))
                    button type="submit" { "Read the file anew" }
                }
            }
        }
        @if let Some(refused) = &policy.refused {
            div.notice.bad {
                p { "The file was refused " (moment(refused.at, now)) ", and the policy before it stayed in force." }
                @if refused.findings.is_empty() { p { (shown(&refused.message, 600)) } } @else { (findings(&refused.findings)) }
            }
        }
        @if !policy.warnings.is_empty() {
            h2 { "Probably not what was meant" }
            (findings(&policy.warnings))
        }
        section aria-labelledby="rules-title" {
            h2 #rules-title { "Rules" }
            (live("policy-rules", "run", "/live/policy", &rules(&app)))
        }
        section aria-labelledby="defaults-title" {
            h2 #defaults-title { "Where a rule does not say otherwise" }
            dl.fields { @for (key, value) in policy.defaults.as_object().into_iter().flatten() {
                dt { code { (shown(key, NAME)) } } dd { (value_of(value)) }
            } }
        }
    };
    layout::page(&app, &viewer, Screen::Policy, "Policy", &body)
}

/// `GET /live/policy`
pub(crate) async fn part(State(app): State<App>) -> Markup {
    rules(&app)
}

/// `POST /policy`: reads the file anew.
pub(crate) async fn reload(State(app): State<App>, Viewer(session): Viewer) -> Result<Redirect, Failure> {
    let before = app.policy.view().hash;
    let said = match app.policy.reload().await {
        Ok(view) if view.hash == before => "The file was read anew, and says what it did.".to_owned(),
        Ok(view) => format!("Policy {} is in force now.", view.hash),
        // The page itself shows what is wrong, line by line.
        Err(_) if app.policy.view().refused.is_some() => "The file was refused; see below why.".to_owned(),
        Err(error) => return Err(error.into()),
    };
    app.sessions.leave_notice(&session, said);
    Ok(Redirect::to("/policy"))
}

/// What is wrong or doubtful in a file, line by line.
fn findings(findings: &[Finding]) -> Markup {
    html! { ul.findings { @for finding in findings { li {
        "Line " (finding.line)
        @if let Some(rule) = &finding.rule { ", rule " code { (shown(rule.as_str(), NAME)) } }
        ": " (shown(&finding.message, 600))
    } } } }
}

fn rules(app: &App) -> Markup {
    let (policy, hits, now) = (app.policy.view(), app.history.hits(), app.clock.now());
    let rows: Vec<Vec<Markup>> =
        policy.rules.iter().enumerate().map(|(place, rule)| row(place, rule, &hits, now)).collect();
    html! {
        (table("Rules", &["Order", "Rule", "Matches", "Does", "Decided"], &rows))
        p.soft { "Decisions are counted since " (moment(app.history.since(), now)) ", when this server started." }
    }
}

fn row(
    place: usize,
    rule: &Value,
    hits: &BTreeMap<RuleName, Hits>,
    now: chrono::DateTime<chrono::Utc>,
) -> Vec<Markup> {
    let text = |key: &str| rule[key].as_str().unwrap_or_default();
    let name = text("name");
    let its = name.parse::<RuleName>().ok().and_then(|name| hits.get(&name).copied()).unwrap_or_default();
    let told = ["name", "match", "action", "origin", "line", "reason"];
    let rest = rule.as_object().into_iter().flatten().filter(|(key, _)| !told.contains(&key.as_str()));
    let asks: Vec<(&String, &Value)> = rule["match"].as_object().into_iter().flatten().collect();
    vec![
        html! { (place + 1) },
        html! {
            code { (shown(name, NAME)) }
            p.sub { @match (text("origin"), rule["line"].as_u64()) {
                (_, Some(line)) => { "line " (line) " of the file" }
                ("builtin", None) => "built in",
                (origin, None) => (origin),
            } }
        },
        html! {
            @if asks.is_empty() { "every job" } @else {
                dl.fields { @for (key, value) in asks { dt { code { (shown(key, NAME)) } } dd { (value_of(value)) } } }
            }
        },
        html! {
            (action_words(text("action")))
            dl.fields { @for (key, value) in rest { dt { code { (shown(key, NAME)) } } dd { (value_of(value)) } } }
            @if let Some(reason) = rule["reason"].as_str() { p.sub { (shown(reason, 300)) } }
        },
        html! {
            @let sorts = [(its.requeued, "queued again"), (its.quarantined, "set aside"), (its.left, "left")];
            @if sorts.iter().all(|(jobs, _)| *jobs == 0) { span.soft { "not yet" } } @else {
                @for (jobs, what) in sorts { @if jobs > 0 { p.line { (number(jobs)) " " (what) } } }
                p.sub { "last " (moment(its.last, now)) }
            }
        },
    ]
}

/// A value of a policy file, as people read it.
fn value_of(value: &Value) -> Markup {
    shown(&words_of(value), 400)
}

fn words_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(words_of).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| format!("{key} {}", words_of(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_as_words() {
        let value = json!({ "cap": "1h", "factor": 2.0, "of": ["a", true] });
        assert_eq!(words_of(&value), "cap 1h, factor 2.0, of a, true");
    }
}
