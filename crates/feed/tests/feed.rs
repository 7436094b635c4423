//! What readers of live events hear.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use proptest::prelude::*;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::ports::{Arrival, Committed, Create, JobStore, StoreListener, TakenLease};
use reclaimer_feed::{Config, Feed, Filter, Fleet, Live, Pump, Sight, Topic};
use reclaimer_testkit::{ManualClock, MemoryStore, noon};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
struct Passes(Arc<Feed>);

impl StoreListener for Passes {
    fn arrived(&self, _: &[Arrival]) {}

    fn taken(&self, _: &[TakenLease]) {}

    fn committed(&self, group: &Committed) {
        self.0.committed(group);
    }
}

#[derive(Debug)]
struct Nothing;

impl Fleet for Nothing {
    fn look(&self) -> Sight {
        Sight::default()
    }
}

/// A feed beside a store.
struct Rig {
    feed: Arc<Feed>,
    store: MemoryStore,
    created: usize,
    shutdown: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// One block of the stream.
#[derive(Debug, Clone)]
struct Block {
    id: String,
    event: Option<String>,
    data: Value,
}

struct Reader(Pin<Box<dyn Stream<Item = Bytes> + Send>>, Vec<Block>);

impl Rig {
    fn new(config: Config) -> Self {
        let feed = Arc::new(Feed::new(config, 7));
        let store = MemoryStore::new(Arc::new(Passes(Arc::clone(&feed))));
        let shutdown = CancellationToken::new();
        let clock = Arc::new(ManualClock::at(noon()));
        let jobs: Arc<dyn JobStore> = Arc::new(store.clone());
        let pump = Pump::new(Arc::clone(&feed), jobs, Arc::new(Nothing), clock);
        tokio::spawn(pump.run(shutdown.clone()));
        Self { feed, store, created: 0, shutdown }
    }

    /// So many jobs are created: an event each.
    async fn create(&mut self, jobs: usize) {
        let order =
            |number: usize| (format!("job-{number}").parse().unwrap(), NewJob::of("c".parse().unwrap()));
        let jobs = (0..jobs).map(|index| order(self.created + index)).collect::<Vec<_>>();
        self.created += jobs.len();
        let create = Create { jobs, idempotency: None, actor: Actor::Producer, now: noon() };
        self.store.create(create).await.unwrap();
    }

    fn listen(&self, filter: Filter, from: Option<&str>) -> Reader {
        let from = from.map(|from| from.parse().unwrap());
        let live = Live::new(Arc::clone(&self.feed), Arc::new(self.store.clone()));
        Reader(Box::pin(live.listen(filter, from)), Vec::new())
    }
}

impl Reader {
    /// The next block, sooner or later; `None` when the stream ends.
    async fn next(&mut self) -> Option<Block> {
        while self.1.is_empty() {
            let text = self.0.next().await?;
            self.1 = blocks(&text);
        }
        Some(self.1.remove(0))
    }

    /// The next one that is about something.
    async fn next_event(&mut self) -> Block {
        loop {
            let block = self.next().await.unwrap();
            if block.event.is_some() {
                return block;
            }
        }
    }

    /// Reads the numbers of so many events of jobs.
    async fn jobs(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let block = self.next_event().await;
            match block.event.as_deref() {
                Some("job") => numbers.push(block.data["id"].as_i64().unwrap()),
                Some("gap") => panic!("{block:?}"),
                _ => {}
            }
        }
        numbers
    }
}

