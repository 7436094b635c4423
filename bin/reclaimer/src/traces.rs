//! Traces, sent by OTLP to where the environment says, by the names of the OpenTelemetry specification.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use reclaimer_telemetry::Spans;
use tokio::runtime::Handle;
use tracing::{info, warn};

/// What records traces. While nobody takes them it holds as many spans as the processor does, and drops further ones.
pub(crate) type Traces = Spans<BatchSpanProcessor>;

/// One of these set turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// A collector that does not answer for so long has not taken what was sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the environment asks for. Called within the runtime, which then sends.
///
/// # Errors
/// When it asks for something that cannot be.
pub(crate) fn from_environment() -> Result<Option<Arc<Traces>>> {
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let off = read("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || read("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if off || !ENDPOINTS.into_iter().any(|name| read(name).is_some()) {
        return Ok(None);
    }
    let client = Client {
        http: reqwest::Client::builder().timeout(PATIENCE).build()?,
        runtime: Handle::current(),
        away: AtomicBool::new(false),
    };
    let exporter =
        SpanExporter::builder().with_http().with_http_client(client).build().context(
            "traces cannot be sent as the variables OTEL_EXPORTER_OTLP_… say; only http/protobuf can",
        )?;
    let mut resource = Resource::builder();
    if read("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("reclaimer");
    }
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    processor.set_resource(&resource.build());
    info!(area = "JOB-MANAGER", "traces are sent by OTLP");
    Ok(Some(Arc::new(Spans::new(processor, env!("CARGO_PKG_VERSION")))))
}

/// Sends for the exporter, whose thread is none of the runtime's.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last attempt failed.
    away: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request: reqwest::Request = request.try_into()?;
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move {
            let answer = http.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            reqwest::Result::Ok((status, headers, answer.bytes().await?))
        });
        // An address may hold a secret.
        let sent = sending.await?.map_err(reqwest::Error::without_url);
        let trouble = match &sent {
            Ok((status, ..)) => (!status.is_success()).then(|| format!("the collector answered {status}")),
            Err(error) => Some(error.source().map_or_else(|| error.to_string(), ToString::to_string)),
        };
        let was_away = self.away.swap(trouble.is_some(), Ordering::Relaxed);
        match (trouble, was_away) {
            (Some(error), false) => {
                warn!(
                    area = "JOB-MANAGER",
                    error, "traces cannot be sent; what is not taken soon is dropped"
                );
            }
            (None, true) => info!(area = "JOB-MANAGER", "traces are taken again"),
            (Some(_), true) | (None, false) => {}
        }
        let (status, headers, body) = sent?;
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}
