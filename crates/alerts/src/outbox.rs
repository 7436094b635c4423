//! Messages that wait to be sent, and what became of the last ones. Pure: time and chance are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngExt;
use reclaimer_domain::alert::{AlertMessage, MessageFate};
use reclaimer_domain::time::{after, between};

/// More than so many never wait: a receiver that is away for long learns of the latest.
const MOST_WAITING: usize = 100;

/// So many of the others are kept to be shown.
const MOST_OVER: usize = 50;

/// A message that nobody took for so long tells nothing that is still true.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The pause after the first failure; it doubles with each further one …
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Messages in the order in which they were made. They are sent in that order: a receiver never hears that something is over
/// before it hears that it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    waiting: VecDeque<AlertMessage>,
    over: VecDeque<AlertMessage>,
}

impl Outbox {
    /// Takes up messages of an earlier life, which come before those it has.
    pub fn take_up(&mut self, messages: Vec<AlertMessage>) {
        let (mut waiting, mut over): (VecDeque<_>, VecDeque<_>) =
            messages.into_iter().partition(|message| message.fate == MessageFate::Waiting);
        waiting.append(&mut self.waiting);
        over.append(&mut self.over);
        (self.waiting, self.over) = (waiting, over);
        self.hold_bounds();
    }

    /// Adds a message.
    pub fn push(&mut self, message: AlertMessage) {
        self.waiting.push_back(message);
        self.hold_bounds();
    }

    /// Adds a message about which nothing more will be done.
    pub fn note(&mut self, message: AlertMessage) {
        self.over.push_back(message);
        self.hold_bounds();
    }

    /// The message to be sent next, from its `next_attempt_at` on.
    #[must_use]
    pub fn next(&self) -> Option<&AlertMessage> {
        self.waiting.front()
    }

    /// All messages: those about which nothing more will be done, then those that wait, each oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &AlertMessage> {
        self.over.iter().chain(&self.waiting)
    }

    /// Gives up what has waited for too long to be sent at all, e.g. because there was nowhere to send it to.
    pub fn give_up_old(&mut self, now: DateTime<Utc>) -> bool {
        let (old, waiting): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|message| between(message.at, now) >= LONGEST);
        self.waiting = waiting;
        let any = !old.is_empty();
        for mut message in old {
            message.fate = MessageFate::GivenUp;
            message.last_error.get_or_insert_with(|| "it waited for too long".to_owned());
            self.note(message);
        }
        any
    }

    /// The receiver took the message.
    pub fn delivered(&mut self, id: &str) {
        let Some(mut message) = self.take(id) else { return };
        message.attempts = message.attempts.saturating_add(1);
        message.fate = MessageFate::Delivered;
        message.last_error = None;
        self.note(message);
    }

    /// The receiver did not take it. It is sent again after a pause that grows, at least `not_before` long.
    pub fn failed(
        &mut self,
        id: &str,
        why: String,
        not_before: Option<Duration>,
        now: DateTime<Utc>,
        rng: &mut impl rand::Rng,
    ) {
        let Some(mut message) = self.take(id) else { return };
        let pause = pause(message.attempts, rng).max(not_before.unwrap_or_default().min(LONGEST_PAUSE));
        message.attempts = message.attempts.saturating_add(1);
        message.last_error = Some(why);
        message.next_attempt_at = after(now, pause);
        self.waiting.push_front(message);
        self.give_up_old(now);
    }

    fn take(&mut self, id: &str) -> Option<AlertMessage> {
        let place = self.waiting.iter().position(|message| message.id == id)?;
        self.waiting.remove(place)
    }

    fn hold_bounds(&mut self) {
        while self.waiting.len() > MOST_WAITING {
            let Some(mut message) = self.waiting.pop_front() else { break };
            message.fate = MessageFate::GivenUp;
            message.last_error.get_or_insert_with(|| "too many messages waited".to_owned());
            self.over.push_back(message);
        }
        self.over.drain(..self.over.len().saturating_sub(MOST_OVER));
    }
}

/// Half of the pause is certain, the other half chance: those whom one outage drove away do not come back together.
fn pause(failures_before: u32, rng: &mut impl rand::Rng) -> Duration {
    let factor = 2_u32.checked_pow(failures_before).unwrap_or(u32::MAX);
    let whole = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + rng.random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests;
