//! Spans, as the processor gets them.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there fails it")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use opentelemetry::Context;
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::{Change, Committed, StoreListener};
use reclaimer_domain::trace::{SpanId, TraceId};
use reclaimer_telemetry::{Request, Spans};
use reclaimer_testkit::noon;
use serde_json::json;

/// Keeps what it gets.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Kept {
    /// The spans of these changes.
    fn of(changes: Vec<Change>) -> Vec<SpanData> {
        let kept = Self::default();
        Spans::new(kept.clone(), "1").committed(&Committed { changes, ..Committed::default() });
        let spans = kept.0.lock().unwrap();
        spans.clone()
    }
}

fn change(kind: EventKind, detail: Option<serde_json::Value>) -> Change {
    let actor = Actor::Worker("w".parse().unwrap());
    let reason = Some("it said open sesame".to_owned());
    Change {
        event_id: 9,
        job: "J".parse().unwrap(),
        queue: "q".parse().unwrap(),
        command: "c".parse().unwrap(),
        run_at: noon() - TimeDelta::seconds(7),
        recoveries: 0,
        entry: HistoryEntry { at: noon(), kind, from: None, to: None, actor, rule: None, reason, detail },
    }
}

fn began(span: &SpanData) -> Duration {
    span.end_time.duration_since(span.start_time).unwrap()
}

#[test]
fn a_claim_lasts_as_long_as_the_job_waited_and_its_end_as_long_as_it_ran() {
    let lease = json!({ "lease": "abc", "attempt": 2 });
    let ended = json!({ "lease": "abc", "attempt": 2, "ranMs": 5_000 });
    let spans = Kept::of(vec![
        change(EventKind::Created, None),
        change(EventKind::Claimed, Some(lease)),
        change(EventKind::Finished, Some(ended)),
    ]);
    let job: JobId = "J".parse().unwrap();
    assert!(spans.iter().all(|span| span.span_context.trace_id().to_bytes() == TraceId::of_job(&job).0));
    assert!(spans.iter().all(|span| span.end_time == SystemTime::from(noon())));
    let lengths: Vec<u64> = spans.iter().map(|span| began(span).as_secs()).collect();
    assert_eq!(lengths, [0, 7, 5]);
    let kinds: Vec<SpanKind> = spans.iter().map(|span| span.span_kind.clone()).collect();
    assert_eq!(kinds, [SpanKind::Producer, SpanKind::Consumer, SpanKind::Internal]);
    let claim = SpanId::of_claim(&job, "abc").0;
    assert_eq!(spans[1].span_context.span_id().to_bytes(), claim);
    assert_eq!(spans[1].parent_span_id, spans[0].span_context.span_id());
    assert_eq!(spans[2].parent_span_id.to_bytes(), claim);
}

#[test]
fn trouble_is_marked_and_what_a_worker_said_of_it_is_kept_back() {
    for kind in EventKind::ALL {
        let span = Kept::of(vec![change(kind, None)]).remove(0);
        assert!(!format!("{span:?}").contains("sesame"), "{span:?}");
        let trouble = matches!(span.status, SpanStatus::Error { .. });
        let expected = ["failed", "reclaimed", "quarantined", "set_aside", "stale_report"];
        assert_eq!(trouble, expected.contains(&kind.as_str()), "{kind}");
        assert_eq!(span.name, format!("job {kind}"));
    }
}

#[test]
fn a_job_links_to_the_job_that_it_comes_from() {
    let span = Kept::of(vec![change(EventKind::Created, Some(json!({ "spawnedFrom": "P" })))]).remove(0);
    let parent: JobId = "P".parse().unwrap();
    let linked = span.links.first().unwrap().span_context.trace_id();
    assert_eq!(linked.to_bytes(), TraceId::of_job(&parent).0);
}

#[test]
fn requests_are_recorded_where_the_caller_records_its_own() {
    let created: Vec<JobId> = (0..300).map(|number| format!("J{number}").parse().unwrap()).collect();
    let recorded = |traceparent: &str, status| {
        let kept = Kept::default();
        Spans::new(kept.clone(), "1").answered(&Request {
            id: "R",
            method: "POST",
            route: "/api/jobs",
            status,
            took: Duration::from_secs(2),
            at: noon(),
            traceparent,
            created: &created,
        });
        let spans = kept.0.lock().unwrap();
        spans.first().cloned()
    };
    let sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = recorded(sampled, 201).unwrap();
    assert_eq!((span.name.as_ref(), began(&span).as_secs()), ("POST /api/jobs", 2));
    assert_eq!(span.links.len(), 128, "however many jobs there are");
    assert_eq!(span.status, SpanStatus::Unset);
    assert!(matches!(recorded(sampled, 503).unwrap().status, SpanStatus::Error { .. }));
    let not_sampled = sampled.replace("-01", "-00");
    for other in [not_sampled.as_str(), "", "nonsense", "00-0-0-01", &"0".repeat(10_000)] {
        assert_eq!(recorded(other, 201), None, "{other}");
    }
}
