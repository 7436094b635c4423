//! The policy's reasoning about a job: the explanation of the API, as a page.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use reclaimer_policy::{Explanation, TriedRule};

use super::sentence;
use crate::view::parts::table;
use crate::view::untrusted::shown;
use crate::view::words::{NAME, action_words, moment, told};

/// What would happen next, and by which rule.
pub(super) fn section(it: &Explanation, now: DateTime<Utc>) -> Markup {
    html! {
        section.reasoning aria-labelledby="next-title" {
            h2 #next-title { "What happens next" }
            p #next {
                (told(&sentence(&it.next_look.why), 600, now))
                @if let Some(at) = it.next_look.at { " That is " (moment(at, now)) "." }
            }
            @if let Some(decision) = &it.decision {
                p {
                    "Now it would decide: " strong { (action_words(&decision.action)) }
                    @if let Some(rule) = &decision.rule { ", by rule " code { (shown(rule, NAME)) } }
                    ". " (told(&sentence(&decision.reason), 600, now))
                }
            }
            @if let Some(said) = &it.on_record {
                p.soft {
                    "Recovery last said of it, " (moment(said.at, now)) ": "
                    @match &said.reason { Some(reason) => { (told(&sentence(reason), 600, now)) } None => { (said.kind.replace('_', " ")) "." } }
                }
            }
            @if !it.rules.is_empty() {
                details #rules-tried {
                    summary { "The rules, one by one" }
                    ol.rules { @for rule in &it.rules { li { (tried(rule)) } } }
                    @if !it.requirements.is_empty() {
                        h3 { "What that rule requires" }
                        ul { @for need in &it.requirements {
                            li { (mark(need.holds)) " " code { (shown(&need.key, NAME)) } ": " (shown(&need.actual, 300)) }
                        } }
                    }
                    @if !it.budgets.is_empty() {
                        h3 { "What it may still cost" }
                        ul { @for budget in &it.budgets {
                            li { (mark(!budget.is_spent())) " " (budget.kind.as_str().replace('_', " ")) ": "
                                (budget.used) " of " (budget.most) " used" }
                        } }
                    }
                    @if !it.not_tried.is_empty() {
                        p.soft { "Not asked any more: "
                            @for (place, rule) in it.not_tried.iter().enumerate() {
                                @if place > 0 { ", " } code { (shown(rule.as_str(), NAME)) }
                            } "." }
                    }
                    p.soft { "Policy " code { (it.policy_hash) } "." }
                }
            }
        }
    }
}

fn tried(rule: &TriedRule) -> Markup {
    html! {
        p { code { (shown(rule.name.as_str(), NAME)) } @if rule.matched { " matches." } @else { " does not match." } }
        @if !rule.conditions.is_empty() {
            (table("Conditions", &["Holds", "Condition", "Asks for", "Found"], &rule.conditions.iter().map(|it| vec![
                mark(it.holds),
                html! { code { (shown(&it.key, NAME)) } },
                shown(&it.expected, 300),
                shown(&it.actual, 300),
            ]).collect::<Vec<_>>()))
        }
    }
}

/// Whether something holds, as a word.
fn mark(holds: bool) -> Markup {
    if holds {
        html! { span.yes { "holds" } }
    } else {
        html! { span.no { "does not" } }
    }
}
