//! What may happen to a store, as proptest makes it up.

use proptest::prelude::*;
use proptest::sample::Index;
use reclaimer_domain::job::{Counter, Reset};

/// One thing that somebody does. What it is done to is an index into what there is by then.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// A producer orders a job.
    Create { queue: u8, priority: i64, delay: i64, key: Option<u8>, max_attempts: u32 },
    /// A worker asks for jobs.
    Claim { worker: u8, queue: Option<u8>, most: usize },
    /// Two workers ask at once, each its own server.
    ClaimAtOnce { most: usize },
    /// Somebody reports on a job.
    Report { job: Index, by: By, end: End, stamp: Option<i64> },
    /// The last report comes once more.
    RepeatReport,
    /// Signs of life under these leases, of all that there ever were.
    Renew { leases: Vec<Index> },
    /// A lease, of all that there ever were, is given back.
    Release { lease: Index, delay: u64 },
    /// Recovery decides about a job as it looks, or as it looked at some time.
    Recover { job: Index, looked: Option<Index>, verdict: Verdict },
    /// A person does something by hand.
    Administer { job: Index, by_hand: ByHand },
    /// A person pauses or resumes a queue.
    PauseQueue { queue: u8, paused: bool },
    /// We were away.
    Grace { seconds: i64 },
    /// Nothing happens for a while.
    Pass { seconds: i64 },
}

/// How a reporter proves that it holds the job.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// By the present lease, if there is one.
    Holder,
    /// By one of all the leases that there ever were, of whatever job.
    Lease(Index),
    /// By a token that nobody was given.
    Stranger,
    /// By its name alone.
    Worker(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Progress,
    Completed,
    Failed,
    Paused,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Requeue { delay: i64 },
    Quarantine,
    Leave { reason: u8, rest: i64 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ByHand {
    Retry(Reset),
    Cancel,
    Pause,
    Resume,
    Release(Reset),
    Rerun,
}

fn reset() -> impl Strategy<Value = Reset> {
    proptest::sample::subsequence(Counter::ALL.to_vec(), 0..=3)
        .prop_map(|chosen| chosen.into_iter().collect())
}

/// A sequence of operations.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    proptest::collection::vec(operation(), 1..60)
}

/// Mostly what happens most: jobs come, are claimed, and are reported on by their holders.
fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let index = any::<Index>;
    let some_key = prop_oneof![3 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    let create = (0..2_u8, -1..2_i64, prop_oneof![Just(0), 0..90_i64], some_key, 1..4_u32).prop_map(
        |(queue, priority, delay, key, max_attempts)| O::Create { queue, priority, delay, key, max_attempts },
    );
    let some_queue = prop_oneof![3 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    let claim =
        (0..3_u8, some_queue, 1..4_usize).prop_map(|(worker, queue, most)| O::Claim { worker, queue, most });
    let by = prop_oneof![
        6 => Just(By::Holder),
        3 => index().prop_map(By::Lease),
        1 => Just(By::Stranger),
        2 => (0..3_u8).prop_map(By::Worker),
    ];
    let end = prop_oneof![
        3 => Just(End::Progress),
        1 => Just(End::Completed),
        3 => Just(End::Failed),
        1 => Just(End::Paused),
    ];
    let stamp = prop_oneof![2 => Just(None), 1 => (-9..1_i64).prop_map(Some)];
    let report =
        (index(), by, end, stamp).prop_map(|(job, by, end, stamp)| O::Report { job, by, end, stamp });
    let verdict = prop_oneof![
        3 => (0..60_i64).prop_map(|delay| Verdict::Requeue { delay }),
        1 => Just(Verdict::Quarantine),
        2 => (0..2_u8, 0..90_i64).prop_map(|(reason, rest)| Verdict::Leave { reason, rest }),
    ];
    let looked = prop_oneof![3 => Just(None), 1 => index().prop_map(Some)];
    let recover =
        (index(), looked, verdict).prop_map(|(job, looked, verdict)| O::Recover { job, looked, verdict });
    let by_hand = prop_oneof![
        2 => reset().prop_map(ByHand::Retry),
        1 => Just(ByHand::Cancel),
        1 => Just(ByHand::Pause),
        2 => Just(ByHand::Resume),
        2 => reset().prop_map(ByHand::Release),
        1 => Just(ByHand::Rerun),
    ];
    prop_oneof![
        4 => create,
        6 => claim,
        1 => (1..4_usize).prop_map(|most| O::ClaimAtOnce { most }),
        8 => report,
        2 => Just(O::RepeatReport),
        2 => proptest::collection::vec(index(), 1..4).prop_map(|leases| O::Renew { leases }),
        2 => (index(), 0..60_u64).prop_map(|(lease, delay)| O::Release { lease, delay }),
        5 => recover,
        5 => (index(), by_hand).prop_map(|(job, by_hand)| O::Administer { job, by_hand }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(queue, paused)| O::PauseQueue { queue, paused }),
        1 => (0..90_i64).prop_map(|seconds| O::Grace { seconds }),
        3 => (1..90_i64).prop_map(|seconds| O::Pass { seconds }),
    ]
}
