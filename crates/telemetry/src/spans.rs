//! Spans, made of what is known to have happened.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::ports::{Arrival, Change, Committed, RunBegun, RunListener, StoreListener, TakenLease};
use reclaimer_domain::recovery::RunReport;
use reclaimer_domain::time::{before, between};
use reclaimer_domain::trace::{SpanId, TraceId};

/// A request links to no more jobs than this.
const MOST_LINKS: usize = 128;

/// Tells a processor of spans what happens to jobs, in runs of recovery, and in requests of callers that record traces.
///
/// A span of a job is made when what it tells of is committed, and of nothing else than that: no trace shows what the
/// database does not know. It has ids that follow from the job's (see [`reclaimer_domain::trace`]), so that no span has to be
/// kept open, and a trace goes on after a restart.
#[derive(Debug)]
pub struct Spans<P> {
    processor: P,
    scope: InstrumentationScope,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The template of its path.
    pub route: &'a str,
    /// The answer's status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// Which span of the caller's it belongs to.
    pub traceparent: &'a str,
    /// The jobs that it created.
    pub created: &'a [JobId],
}

impl<P: SpanProcessor> Spans<P> {
    /// Spans for this processor, which must never wait; they come from the thread that writes, too.
    pub fn new(processor: P, version: &'static str) -> Self {
        let scope = InstrumentationScope::builder("reclaimer").with_version(version).build();
        Self { processor, scope }
    }

    /// Hands on what is held back, and takes nothing more. Waits for that a few seconds at most.
    pub fn end(&self) {
        // What could not be handed on is lost, as the processor says in the log.
        drop(self.processor.shutdown());
    }

    /// A request of a caller that records traces was answered; nothing where its `traceparent` is none or not sampled. What
    /// becomes of the jobs that it created is in traces of their own, to which its span links: one request may create a
    /// thousand, and each may last for days.
    pub fn answered(&self, request: &Request<'_>) {
        let carrier = HashMap::from([("traceparent".to_owned(), request.traceparent.to_owned())]);
        let context = TraceContextPropagator::new().extract(&carrier);
        let parent = context.span().span_context().clone();
        if !parent.is_valid() || !parent.is_sampled() {
            return;
        }
        let own = SpanContext::new(
            parent.trace_id(),
            id(SpanId::of_request(request.id, request.at)),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        let mut span = Span::at(own, request.at);
        span.0.parent_span_id = parent.span_id();
        span.0.parent_span_is_remote = true;
        span.0.span_kind = SpanKind::Server;
        span.0.name = format!("{} {}", request.method, request.route).into();
        span.0.start_time = before(request.at, request.took).into();
        span.say("http.request.method", request.method.to_owned());
        span.say("http.route", request.route.to_owned());
        span.say("http.response.status_code", i64::from(request.status));
        span.say("reclaimer.request_id", request.id.to_owned());
        if request.status >= 500 {
            span.0.status = Status::error("");
        }
        for job in request.created.iter().take(MOST_LINKS) {
            span.link(of_job(job, SpanId::of_creation(job)));
        }
        self.tell(span);
    }

    fn tell(&self, mut span: Span) {
        span.0.instrumentation_scope = self.scope.clone();
        self.processor.on_end(span.0);
    }
}

impl<P: SpanProcessor> StoreListener for Spans<P> {
    fn arrived(&self, _: &[Arrival]) {}

    fn taken(&self, _: &[TakenLease]) {}

    fn committed(&self, group: &Committed) {
        for change in &group.changes {
            self.tell(happened(change));
        }
    }
}

impl<P: SpanProcessor> RunListener for Spans<P> {
    fn begun(&self, _: &RunBegun) {}

