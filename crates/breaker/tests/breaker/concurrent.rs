//! Many callers at once.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use futures::future::poll_fn;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reclaimer_breaker::{Breaker, CircuitBreakerLayer, Settings, State};
use tokio::task::{JoinSet, yield_now};
use tower::{Layer, Service, service_fn};

use crate::rig::{breaker, exact, millis};

const CALLERS: u64 = 64;

/// Half-open until it is ordered otherwise, whatever is reported except a failure.
fn always_half_open(probes: u32) -> Breaker {
    let settings = Settings { probes, probes_to_close: u32::MAX, max_abandoned_probes: u32::MAX, ..exact() };
    let (breaker, ..) = breaker(settings);
    breaker.force_open();
    breaker.auto();
    breaker
}

/// How many are inside, and how many were at most.
#[derive(Default)]
struct Room {
    inside: AtomicU32,
    most: AtomicU32,
}

impl Room {
    fn enter(self: &Arc<Self>) -> Inside {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        Inside(Arc::clone(self))
    }

    fn most(&self) -> u32 {
        self.most.load(Ordering::SeqCst)
    }
}

struct Inside(Arc<Room>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn threads_never_have_more_probes_than_are_allowed() {
    const PROBES: u32 = 3;
    let breaker = always_half_open(PROBES);
    let room = Arc::new(Room::default());
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (breaker, room) = (&breaker, &room);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(caller);
                for _ in 0..500 {
                    let Ok(probe) = breaker.try_acquire() else {
                        thread::yield_now();
                        continue;
                    };
                    let inside = room.enter();
                    thread::yield_now();
                    drop(inside);
                    if rng.random() { probe.success() } else { drop(probe) }
                }
            });
        }
    });
    assert_eq!(room.most(), PROBES, "all places are used, and no more");
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    assert_eq!(breaker.snapshot().probes_in_flight, 0, "every place came back");
}

/// The breaker goes through its states while time passes and calls end as they like. In no generation are there more
/// probes than allowed, and the listener hears of every transition, in order.
#[test]
fn transitions_under_load_are_told_in_order() {
    const PROBES: u32 = 2;
    let settings = Settings { probes: PROBES, consecutive_failures: Some(3), ..Settings::default() };
    let (breaker, hands, log) = breaker(settings);
    let probes: Mutex<HashMap<u64, u32>> = Mutex::default();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (breaker, hands, probes) = (&breaker, &hands, &probes);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(caller);
                for _ in 0..500 {
                    hands.advance(millis(rng.random_range(0..400)));
                    let Ok(permit) = breaker.try_acquire() else { continue };
                    let probe = permit.is_probe().then(|| permit.generation());
                    if let Some(generation) = probe {
                        let mut probes = probes.lock().unwrap();
                        let under_way = probes.entry(generation).or_default();
                        *under_way += 1;
                        assert!(*under_way <= PROBES);
                    }
                    thread::yield_now();
                    if let Some(generation) = probe {
                        *probes.lock().unwrap().entry(generation).or_default() -= 1;
                    }
                    match rng.random_range(0..4) {
                        0 => permit.success(),
                        1 => drop(permit),
                        _ => permit.failure(),
                    }
                }
            });
        }
    });
    let last = breaker.snapshot();
    let log = log.lock().unwrap();
    let mut state = State::Closed;
    for (number, event) in (1..).zip(log.iter()) {
        assert_eq!((event.generation, event.from), (number, state));
        state = event.to;
    }
    assert_eq!((last.generation, last.state), (log.len() as u64, state));
    assert!(log.len() > 20, "only {} transitions", log.len());
}

/// Calls through the layer are cancelled at any point: before they are polled, in the middle, at their end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelled_calls_never_leave_more_probes_than_are_allowed() {
    const PROBES: u32 = 2;
    let breaker = always_half_open(PROBES);
    let room = Arc::new(Room::default());
    let inner = {
        let room = Arc::clone(&room);
        service_fn(move |turns: u32| {
            let inside = room.enter();
            async move {
                let _inside = inside;
                for _ in 0..turns {
                    yield_now().await;
                }
                Ok::<(), std::io::Error>(())
            }
        })
    };
    let service = CircuitBreakerLayer::new(breaker.clone()).layer(inner);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call_and_cancel(service.clone(), StdRng::seed_from_u64(caller)));
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(breaker.snapshot().probes_in_flight, 0, "every place came back");
    assert_eq!(room.most(), PROBES, "all places are used, and no more");
}

/// Polls some of the responses to their end, and drops the others before.
async fn call_and_cancel<S: Service<u32, Error: Debug>>(mut service: S, mut rng: StdRng) {
    for _ in 0..500 {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        let mut response = Box::pin(service.call(rng.random_range(0..5)));
        for _ in 0..rng.random_range(0..5) {
            if poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await.is_ready() {
                break;
            }
            yield_now().await;
        }
        drop(response);
        yield_now().await;
    }
}
