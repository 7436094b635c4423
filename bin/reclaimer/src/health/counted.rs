//! What was counted and what is seen, as `GET /metrics` shows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reclaimer_server::{MetricsPage, MetricsSource};
use reclaimer_telemetry::{CONTENT_TYPE, Metrics, Observed};

use super::observer::{Look, Observer};

/// Everything that `GET /metrics` shows.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Arc<Observer>,
}

#[async_trait]
impl MetricsSource for Counted {
    fn answered(&self, route: &str, status: u16, took: Duration) {
        self.metrics.answered(route, status, took);
    }

    async fn page(&self) -> Result<MetricsPage, fmt::Error> {
        let look = self.observer.look().await;
        let Look { health, queues } = &*look;
        let observed = Observed { health, queues, waiting: self.observer.waiting(), now: health.at };
        Ok(MetricsPage { content_type: CONTENT_TYPE, text: self.metrics.render(&observed)? })
    }
}
