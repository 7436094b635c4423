//! Who observes, for whoever wants to know.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::health::Health;

/// Observes the server.
#[async_trait]
pub trait HealthSource: Send + Sync + fmt::Debug {
    /// How it is doing now, or was a moment ago. Answers within seconds even where nothing else does.
    async fn health(&self) -> Arc<Health>;
}