    fn ended(&self, report: &RunReport, at: DateTime<Utc>) {
        let result = &report.result;
        if result.dry_run {
            return;
        }
        let mut span = Span::at(of_run(&result.run_id), at);
        span.0.name = "recovery run".into();
        span.0.start_time = before(at, Duration::from_millis(result.duration_ms)).into();
        span.say("reclaimer.run_id", result.run_id.to_string());
        span.say("reclaimer.trigger", result.trigger.as_str());
        span.say("reclaimer.type", report.kind.as_str());
        span.say("reclaimer.recovered", i64::from(result.recovered_jobs));
        span.say("reclaimer.quarantined", i64::from(result.quarantined_jobs));
        if !report.success {
            span.0.status = Status::error("");
        }
        self.tell(span);
    }
}

/// A span in the making.
struct Span(SpanData);

impl Span {
    /// One of no length.
    fn at(own: SpanContext, at: DateTime<Utc>) -> Self {
        let at: SystemTime = at.into();
        Self(SpanData {
            span_context: own,
            parent_span_id: opentelemetry::SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(""),
            start_time: at,
            end_time: at,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        })
    }

    fn say(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        self.0.attributes.push(KeyValue::new(key, value));
    }

    fn link(&mut self, to: SpanContext) {
        self.0.links.links.push(Link::with_context(to));
    }
}

/// What happened to a job. A claim lasts from the moment the job was due; what is said about the run that it began is under it,
/// and the end of the run as long as the run. What a worker said of its failure stays in the database.
fn happened(change: &Change) -> Span {
    let (job, entry) = (&change.job, &change.entry);
    let lease = detail(entry, "lease");
    let (own, parent) = match (entry.kind, lease) {
        (EventKind::Created, _) => (SpanId::of_creation(job), None),
        (EventKind::Claimed, Some(lease)) => (SpanId::of_claim(job, lease), Some(SpanId::of_creation(job))),
        (_, Some(lease)) => (SpanId::of_event(job, change.event_id), Some(SpanId::of_claim(job, lease))),
        (_, None) => (SpanId::of_event(job, change.event_id), Some(SpanId::of_creation(job))),
    };
    let mut span = Span::at(of_job(job, own), entry.at);
    span.0.name = format!("job {}", entry.kind).into();
    if let Some(parent) = parent {
        span.0.parent_span_id = id(parent);
    }
    span.0.start_time = before(entry.at, length(change)).into();
    span.0.span_kind = match entry.kind {
        EventKind::Created => SpanKind::Producer,
        EventKind::Claimed => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    if is_trouble(entry.kind) {
        span.0.status = Status::error("");
    }
    span.say("reclaimer.job_id", job.to_string());
    span.say("reclaimer.queue", change.queue.to_string());
    span.say("reclaimer.command", change.command.to_string());
    span.say("reclaimer.event_id", change.event_id);
    span.say("reclaimer.actor", entry.actor.to_string());
    if let Some(rule) = &entry.rule {
        span.say("reclaimer.rule", rule.to_string());
    }
    if let Some(attempt) = entry.detail.as_ref().and_then(|detail| detail.get("attempt")?.as_i64()) {
        span.say("reclaimer.attempt", attempt);
    }
    if let Actor::Recovery(run) = &entry.actor {
        span.link(of_run(run));
    }
    if let Some(parent) = detail(entry, "spawnedFrom").and_then(|parent| parent.parse().ok()) {
        span.link(of_job(&parent, SpanId::of_creation(&parent)));
    }
    span
}

/// How long that took which ended by it.
fn length(change: &Change) -> Duration {
    let entry = &change.entry;
    if entry.kind == EventKind::Claimed {
        return between(change.run_at, entry.at);
    }
    let ran = entry.detail.as_ref().and_then(|detail| detail.get("ranMs")?.as_u64());
    ran.map_or(Duration::ZERO, Duration::from_millis)
}

fn is_trouble(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Failed
            | EventKind::Reclaimed
            | EventKind::Quarantined
            | EventKind::SetAside
            | EventKind::StaleReport
    )
}

fn detail<'a>(entry: &'a HistoryEntry, key: &str) -> Option<&'a str> {
    entry.detail.as_ref()?.get(key)?.as_str()
}

fn id(span: SpanId) -> opentelemetry::SpanId {
    opentelemetry::SpanId::from_bytes(span.0)
}

fn of_job(job: &JobId, span: SpanId) -> SpanContext {
    context(TraceId::of_job(job), span)
}

fn of_run(run: &RunId) -> SpanContext {
    context(TraceId::of_run(run), SpanId::of_run(run))
}

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    let trace = opentelemetry::TraceId::from_bytes(trace.0);
    SpanContext::new(trace, id(span), TraceFlags::SAMPLED, false, TraceState::NONE)
}
