//! Telling others of transitions, in their order.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::machine::Event;

/// Is told of each transition. A closure `Fn(&Event)` is one.
///
/// A callback and no channel, because a channel is a choice: a callback fills a metric or a log without a task to run
/// it, misses nothing when it is slow, and sends to a `watch` or a `broadcast` channel in one line.
///
/// It is called by whoever made the transition, or happens to be telling of an earlier one; one event at a time, in
/// their order, and without a lock held, so that it may use the breaker. It should be quick, and must not panic: it may
/// be called while a permit is dropped.
pub trait Listener: Send + Sync {
    /// Takes notice of a transition.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Listener for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// The events that the listener is still to be told of.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// Somebody is telling of an event.
    telling: bool,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts events behind those that wait.
    pub(crate) fn put(&self, events: Vec<Event>) {
        self.waiting().events.extend(events);
    }

    /// Tells of all that waits, unless somebody else is at it: then they will.
    pub(crate) fn tell(&self, listener: &dyn Listener) {
        loop {
            let mut waiting = self.waiting();
            if waiting.telling {
                return;
            }
            let Some(event) = waiting.events.pop_front() else { return };
            waiting.telling = true;
            drop(waiting);
            let turn = Turn(self);
            listener.on_event(&event);
            drop(turn);
        }
    }
}

/// The turn to tell; over even if the listener panics.
struct Turn<'a>(&'a Outbox);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.waiting().telling = false;
    }
}
