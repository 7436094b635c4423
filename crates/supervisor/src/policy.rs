//! What follows the end of a process: pure, of its cause, its history, time and chance.
//!
//! | restart \ end | exit 0 | exit 64, 78 | any other end of its own | asked for |
//! |---|---|---|---|---|
//! | always | restart | hold | restart | done |
//! | on failure | done | hold | restart | done |
//! | never | done | done | done | done |
//!
//! A restart comes after a delay that doubles until the process is stable, that is, was ready for the whole window of
//! its limit. If the window holds `max_restarts` already, the process is given up instead: tried slowly until it is stable,
//! or held.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::evidence::Cause;
use crate::listener::Why;
use crate::spec::{OnExhausted, Restart, Spec};

/// Exit codes that say that a restart cannot help: wrong usage and wrong configuration, as in `sysexits.h`.
const HOPELESS: [i32; 2] = [64, 78];

/// Every delay is spread by this share, up and down, the longest too.
const JITTER: f64 = 0.2;

/// What a decision goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) restart: Restart,
    pub(crate) delay: Duration,
    pub(crate) longest_delay: Duration,
    pub(crate) max_restarts: u32,
    pub(crate) within: Duration,
    pub(crate) on_exhausted: OnExhausted,
    pub(crate) slow_retry: Duration,
}

impl Terms {
    pub(crate) fn new(spec: &Spec, slow_retry: Duration) -> Self {
        Self {
            restart: spec.restart,
            delay: spec.restart_delay,
            longest_delay: spec.longest_delay(),
            max_restarts: spec.max_restarts,
            within: spec.within,
            on_exhausted: spec.on_exhausted,
            slow_retry,
        }
    }
}

/// The restarts of one process that still count.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    restarts: VecDeque<Instant>,
    in_a_row: u32,
    exhausted: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is started again after this time.
    Restart { after: Duration },
    /// It is given up: tried again after a long time, or not before somebody restarts it.
    GiveUp { why: Why, retry_after: Option<Duration> },
    /// It came to its end.
    Done,
}

impl Terms {
    /// Decides, and notes the decision in the history. `ready_for` is how long the process was ready.
    pub(crate) fn decide<R: rand::Rng + ?Sized>(
        &self,
        history: &mut History,
        cause: &Cause,
        ready_for: Option<Duration>,
        now: Instant,
        rng: &mut R,
    ) -> Next {
        if ready_for.is_some_and(|time| time >= self.within) {
            *history = History::default();
        }
        match (self.restart, cause) {
            (_, Cause::Stopped) | (Restart::Never, _) | (Restart::OnFailure, Cause::Exited { code: 0 }) => {
                Next::Done
            }
            (_, Cause::Exited { code }) if HOPELESS.contains(code) => {
                Next::GiveUp { why: Why::Hopeless { code: *code }, retry_after: None }
            }
            (Restart::Always | Restart::OnFailure, _) => self.again(history, now, rng),
        }
    }

    fn again<R: rand::Rng + ?Sized>(&self, history: &mut History, now: Instant, rng: &mut R) -> Next {
        history.restarts.retain(|at| now.saturating_duration_since(*at) < self.within);
        let used = u32::try_from(history.restarts.len()).unwrap_or(u32::MAX);
        if history.exhausted || used >= self.max_restarts {
            history.exhausted = true;
            let retry_after = match self.on_exhausted {
                OnExhausted::Slow => Some(spread(self.slow_retry, rng)),
                OnExhausted::Hold => None,
            };
            let why = Why::Exhausted { restarts: self.max_restarts, within: self.within };
            return Next::GiveUp { why, retry_after };
        }
        history.restarts.push_back(now);
        let growth = 1_u32.checked_shl(history.in_a_row).unwrap_or(u32::MAX);
        history.in_a_row = history.in_a_row.saturating_add(1);
        Next::Restart { after: spread(self.delay.saturating_mul(growth).min(self.longest_delay), rng) }
    }
}

