//! Incidents: when they begin, when they are over, and when people are told.
//!
//! | | the condition holds | it does not | it cannot be told |
//! |---|---|---|---|
//! | nothing | after `hold`, and `cooldown` after the last message: **opened** | – | – |
//! | an incident | every `remind_after`, if at all: **reminder** | after `resolve_after`: **resolved** | – |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::alert::{AlertEvent, AlertMessage, Incident, MessageFate};
use reclaimer_domain::time::between;
use reclaimer_health::Health;

use crate::findings::{Firing, Restarts, find};
use crate::rule::{Condition, Rule};

/// What counts for all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// After a message, the next incident of the same rule about the same thing is told of no sooner.
    pub cooldown: Duration,
    /// An incident is over when its condition has not held for so long.
    pub resolve_after: Duration,
    /// While it lasts, people are told again so often; `None` = never.
    pub remind_after: Option<Duration>,
}

/// Of which rule, about what.
type Key = (&'static str, String);

/// Watches health. Pure: time and ids come with each look.
#[derive(Debug)]
pub struct Watch {
    rules: Vec<Rule>,
    terms: Terms,
    restarts: Restarts,
    /// Since when conditions have held that are no incidents yet.
    pending: BTreeMap<Key, DateTime<Utc>>,
    /// Since when conditions have not held whose incidents last.
    calm: BTreeMap<Key, DateTime<Utc>>,
    incidents: BTreeMap<Key, Incident>,
}

/// What a look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// What people are to be told.
    pub messages: Vec<AlertMessage>,
    /// Whether there is anything to keep.
    pub changed: bool,
}

impl Watch {
    /// A watch that knows of no incident.
    #[must_use]
    pub fn new(rules: Vec<Rule>, terms: Terms) -> Self {
        Self {
            rules,
            terms,
            restarts: Restarts::default(),
            pending: BTreeMap::new(),
            calm: BTreeMap::new(),
            incidents: BTreeMap::new(),
        }
    }

    /// What it watches by.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Takes up incidents of an earlier life, but for those of rules that are no more. What it found since counts more.
    pub fn take_up(&mut self, incidents: Vec<Incident>) {
        for incident in incidents {
            let name =
                self.rules.iter().map(|rule| rule.condition.name()).find(|name| *name == incident.rule);
            if let Some(name) = name {
                self.incidents.entry((name, incident.subject.clone())).or_insert(incident);
            }
        }
    }

    /// Every incident that lasts, and those whose cooldown still runs.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// Looks at how the server is doing.
    pub fn look(&mut self, health: &Health, mut id: impl FnMut() -> String) -> Looked {
        let mut looked = Looked::default();
        for rule in self.rules.clone() {
            if let Condition::WorkerRestartsAbove { within, .. } = rule.condition {
                self.restarts.note(health, within);
            }
            // What cannot be told changes nothing.
            let Some(found) = find(rule.condition, health, &self.restarts) else { continue };
            let mut others = found.unsure;
            others.extend(found.firing.iter().map(|firing| firing.subject.clone()));
            for firing in found.firing {
                self.holds(&rule, firing, health.at, &mut id, &mut looked);
            }
            self.holds_no_more(&rule, &others, health.at, &mut id, &mut looked);
        }
        looked
    }

    fn holds(
        &mut self,
        rule: &Rule,
        firing: Firing,
        now: DateTime<Utc>,
        id: &mut impl FnMut() -> String,
        looked: &mut Looked,
    ) {
        let key = (rule.condition.name(), firing.subject.clone());
        self.calm.remove(&key);
        let known = self.incidents.get_mut(&key);
        if let Some(incident) = known.filter(|incident| incident.resolved_at.is_none()) {
            incident.what = firing.what;
            let told = between(incident.told_at, now);
            if self.terms.remind_after.is_some_and(|after| told >= after) {
                incident.told_at = now;
                looked.tell(AlertEvent::Reminder, incident.clone(), now, id());
            }
            return;
        }
        let since = *self.pending.entry(key.clone()).or_insert(firing.since.unwrap_or(now).min(now));
        let cooling =
            self.incidents.get(&key).is_some_and(|last| between(last.told_at, now) < self.terms.cooldown);
        if cooling || between(since, now) < rule.hold {
            return;
        }
        self.pending.remove(&key);
        let incident = Incident {
            id: id(),
            rule: rule.condition.name().to_owned(),
            subject: firing.subject,
            what: firing.what,
            since,
            opened_at: now,
            told_at: now,
            resolved_at: None,
        };
        self.incidents.insert(key, incident.clone());
        looked.tell(AlertEvent::Opened, incident, now, id());
    }

    /// Whatever the rule had found about others than these subjects is no longer so.
    fn holds_no_more(
        &mut self,
        rule: &Rule,
        others: &BTreeSet<String>,
        now: DateTime<Utc>,
        id: &mut impl FnMut() -> String,
        looked: &mut Looked,
    ) {
        let name = rule.condition.name();
        let gone = |key: &Key| key.0 == name && !others.contains(&key.1);
        self.pending.retain(|key, _| !gone(key));
        let (calm, Terms { cooldown, resolve_after, .. }) = (&mut self.calm, self.terms);
        self.incidents.retain(|key, incident| {
            if !gone(key) {
                return true;
            }
            if incident.resolved_at.is_some() {
                let cooling = between(incident.told_at, now) < cooldown;
                looked.changed |= !cooling;
                return cooling;
            }
            let since = *calm.entry(key.clone()).or_insert(now);
            if between(since, now) >= resolve_after {
                calm.remove(key);
                (incident.resolved_at, incident.told_at) = (Some(now), now);
                looked.tell(AlertEvent::Resolved, incident.clone(), now, id());
            }
            true
        });
    }
}

impl Looked {
    fn tell(&mut self, event: AlertEvent, incident: Incident, now: DateTime<Utc>, id: String) {
        self.changed = true;
        self.messages.push(message(event, incident, now, id));
    }
}

/// A message that was not sent yet.
pub(crate) fn message(event: AlertEvent, incident: Incident, now: DateTime<Utc>, id: String) -> AlertMessage {
    AlertMessage {
        id,
        event,
        incident,
        at: now,
        attempts: 0,
        next_attempt_at: now,
        last_error: None,
        fate: MessageFate::Waiting,
    }
}

#[cfg(test)]
mod tests;
