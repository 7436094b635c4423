//! Where the API tells of its requests, and where it gets the metrics that it shows.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// Counts requests, and writes all metrics of the server.
#[async_trait]
pub trait MetricsSource: Send + Sync + fmt::Debug {
    /// A request was answered. `route` is the template of its path, of which there are a few dozen.
    fn answered(&self, route: &str, status: u16, took: Duration);

    /// All metrics as they stand, or were a moment ago. Answers within seconds even where nothing else does.
    ///
    /// # Errors
    /// Only where one cannot be written, which is a defect.
    async fn page(&self) -> Result<MetricsPage, fmt::Error>;
}

/// All metrics, written out.
#[derive(Debug)]
pub struct MetricsPage {
    /// The media type of the format.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}