fn spread<R: rand::Rng + ?Sized>(delay: Duration, rng: &mut R) -> Duration {
    delay.mul_f64(rng.random_range(1.0 - JITTER..=1.0 + JITTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    const SECOND: Duration = Duration::from_secs(1);

    fn terms() -> Terms {
        Terms::new(&Spec::new("crawler", "/bin/true"), SECOND * 300)
    }

    /// A process whose ends are decided about, in a time that only the test moves.
    struct Process {
        terms: Terms,
        history: History,
        now: Instant,
        rng: StdRng,
    }

    impl Process {
        fn new(terms: Terms) -> Self {
            Self { terms, history: History::default(), now: Instant::now(), rng: StdRng::seed_from_u64(7) }
        }

        /// It runs for a while, ready from the first moment on, and fails; time then passes until it is started again.
        fn fails_after(&mut self, time: Duration) -> Next {
            self.ends_after(time, Some(time), &Cause::Exited { code: 1 })
        }

        fn ends_after(&mut self, time: Duration, ready_for: Option<Duration>, cause: &Cause) -> Next {
            self.now += time;
            let next = self.terms.decide(&mut self.history, cause, ready_for, self.now, &mut self.rng);
            if let Next::Restart { after } | Next::GiveUp { retry_after: Some(after), .. } = next {
                self.now += after;
            }
            next
        }
    }

    #[track_caller]
    fn assert_about(next: Next, expected: Duration) {
        let Next::Restart { after } = next else { panic!("{next:?} is no restart") };
        assert!(
            after >= expected.mul_f64(1.0 - JITTER) && after <= expected.mul_f64(1.0 + JITTER),
            "{after:?} is not about {expected:?}"
        );
    }

    /// Every kind of end.
    fn causes() -> [Cause; 13] {
        [
            Cause::Exited { code: 0 },
            Cause::Exited { code: 1 },
            Cause::Exited { code: 64 },
            Cause::Exited { code: 78 },
            Cause::Signalled { signal: 9 },
            Cause::MemoryLimit,
            Cause::OutOfMemory,
            Cause::NeverReady,
            Cause::Deaf,
            Cause::NotStarted { why: "no such file".to_owned() },
            Cause::GuardLost,
            Cause::Stopped,
            Cause::Exited { code: 65 },
        ]
    }

    #[test]
    fn each_end_has_what_follows() {
        let row = |restart: Restart| {
            causes().map(|cause| {
                match Process::new(Terms { restart, ..terms() }).ends_after(SECOND, None, &cause) {
                    Next::Restart { .. } => "restart",
                    Next::GiveUp { why: Why::Hopeless { .. }, retry_after: None } => "hopeless",
                    Next::GiveUp { .. } => "given up",
                    Next::Done => "done",
                }
            })
        };
        let (r, h, d) = ("restart", "hopeless", "done");
        //                                      0  1  64 78 K  ml oom nr de ns gl st 65
        assert_eq!(row(Restart::Always), [r, r, h, h, r, r, r, r, r, r, r, d, r]);
        assert_eq!(row(Restart::OnFailure), [d, r, h, h, r, r, r, r, r, r, r, d, r]);
        assert_eq!(row(Restart::Never), [d; 13]);
    }

    #[test]
    fn the_delay_doubles_to_its_bound_until_the_process_is_stable() {
        let mut process = Process::new(terms());
        for expected in [1, 2, 4, 6, 6] {
            assert_about(process.fails_after(SECOND), SECOND * expected);
        }
        assert_eq!(process.terms.longest_delay, SECOND * 6);

        let mut process = Process::new(terms());
        assert_about(process.fails_after(SECOND), SECOND);
        assert_about(process.fails_after(SECOND * 59), SECOND * 2);
        assert_about(process.fails_after(SECOND * 60), SECOND);
    }

    #[test]
    fn a_process_that_never_was_ready_was_not_stable() {
        let mut process = Process::new(terms());
        assert_about(process.ends_after(SECOND * 3_600, None, &Cause::NeverReady), SECOND);
        assert_about(process.ends_after(SECOND * 3_600, None, &Cause::NeverReady), SECOND * 2);
    }

    #[test]
    fn a_process_given_up_is_tried_slowly_until_it_is_stable() {
        let mut process = Process::new(Terms { max_restarts: 2, ..terms() });
        assert!(matches!(process.fails_after(SECOND), Next::Restart { .. }));
        assert!(matches!(process.fails_after(SECOND), Next::Restart { .. }));
        for seconds in [1, 59, 59, 59] {
            let Next::GiveUp { retry_after: Some(after), .. } = process.fails_after(SECOND * seconds) else {
                panic!("not given up")
            };
            assert!(after >= SECOND * 240 && after <= SECOND * 360);
        }
        assert_about(process.fails_after(SECOND * 60), SECOND);
    }

    #[test]
    fn a_process_given_up_may_be_held() {
        let mut process = Process::new(Terms { max_restarts: 0, on_exhausted: OnExhausted::Hold, ..terms() });
        let why = Why::Exhausted { restarts: 0, within: SECOND * 60 };
        assert_eq!(process.fails_after(SECOND), Next::GiveUp { why, retry_after: None });
    }

    #[test]
    fn restarts_are_forgotten_when_they_leave_the_window() {
        let mut process = Process::new(Terms { max_restarts: 1, ..terms() });
        for _ in 0..20 {
            assert!(matches!(process.ends_after(SECOND * 60, None, &Cause::Deaf), Next::Restart { .. }));
        }
    }

    /// Terms as the checks of a worker let them through.
    fn any_terms() -> impl Strategy<Value = Terms> {
        let restart = prop_oneof![Just(Restart::Always), Just(Restart::OnFailure), Just(Restart::Never)];
        let exhausted = prop_oneof![Just(OnExhausted::Slow), Just(OnExhausted::Hold)];
        (restart, exhausted, 0_u32..20, 1_u64..600, 0.0..1.0_f64).prop_map(
            |(restart, on_exhausted, max_restarts, within, share)| {
                let mut spec = Spec::new("crawler", "/bin/true");
                spec.restart = restart;
                spec.on_exhausted = on_exhausted;
                spec.max_restarts = max_restarts;
                spec.within = SECOND * u32::try_from(within).unwrap();
                spec.restart_delay = spec.longest_delay().mul_f64(share);
                Terms::new(&spec, SECOND * 300)
            },
        )
    }

    proptest! {
        #[test]
        fn a_process_that_ends_at_once_is_given_up_after_exactly_its_restarts(terms in any_terms(), seed: u64) {
            let terms = Terms { restart: Restart::Always, ..terms };
            let mut process = Process { rng: StdRng::seed_from_u64(seed), ..Process::new(terms.clone()) };
            for _ in 0..terms.max_restarts {
                let next = process.fails_after(Duration::ZERO);
                prop_assert!(matches!(next, Next::Restart { .. }), "{next:?}");
            }
            let next = process.fails_after(Duration::ZERO);
            prop_assert!(matches!(next, Next::GiveUp { .. }), "{next:?}");
        }

        #[test]
        fn no_window_ever_holds_more_restarts_than_allowed(
            terms in any_terms(),
            seed: u64,
            runs in prop::collection::vec((0_u64..200_000, any::<bool>(), 0_usize..13), 1..200),
        ) {
            let mut process = Process { rng: StdRng::seed_from_u64(seed), ..Process::new(terms.clone()) };
            let mut restarts: Vec<Instant> = Vec::new();
            let mut given_up = false;
            for (millis, ready, cause) in runs {
                let time = Duration::from_millis(millis);
                let cause = &causes()[cause];
                let decided_at = process.now + time;
                let next = process.ends_after(time, ready.then_some(time), cause);
                if ready && time >= terms.within {
                    restarts.clear();
                    given_up = false;
                }
                match next {
                    Next::Restart { after } => {
                        prop_assert!(after <= terms.longest_delay.mul_f64(1.0 + JITTER));
                        prop_assert!(!given_up, "quick again before it was stable");
                        restarts.push(decided_at);
                        let window = restarts.iter().filter(|at| decided_at - **at < terms.within).count();
                        prop_assert!(window <= terms.max_restarts as usize);
                    }
                    Next::GiveUp { why: Why::Exhausted { .. }, retry_after } => {
                        prop_assert_eq!(retry_after.is_some(), terms.on_exhausted == OnExhausted::Slow);
                        given_up = true;
                    }
                    Next::GiveUp { why: Why::Hopeless { code }, retry_after } => {
                        prop_assert!(HOPELESS.contains(&code) && retry_after.is_none());
                    }
                    Next::Done => {}
                }
                if let Cause::Exited { code: 64 | 78 } = cause {
                    prop_assert!(!matches!(next, Next::Restart { .. }), "restarted");
                }
            }
        }
    }
}
