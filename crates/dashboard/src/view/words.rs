//! How the dashboard says things.

use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::job::Status;
use reclaimer_domain::recovery::Trigger;
use reclaimer_domain::time::{between, rfc3339, spoken};

use super::untrusted::shown;

/// Longest names that are shown whole.
pub(crate) const NAME: usize = 128;

/// A number with its thousands apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 job`, `12 jobs`.
pub(crate) fn count(of: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(of), if of == 1 { one } else { many })
}

/// A moment as the time from or to it, with the moment itself on hover.
pub(crate) fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let text = if at > now {
        format!("in {}", spoken(between(now, at)))
    } else if between(at, now).as_secs() == 0 {
        "just now".to_owned()
    } else {
        format!("{} ago", spoken(between(at, now)))
    };
    html! { time datetime=(rfc3339(at)) title=(exact(at)) { (text) } }
}

/// A text of ours, in which each moment as programs write it is said as people do; cut after so many characters.
pub(crate) fn told(text: &str, most: usize, now: DateTime<Utc>) -> Markup {
    let mut parts = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(found) = rest.get(from..).and_then(|text| text.find('Z')) {
        let end = from + found + 1;
        let start = end.checked_sub(WRITTEN).filter(|start| rest.is_char_boundary(*start));
        match start.and_then(|start| Some((start, DateTime::parse_from_rfc3339(&rest[start..end]).ok()?))) {
            Some((start, at)) => {
                parts.push((&rest[..start], Some(at.with_timezone(&Utc))));
                (rest, from) = (&rest[end..], 0);
            }
            None => from = end,
        }
    }
    parts.push((rest, None));
    if parts.len() == 1 || text.chars().count() > most {
        return shown(text, most);
    }
    html! { @for (text, at) in parts {
        @if !text.is_empty() { (shown(text, most)) }
        @if let Some(at) = at { (at.format("%Y-%m-%d %H:%M:%S UTC")) " (" (moment(at, now)) ")" }
    } }
}

/// So long is a moment as programs write it: `2026-01-05T14:20:00.000Z`.
const WRITTEN: usize = 24;

/// A moment by the clock.
pub(crate) fn exact(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// What a status is called, and what it means.
pub(crate) fn status_words(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Queued => ("Queued", "waits for a worker"),
        Status::Running => ("Running", "a worker holds it"),
        Status::Finished => ("Finished", "done"),
        Status::Failed => ("Failed", "a worker said that it could not be done"),
        Status::Paused => ("Paused", "held until somebody resumes it"),
        Status::Cancelled => ("Cancelled", "given up by a person"),
        Status::Quarantined => ("Quarantined", "set aside, and waits for a person"),
    }
}

/// A status as a sign and a word: never by colour alone.
pub(crate) fn badge(status: Status) -> Markup {
    let (word, meaning) = status_words(status);
    html! {
        span class={ "badge is-" (status.as_str()) } title=(meaning) { (sign(status)) (word) }
    }
}

/// The sign of a status.
pub(crate) fn sign(status: Status) -> Markup {
    icon(match status {
        Status::Queued => "<circle cx='8' cy='8' r='5.5'/><path d='M8 5v3l2 1.5'/>",
        Status::Running => "<path d='M5 3.5v9l7-4.5z' fill='currentColor'/>",
        Status::Finished => "<path d='M3 8.5l3.5 3.5L13 4.5'/>",
        Status::Failed => "<path d='M4 4l8 8M12 4l-8 8'/>",
        Status::Paused => "<path d='M5.5 3.5v9M10.5 3.5v9'/>",
        Status::Cancelled => "<circle cx='8' cy='8' r='5.5'/><path d='M4.5 11.5l7-7'/>",
        Status::Quarantined => "<path d='M4 14V3M4 3.5h8l-2 2.75L12 9H4'/>",
    })
}

/// A small picture of our own beside a word that says the same.
pub(crate) fn icon(shape: &'static str) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { (PreEscaped(shape)) }
    }
}

/// What happened, in a word or two.
pub(crate) fn event_words(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Created => "Created",
        EventKind::Claimed => "Taken by a worker",
        EventKind::Finished => "Finished",
        EventKind::Failed => "Failed",
        EventKind::Paused => "Paused",
        EventKind::Resumed => "Resumed",
        EventKind::Released => "Given back unworked",
        EventKind::Reclaimed => "Taken back from its worker",
        EventKind::Recovered => "Queued again by recovery",
        EventKind::NotRecovered => "Looked at and left",
        EventKind::Retried => "Retried by hand",
        EventKind::Quarantined => "Set aside for a person",
        EventKind::Unquarantined => "Released by hand",
        EventKind::Cancelled => "Cancelled",
        EventKind::StaleReport => "Late report refused",
        EventKind::SetAside => "Row could not be read",
        EventKind::Evidence => "Evidence added",
        EventKind::LateAccepted => "Late result accepted",
        EventKind::Undone => "Recovery undone",
    }
}

/// Who did it.
pub(crate) fn actor(actor: &Actor) -> Markup {
    match actor {
        Actor::Worker(worker) => html! { "worker " (shown(worker.as_str(), NAME)) },
        Actor::Recovery(_) => html! { "recovery" },
        Actor::Admin => html! { "an admin" },
        Actor::Producer => html! { "a producer" },
        Actor::System => html! { "Reclaimer" },
    }
}

/// A decision's word, as people say it.
pub(crate) fn action_words(word: &str) -> &str {
    match word {
        "requeue" => "queue it again",
        "quarantine" => "set it aside for a person",
        "skip" => "wait",
        "leave" => "leave it",
        other => other,
    }
}

/// What set a run off.
pub(crate) fn trigger_words(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Startup => "the start of the server",
        Trigger::Periodic => "the clock",
        Trigger::Manual => "a person",
        Trigger::LeaseWatch => "an expired lease",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_048_576].map(number), ["0", "999", "1,000", "1,048,576"]);
        assert_eq!([count(1, "job", "jobs"), count(1_200, "job", "jobs")], ["1 job", "1,200 jobs"]);
    }

    #[test]
    fn moments_are_said_from_now() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let said = |seconds| moment(now + chrono::Duration::seconds(seconds), now).into_string();
        assert!(said(-180).ends_with(">3 min ago</time>") && said(90).ends_with(">in 90 s</time>"));
        assert!(said(0).contains("2027-01-15 08:00:00.000 UTC") && said(0).ends_with(">just now</time>"));
    }

    #[test]
    fn moments_within_a_text_are_said_as_people_do() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let said = |text: &str| {
            let said = told(text, 200, now).into_string();
            let bare = said.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
            bare.collect::<String>()
        };
        assert_eq!(
            said("Éz: it rests until 2027-01-15T08:02:00.000Z; then Z, from 2027-01-15T07:57:00.000Z."),
            "Éz: it rests until 2027-01-15 08:02:00 UTC (in 2 min); then Z, from 2027-01-15 07:57:00 UTC (3 min ago)."
        );
        for text in ["", "Z", "ÉZ", "é2027-01-15T08:02:00.00Z", "2027-13-15T08:02:00.000Z is no moment"] {
            assert_eq!(said(text), text);
        }
        assert!(
            told(&"2027-01-15T08:02:00.000Z".repeat(9), 200, now).into_string().contains("216 characters")
        );
    }
}