fn blocks(text: &[u8]) -> Vec<Block> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.ends_with("\n\n"), "{text:?}");
    let field = |block: &str, name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(ToOwned::to_owned)
    };
    let block = |block: &str| Block {
        id: field(block, "id").unwrap(),
        event: field(block, "event"),
        data: field(block, "data").map(|data| serde_json::from_str(&data).unwrap()).unwrap_or_default(),
    };
    text.split_terminator("\n\n").map(block).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reader_hears_of_what_happens_from_now_on() {
    let mut rig = Rig::new(Config::default());
    rig.create(3).await;
    let mut reader = rig.listen(Filter::default(), None);
    assert!(reader.next().await.unwrap().event.is_none(), "first a sign that it is heard");
    rig.create(2).await;
    assert_eq!(reader.jobs(2).await, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_misses_nothing_and_hears_nothing_twice() {
    let mut rig = Rig::new(Config::default());
    let mut reader = rig.listen(Filter::default(), None);
    reader.next().await;
    rig.create(5).await;
    reader.jobs(2).await;
    let place = reader.next_event().await.id;
    drop(reader);
    rig.create(2).await;
    let mut reader = rig.listen(Filter::default(), Some(&place));
    assert_eq!(reader.jobs(4).await, [4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_away_for_long_is_told_from_the_history_and_that_other_news_are_missing() {
    let mut rig = Rig::new(Config::default());
    let mut reader = rig.listen(Filter::default(), None);
    reader.next().await;
    rig.create(1).await;
    let place = reader.next_event().await.id;
    drop(reader);
    // Nobody listens any more, and nothing is kept.
    tokio::time::sleep(Duration::from_secs(100)).await;
    rig.create(600).await;
    let mut reader = rig.listen(Filter::default(), Some(&place));
    reader.next().await;
    let gap = reader.next_event().await;
    assert_eq!((gap.event.as_deref(), &gap.data["jobs"]), (Some("gap"), &Value::Bool(false)));
    rig.create(1).await;
    assert_eq!(reader.jobs(601).await, (2..=602).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn whoever_read_the_history_goes_on_from_there() {
    let mut rig = Rig::new(Config::default());
    rig.create(9).await;
    let mut reader = rig.listen(Filter::default(), Some("6"));
    rig.create(1).await;
    assert_eq!(reader.jobs(4).await, [7, 8, 9, 10]);
}

#[tokio::test(start_paused = true)]
async fn whoever_missed_too_much_is_told_so_and_goes_on() {
    let mut rig = Rig::new(Config { most_missed: 5, ..Config::default() });
    rig.create(9).await;
    for from in ["3", "500"] {
        let mut reader = rig.listen(Filter::default(), Some(from));
        let gap = reader.next_event().await;
        assert_eq!((gap.event.as_deref(), &gap.data["jobs"]), (Some("gap"), &Value::Bool(true)), "{from}");
        let last = i64::try_from(rig.created).unwrap();
        rig.create(1).await;
        assert_eq!(reader.jobs(1).await, [last + 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_let_go_and_a_quick_one_hears_everything() {
    let mut rig = Rig::new(Config { room: 20_000, ..Config::default() });
    let (mut slow, mut quick) = (rig.listen(Filter::default(), None), rig.listen(Filter::default(), None));
    slow.next().await;
    quick.next().await;
    let mut last = 0;
    for _ in 0..100 {
        rig.create(10).await;
        for id in quick.jobs(10).await {
            assert_eq!(id, last + 1);
            last = id;
        }
    }
    let mut heard = Vec::new();
    while let Some(block) = slow.next().await {
        heard.push(block);
    }
    assert!(heard.is_empty(), "what comes next has fallen out: {heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_that_it_lives_and_moves_the_place_on() {
    let mut rig = Rig::new(Config::default());
    let only = ["job-2".parse().unwrap()];
    let mut reader = rig.listen(Filter::new(Some(vec![Topic::Job]), Some(&only)), None);
    let begin = reader.next().await.unwrap();
    rig.create(2).await;
    let sign = reader.next().await.unwrap();
    assert!(sign.event.is_none());
    assert!(sign.id.starts_with("2-"), "{} after {}", sign.id, begin.id);
    rig.create(2).await;
    let heard = reader.next_event().await;
    assert_eq!(heard.data["jobId"], "job-2");
}

#[tokio::test(start_paused = true)]
async fn statistics_come_each_second() {
    let mut rig = Rig::new(Config::default());
    let mut reader = rig.listen(Filter::new(Some(vec![Topic::Stats]), None), None);
    rig.create(3).await;
    let stats = reader.next_event().await;
    assert_eq!(stats.data["jobs"]["queued"], 3);
    assert_eq!(stats.data["jobs"]["failed"], 0);
    assert_eq!(stats.data["withinMs"], 1_000);
    let begun = tokio::time::Instant::now();
    reader.next_event().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

/// What may happen.
#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Read(usize),
    ComeBack,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_usize..40).prop_map(Step::Create),
        (1_usize..60).prop_map(Step::Read),
        Just(Step::ComeBack),
        (0_u64..90).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn however_a_reader_comes_and_goes_it_hears_each_event_of_a_job_once(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut rig = Rig::new(Config { room: 6_000, ..Config::default() });
            rig.create(1).await;
            let mut reader = rig.listen(Filter::default(), Some("0"));
            let (mut place, mut heard) = ("0".to_owned(), 0);
            let mut hear = |block: &Block, place: &mut String| {
                if block.event.as_deref() == Some("job") {
                    heard += 1;
                    assert_eq!(block.data["id"], heard);
                }
                if block.event.as_deref() == Some("gap") {
                    assert_eq!(block.data["jobs"], false);
                }
                place.clone_from(&block.id);
                heard
            };
            for step in steps {
                match step {
                    Step::Create(jobs) => rig.create(jobs).await,
                    Step::Wait(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    Step::ComeBack => reader = rig.listen(Filter::default(), Some(&place)),
                    Step::Read(blocks) => {
                        for _ in 0..blocks {
                            match reader.next().await {
                                Some(block) => {
                                    hear(&block, &mut place);
                                }
                                None => reader = rig.listen(Filter::default(), Some(&place)),
                            }
                        }
                    }
                }
            }
            let all = i64::try_from(rig.created).unwrap();
            loop {
                match reader.next().await {
                    Some(block) if hear(&block, &mut place) == all => break,
                    Some(_) => {}
                    None => reader = rig.listen(Filter::default(), Some(&place)),
                }
            }
        });
    }
}
