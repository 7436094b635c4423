//! The layer around a mocked service, in paused time.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::future::{FutureExt, pending, poll_fn, ready};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_breaker::{
    Breaker, BreakerError, CircuitBreaker, CircuitBreakerLayer, CircuitOpen, Deps, Rate, Settings, SlowCalls,
    State, Window,
};
use tokio::time::advance;
use tower::{BoxError, Layer, Service, service_fn};
use tower_test::mock::{Handle, Mock, Spawn, spawn_layer};
use tower_test::{assert_request_eq, mock};

use crate::rig::{exact, millis, seconds};

type Guarded = Spawn<CircuitBreaker<Mock<&'static str, &'static str>>>;

fn breaker(settings: Settings) -> Breaker {
    Breaker::try_new(settings, Deps::new(StdRng::seed_from_u64(7))).unwrap()
}

/// One failure opens it.
fn fragile() -> Breaker {
    breaker(Settings { consecutive_failures: Some(1), ..exact() })
}

fn guarded(breaker: &Breaker) -> (Guarded, Handle<&'static str, &'static str>) {
    spawn_layer(CircuitBreakerLayer::new(breaker.clone()))
}

#[track_caller]
fn assert_ready(service: &mut Guarded) {
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
}

async fn fail(service: &mut Guarded, handle: &mut Handle<&'static str, &'static str>) {
    assert_ready(service);
    let response = service.call("fails");
    assert_request_eq!(handle, "fails").send_error("broken");
    assert!(matches!(response.await, Err(BreakerError::Inner(_))));
}

