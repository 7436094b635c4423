//! What was counted and what is seen, as `GET /metrics` shows it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use reclaimer_domain::ports::Clock;
use reclaimer_server::{Answered, MetricsPage, MetricsSource};
use reclaimer_telemetry::{CONTENT_TYPE, Metrics, Observed, Request};

use super::observer::{Look, Observer};
use crate::traces::Traces;

/// Everything that `GET /metrics` shows, and what requests are recorded by.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) traces: Option<Arc<Traces>>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl MetricsSource for Counted {
    fn answered(&self, request: &Answered<'_>) {
        let Answered { id, method, route, status, took, traceparent, created } = *request;
        self.metrics.answered(route, status, took);
        if let (Some(traces), Some(traceparent)) = (&self.traces, traceparent) {
            let at = self.clock.now();
            traces.answered(&Request { id, method, route, status, took, at, traceparent, created });
        }
    }

    async fn page(&self) -> Result<MetricsPage, fmt::Error> {
        let look = self.observer.look().await;
        let Look { health, queues } = &*look;
        let observed = Observed { health, queues, waiting: self.observer.waiting(), now: health.at };
        Ok(MetricsPage { content_type: CONTENT_TYPE, text: self.metrics.render(&observed)? })
    }
}
