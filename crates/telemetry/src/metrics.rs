//! All metrics of one server.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use reclaimer_domain::ports::{Arrival, Committed, RunBegun, RunListener, StoreListener, TakenLease};
use reclaimer_domain::recovery::RunReport;

use crate::labels::Bounded;
use crate::observed::Observed;
use crate::tally::Tally;

/// The media type of what [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Counts what it is told of. Never waits, and never fails.
#[derive(Debug)]
pub struct Metrics {
    tally: Tally,
    registry: Registry,
    queues: Bounded,
    version: &'static str,
}

impl Metrics {
    /// Metrics of a server of this version that has not done anything yet.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let tally = Tally::new(&mut registry);
        Self { tally, registry, queues: Bounded::default(), version }
    }

    /// A request was answered: by the template of its route, not by its path.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        self.tally.answered(route, status, took);
    }

    /// Writes everything, in the text format of Prometheus.
    ///
    /// # Errors
    /// Only where a label cannot be written, which is a defect.
    pub fn render(&self, observed: &Observed<'_>) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        prometheus_text::encode(&mut text, &observed.registry(&self.queues, self.version))?;
        Ok(text)
    }
}

impl StoreListener for Metrics {
    fn arrived(&self, _: &[Arrival]) {}

    fn taken(&self, _: &[TakenLease]) {}

    fn committed(&self, group: &Committed) {
        self.tally.committed(group);
    }
}

impl RunListener for Metrics {
    fn begun(&self, _: &RunBegun) {}

    fn ended(&self, report: &RunReport, _: DateTime<Utc>) {
        let result = &report.result;
        if !result.dry_run {
            let took = Duration::from_millis(result.duration_ms);
            self.tally.run_ended(result.trigger.as_str(), report.kind.as_str(), report.success, took);
        }
    }
}