/// The refusal that a call is answered with at once.
#[track_caller]
fn refusal(response: impl Future<Output = Result<&'static str, BreakerError<BoxError>>>) -> CircuitOpen {
    match response.now_or_never() {
        Some(Err(BreakerError::Open(open))) => open,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn while_closed_it_is_not_there() {
    let (mut service, mut handle) = guarded(&fragile());
    assert_ready(&mut service);
    let response = service.call("ping");
    assert_request_eq!(handle, "ping").send_response("pong");
    assert_eq!(response.await.unwrap(), "pong");
}

#[tokio::test(start_paused = true)]
async fn while_open_it_is_ready_and_refuses_without_asking_the_service() {
    let (mut service, mut handle) = guarded(&breaker(exact()));
    for _ in 0..5 {
        fail(&mut service, &mut handle).await;
    }
    handle.allow(0);
    advance(seconds(10)).await;
    assert_ready(&mut service);
    let open = refusal(service.call("early"));
    assert_eq!((open.state, open.retry_after), (State::Open, Some(seconds(20))));
    assert!(handle.poll_request().is_pending(), "nothing came through");
}

#[tokio::test(start_paused = true)]
async fn one_probe_goes_through_and_its_success_closes_the_circuit() {
    let breaker = fragile();
    let (mut service, mut handle) = guarded(&breaker);
    let mut other = service.clone();
    fail(&mut service, &mut handle).await;
    advance(seconds(30)).await;

    assert_ready(&mut service);
    let probe = service.call("probe");
    assert_ready(&mut other);
    let open = refusal(other.call("refused"));
    assert_eq!(open.state, State::HalfOpen);

    assert_request_eq!(handle, "probe").send_response("pong");
    assert_eq!(probe.await.unwrap(), "pong");
    assert_eq!(breaker.snapshot().state, State::Closed);
    assert_ready(&mut other);
    let response = other.call("ping");
    assert_request_eq!(handle, "ping").send_response("pong");
    assert_eq!(response.await.unwrap(), "pong");
}

#[tokio::test(start_paused = true)]
async fn to_be_ready_holds_no_probe() {
    let (mut service, mut handle) = guarded(&fragile());
    let mut other = service.clone();
    fail(&mut service, &mut handle).await;
    advance(seconds(30)).await;
    assert_ready(&mut service);
    assert_ready(&mut other);
    let probe = other.call("probe");
    // The first was ready when there was a probe to be had; now there is none.
    let open = refusal(service.call("refused"));
    assert_eq!(open.state, State::HalfOpen);
    assert_request_eq!(handle, "probe").send_response("pong");
    probe.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_response_gives_its_probe_back() {
    let breaker = fragile();
    let (mut service, mut handle) = guarded(&breaker);
    fail(&mut service, &mut handle).await;
    advance(seconds(30)).await;
    assert_ready(&mut service);
    drop(service.call("given up"));
    assert_eq!((breaker.snapshot().probes_in_flight, breaker.snapshot().probes_abandoned), (0, 1));
    assert_request_eq!(handle, "given up").send_response("too late");

    assert_ready(&mut service);
    let probe = service.call("probe");
    assert_request_eq!(handle, "probe").send_response("pong");
    probe.await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
}

/// Says when it is dropped whether its probe was still counted.
struct Watched {
    breaker: Breaker,
    counted: Arc<AtomicBool>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.counted.store(self.breaker.snapshot().probes_in_flight == 1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_has_gone_when_its_probe_is_free() {
    let breaker = fragile();
    breaker.force_open();
    breaker.auto();
    let counted = Arc::new(AtomicBool::new(false));
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(service_fn(|()| {
        let watched = Watched { breaker: breaker.clone(), counted: Arc::clone(&counted) };
        async move {
            let _watched = watched;
            pending::<Result<(), BoxError>>().await
        }
    }));
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    drop(service.call(()));
    assert!(counted.load(Ordering::SeqCst));
    assert_eq!(breaker.snapshot().probes_in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_opens_the_circuit_again_and_its_late_response_still_arrives() {
    let breaker = fragile();
    let (mut service, mut handle) = guarded(&breaker);
    fail(&mut service, &mut handle).await;
    advance(seconds(30)).await;
    assert_ready(&mut service);
    let probe = service.call("hangs");
    advance(seconds(30)).await;
    assert_eq!(breaker.snapshot().state, State::Open);
    assert_request_eq!(handle, "hangs").send_response("at last");
    assert_eq!(probe.await.unwrap(), "at last");
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_wakes_whoever_waits() {
    let (mut service, mut handle) = guarded(&fragile());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    assert!(!service.is_woken());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready(&mut service);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_not_asked_is_not_called_when_its_time_has_come_meanwhile() {
    let (mut service, mut handle) = guarded(&fragile());
    fail(&mut service, &mut handle).await;
    handle.allow(0);
    assert_ready(&mut service);
    advance(seconds(31)).await;
    let open = refusal(service.call("refused"));
    assert_eq!(open.retry_after, Some(seconds(0)), "come again");
    assert!(service.poll_ready().is_pending(), "now it is asked");
    handle.allow(1);
    assert_ready(&mut service);
    let probe = service.call("probe");
    assert_request_eq!(handle, "probe").send_response("pong");
    probe.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clones_do_not_share_readiness() {
    let (mut service, mut handle) = guarded(&fragile());
    fail(&mut service, &mut handle).await;
    assert_ready(&mut service);
    advance(seconds(30)).await;
    // The original was told that it is refused. Its clone was told nothing.
    let mut clone = service.clone();
    assert_ready(&mut clone);
    let probe = clone.call("probe");
    assert_request_eq!(handle, "probe").send_response("pong");
    probe.await.unwrap();
    refusal(service.call("refused"));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_become_ready_has_failed() {
    let breaker = fragile();
    let (mut service, mut handle) = guarded(&breaker);
    handle.send_error("gone");
    let Poll::Ready(Err(BreakerError::Inner(error))) = service.poll_ready() else { panic!("it is gone") };
    assert_eq!(error.to_string(), "gone");
    assert_eq!(breaker.snapshot().state, State::Open);
    assert_ready(&mut service);
    refusal(service.call("refused"));
}

#[tokio::test(start_paused = true)]
async fn a_classifier_says_what_a_failure_is() {
    let breaker = fragile();
    let layer = CircuitBreakerLayer::new(breaker.clone())
        .classify(|result: &Result<u16, io::Error>| matches!(result, Ok(500..)));
    let mut service = layer.layer(service_fn(|status: u16| {
        ready(if status == 0 { Err(io::Error::other("no answer")) } else { Ok(status) })
    }));
    for (status, state) in [(404, State::Closed), (0, State::Closed), (503, State::Open)] {
        poll_fn(|cx| Service::<u16>::poll_ready(&mut service, cx)).await.unwrap();
        service.call(status).await.ok();
        assert_eq!(breaker.snapshot().state, state, "after {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_are_measured_by_the_breakers_clock() {
    let rate = Rate { window: Window::Calls(1), min_calls: 1, threshold: 1.0 };
    let slow_calls = Some(SlowCalls { slow_after: seconds(2), rate });
    let breaker = breaker(Settings { slow_calls, ..exact() });
    let (mut service, mut handle) = guarded(&breaker);
    for (time, state) in [(millis(1_999), State::Closed), (millis(2_000), State::Open)] {
        assert_ready(&mut service);
        let response = service.call("ping");
        let request = handle.next_request().await.unwrap().1;
        advance(time).await;
        request.send_response("pong");
        response.await.unwrap();
        assert_eq!(breaker.snapshot().state, state, "after {time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_a_boxed_error_can_be_found() {
    let (mut service, mut handle) = guarded(&fragile());
    assert_ready(&mut service);
    let response = service.call("ping");
    let request = handle.next_request().await.unwrap().1;
    request.send_error(io::Error::other("broken"));
    let error = response.await.unwrap_err().into_boxed();
    assert!(error.is::<io::Error>());
    assert_ready(&mut service);
    let error = service.call("ping").await.unwrap_err().into_boxed();
    assert_eq!(error.downcast_ref::<CircuitOpen>().unwrap().retry_after, Some(seconds(30)));
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_their_breaker() {
    let layer = CircuitBreakerLayer::new(fragile());
    let (mut one, mut handle) = mock::spawn_layer(layer.clone());
    let (mut other, _handle) = spawn_layer(layer);
    fail(&mut one, &mut handle).await;
    assert_ready(&mut other);
    refusal(other.call("refused"));
}
