//! What a message says: its body, and the sentence in it.

use reclaimer_domain::alert::{AlertEvent, AlertMessage};
use reclaimer_domain::time::{between, rfc3339, spoken};
use serde_json::{Value, json};

/// The body of a message.
pub(crate) fn body(message: &AlertMessage, server: &str) -> Value {
    let incident = &message.incident;
    json!({
        "text": text(message, server),
        "event": message.event.as_str(),
        "server": server,
        "incident": {
            "id": incident.id,
            "rule": incident.rule,
            "subject": incident.subject,
            "what": incident.what,
            "since": rfc3339(incident.since),
            "openedAt": rfc3339(incident.opened_at),
            "resolvedAt": incident.resolved_at.map(rfc3339),
        },
        "at": rfc3339(message.at),
    })
}

/// One line for people.
fn text(message: &AlertMessage, server: &str) -> String {
    let incident = &message.incident;
    let name = format!("({} {})", incident.rule, incident.subject);
    let lasted = || spoken(between(incident.since, incident.resolved_at.unwrap_or(message.at)));
    let line = match message.event {
        AlertEvent::Opened => format!("🚨 reclaimer on {server}: {} {name}", incident.what),
        AlertEvent::Reminder => {
            format!("🚨 reclaimer on {server}, still, for {}: {} {name}", lasted(), incident.what)
        }
        AlertEvent::Resolved => {
            format!("✅ reclaimer on {server}: over after {}: {} {name}", lasted(), incident.what)
        }
        AlertEvent::Test => format!("🔔 reclaimer on {server}: {}", incident.what),
    };
    // Slack takes these three for its own.
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use reclaimer_domain::alert::Incident;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn said(event: AlertEvent) -> Value {
        let incident = Incident {
            id: "i".to_owned(),
            rule: "breaker_open".to_owned(),
            subject: "a".to_owned(),
            what: "link `a` is <away> & gone".to_owned(),
            since: at(0),
            opened_at: at(60),
            told_at: at(60),
            resolved_at: (event == AlertEvent::Resolved).then(|| at(300)),
        };
        body(&crate::watch::message(event, incident, at(360), "m".to_owned()), "host")
    }

    #[test]
    fn a_message_says_what_happened_for_people_and_for_programs() {
        let opened = said(AlertEvent::Opened);
        assert_eq!(
            opened["text"],
            "🚨 reclaimer on host: link `a` is &lt;away&gt; &amp; gone (breaker_open a)"
        );
        assert_eq!(opened["event"], "opened");
        assert_eq!(opened["incident"]["what"], "link `a` is <away> & gone");
        assert_eq!(opened["incident"]["openedAt"], "2027-01-15T08:01:00.000Z");
        assert_eq!(opened["incident"]["resolvedAt"], Value::Null);
        let text = |event| said(event)["text"].as_str().unwrap_or_default().to_owned();
        assert!(text(AlertEvent::Resolved).starts_with("✅ reclaimer on host: over after 5 min: "));
        assert!(text(AlertEvent::Reminder).starts_with("🚨 reclaimer on host, still, for 6 min: "));
    }
}
