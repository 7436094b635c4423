//! What runs: one loop looks, one sends, one keeps. None of them waits for another, so that a store that hangs delays no
//! message.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::alert::{AlertEvent, AlertMessage};
use reclaimer_domain::ports::{AlertStore, Clock};
use reclaimer_health::{Beat, HealthSource};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::AREA;
use crate::handle::{AlertsHandle, Shared};
use crate::keeper::Keeper;
use crate::rule::Rule;
use crate::sender::Sender;
use crate::watch::{Terms, Watch};
use crate::webhook::Courier;

/// A turn may take so long before the loop counts as hanging.
const HELD_UP: Duration = Duration::from_secs(60);

/// What alerting does.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whose state is kept; servers that share a database have different names.
    pub owner: String,
    /// Between two looks.
    pub interval: Duration,
    /// What is looked for.
    pub rules: Vec<Rule>,
    /// What counts for all rules.
    pub terms: Terms,
}

/// What alerting needs from outside.
#[derive(Debug)]
pub struct Deps {
    /// Looked at.
    pub source: Arc<dyn HealthSource>,
    /// Remembers over restarts.
    pub store: Arc<dyn AlertStore>,
    /// Takes messages away; `None`: incidents are found and logged, and nobody is told.
    pub courier: Option<Arc<dyn Courier>>,
    /// Tells the time that is stored.
    pub clock: Arc<dyn Clock>,
    /// Ids and pauses are drawn from it.
    pub rng: StdRng,
    /// Proves that the loop turns.
    pub beat: Beat,
}

/// Looks at health, finds incidents and tells of them.
#[derive(Debug)]
pub struct Alerts {
    interval: Duration,
    source: Arc<dyn HealthSource>,
    shared: Arc<Shared>,
    keeper: Keeper,
    sender: Sender,
    beat: Beat,
}

impl Alerts {
    /// Alerting that has not begun.
    #[must_use]
    pub fn new(config: Config, deps: Deps) -> (Self, AlertsHandle) {
        let Config { owner, interval, rules, terms } = config;
        let Deps { source, store, courier, clock, mut rng, beat } = deps;
        let watch = Watch::new(rules, terms);
        let shared = Arc::new(Shared::new(courier, clock, watch, StdRng::from_rng(&mut rng)));
        let keeper = Keeper::new(owner, store, Arc::clone(&shared));
        let sender = Sender::new(Arc::clone(&shared), rng);
        let handle = AlertsHandle(Arc::clone(&shared));
        (Self { interval, source, shared, keeper, sender, beat }, handle)
    }

    /// Looks until `stop` is cancelled. Nothing that fails ends it.
    pub async fn run(self, stop: CancellationToken) {
        let Self { interval, source, shared, keeper, sender, beat } = self;
        let looking = async {
            looks(interval, &*source, &shared, &keeper, &beat, &stop).await;
            beat.rests(Instant::now().into_std());
        };
        tokio::join!(looking, sender.run(&stop), keeper.run(&stop));
        // How the last message ended.
        keeper.keep().await;
    }
}

async fn looks(
    every: Duration,
    source: &dyn HealthSource,
    shared: &Shared,
    keeper: &Keeper,
    beat: &Beat,
    stop: &CancellationToken,
) {
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.turned(Instant::now().into_std(), every.saturating_add(HELD_UP));
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
        }
        // An incident that people know of must not be told again.
        keeper.recall().await;
        let health = source.health().await;
        let mut state = shared.state();
        let state = &mut *state;
        let looked = state.watch.look(&health, || state.ids.request(health.at));
        for message in looked.messages {
            log(&message);
            if shared.courier.is_some() {
                state.outbox.push(message);
            }
        }
        if looked.changed {
            shared.changed(state);
        }
    }
}

fn log(message: &AlertMessage) {
    let incident = &message.incident;
    let (rule, subject) = (incident.rule.as_str(), incident.subject.as_str());
    match message.event {
        AlertEvent::Opened => error!(area = AREA, alert = rule, subject, "alert: {}", incident.what),
        AlertEvent::Reminder => error!(area = AREA, alert = rule, subject, "alert, still: {}", incident.what),
        AlertEvent::Resolved => {
            info!(area = AREA, alert = rule, subject, "alert resolved: {}", incident.what)
        }
        AlertEvent::Test => {}
    }
}

#[cfg(test)]
mod tests;
