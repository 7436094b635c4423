//! What the API shows of the server's own health, asked of whoever observes it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use reclaimer_health::Health;

/// Observes the server.
#[async_trait]
pub trait HealthSource: Send + Sync + fmt::Debug {
    /// How it is doing now, or was a moment ago. Answers within seconds even where nothing else does.
    async fn health(&self) -> Arc<Health>;
}
