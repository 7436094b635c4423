//! What others see of alerting, and can ask of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use reclaimer_domain::alert::{AlertEvent, AlertMessage, AlertState, Incident, MessageFate};
use reclaimer_domain::id::IdGenerator;
use reclaimer_domain::ports::Clock;
use tokio::sync::Notify;

use crate::outbox::Outbox;
use crate::rule::Rule;
use crate::watch::{Watch, message};
use crate::webhook::Courier;

/// What the loop and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) courier: Option<Arc<dyn Courier>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Told when there may be something else to be sent next.
    pub(crate) to_send: Notify,
    /// Told when there may be something to keep.
    pub(crate) to_keep: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) watch: Watch,
    pub(crate) outbox: Outbox,
    pub(crate) ids: IdGenerator<StdRng>,
    /// Whether there is anything that was not kept yet.
    pub(crate) changed: bool,
    /// Whether what was kept by an earlier life was taken up.
    pub(crate) recalled: bool,
    /// Whether the store failed last, which is said once.
    pub(crate) forgetful: bool,
}

impl State {
    /// All that must not be forgotten.
    pub(crate) fn kept(&self) -> AlertState {
        AlertState {
            incidents: self.watch.incidents().cloned().collect(),
            messages: self.outbox.messages().cloned().collect(),
        }
    }
}

impl Shared {
    pub(crate) fn new(
        courier: Option<Arc<dyn Courier>>,
        clock: Arc<dyn Clock>,
        watch: Watch,
        rng: StdRng,
    ) -> Self {
        let ids = IdGenerator::new(rng);
        let state = State {
            watch,
            outbox: Outbox::default(),
            ids,
            changed: false,
            recalled: false,
            forgetful: false,
        };
        Self { courier, clock, to_send: Notify::new(), to_keep: Notify::new(), state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic leaves the state in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something that was not kept yet.
    pub(crate) fn changed(&self, state: &mut State) {
        state.changed = true;
        self.wake();
    }

    /// Has whoever sends and keeps look again.
    pub(crate) fn wake(&self) {
        self.to_send.notify_one();
        self.to_keep.notify_one();
    }
}

/// How alerting stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Where messages go, without what is secret of it; `None` = nowhere.
    pub target: Option<String>,
    /// By which rules incidents are found.
    pub rules: Vec<Rule>,
    /// Incidents that last, the oldest first.
    pub open: Vec<Incident>,
    /// The last messages and those that wait, newest first.
    pub messages: Vec<AlertMessage>,
}

/// Why a test message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TestFailed {
    /// There is nowhere to send it.
    #[error("no webhook is set; set `alerts.webhook_url` and restart the server")]
    NoWebhook,
    /// The receiver did not take it.
    #[error("the test message was not delivered: {0}")]
    Undelivered(String),
}

/// A handle on alerting. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AlertsHandle(pub(crate) Arc<Shared>);

impl AlertsHandle {
    /// How it stands.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let state = self.0.state();
        let mut open: Vec<Incident> =
            state.watch.incidents().filter(|incident| incident.resolved_at.is_none()).cloned().collect();
        open.sort_by_key(|incident| incident.opened_at);
        Overview {
            target: self.0.courier.as_ref().map(|courier| courier.target()),
            rules: state.watch.rules().to_vec(),
            open,
            messages: state.outbox.messages().rev().cloned().collect(),
        }
    }

    /// Sends a test message now, past those that wait, and answers it once it was delivered. It is not tried again.
    ///
    /// # Errors
    /// When there is no webhook, or the receiver did not take it.
    ///
    /// # Cancel safety
    /// A call that is dropped may have sent the message.
    pub async fn test(&self) -> Result<AlertMessage, TestFailed> {
        let courier = self.0.courier.as_ref().ok_or(TestFailed::NoWebhook)?;
        let now = self.0.clock.now();
        let id = || self.0.state().ids.request(now);
        let incident = Incident {
            id: id(),
            rule: "test".to_owned(),
            subject: "alerts".to_owned(),
            what: "this is a test, nothing is wrong; messages arrive".to_owned(),
            since: now,
            opened_at: now,
            told_at: now,
            resolved_at: None,
        };
        let test = message(AlertEvent::Test, incident, now, id());
        let delivered = courier.deliver(&test).await;
        let test = match &delivered {
            Ok(()) => AlertMessage { attempts: 1, fate: MessageFate::Delivered, ..test },
            Err(undelivered) => AlertMessage {
                attempts: 1,
                fate: MessageFate::GivenUp,
                last_error: Some(undelivered.why.clone()),
                ..test
            },
        };
        let mut state = self.0.state();
        state.outbox.note(test.clone());
        self.0.changed(&mut state);
        drop(state);
        delivered.map(|()| test).map_err(|undelivered| TestFailed::Undelivered(undelivered.why))
    }
}
