//! What the log says.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

use reclaimer_domain::recovery::RecoveryType;
use reclaimer_recovery::Config;
use reclaimer_testkit::a_job;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

use crate::world::{SECOND, World, retryable};

/// Keeps every line as `LEVEL name=value …`.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn at(&self, level: Level) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(level.as_str())).cloned().collect()
    }
}

/// While only one subscriber exists, a line that another test's thread says first is taken to interest nobody, for good.
/// With these two that never happens.
static OTHERS: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [(); 2].map(|()| Dispatch::new(Lines::default())));

/// Keeps what this test's thread says.
fn listen() -> (Lines, DefaultGuard) {
    LazyLock::force(&OTHERS);
    let lines = Lines::default();
    let guard = tracing::subscriber::set_default(lines.clone());
    (lines, guard)
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("reclaimer")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_cycle_says_what_it_did_in_its_area_and_within_bounds() {
    let (lines, _guard) = listen();
    let world = World::start().await;
    world.store.add(retryable("job", 30));
    world.pass(SECOND * 3).await;
    let said = lines.at(Level::INFO);
    assert_eq!(said.len(), 22, "20 jobs, the rest in one line, the summary: {said:#?}");
    assert!(said.iter().all(|line| line.contains("area=\"STARTUP-RECOVERY\"") && line.contains("run_id=")));
    assert!(said[0].contains("job_id=job-000") && said[0].contains("rule=retryable"), "{}", said[0]);
    assert!(said[20].contains("10 more jobs"), "{}", said[20]);
    assert!(said[21].contains("30 recovered") && said[21].contains("elapsed_ms="), "{}", said[21]);
}

#[tokio::test(start_paused = true)]
async fn idle_cycles_and_jobs_left_alone_are_details() {
    let (lines, _guard) = listen();
    let world = World::start().await;
    world.pass(SECOND * 30).await;
    assert_eq!(lines.at(Level::INFO), [""; 0]);
    assert!(lines.at(Level::DEBUG).iter().any(|line| line.contains("nothing to recover")));

    world.store.add([a_job().failed_with("boom").build()]);
    world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    let said = lines.at(Level::INFO);
    assert!(matches!(&said[..], [summary] if summary.contains("1 skipped")), "{said:#?}");
    assert!(said[0].contains("area=\"JOB-RECOVERY\""));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_said_once() {
    let (lines, _guard) = listen();
    let world = World::with(Config::default()).await;
    world.pass(SECOND * 6).await;
    world.store.with(|rows| rows.away = true);
    world.pass(SECOND * 60).await;
    let said = lines.at(Level::WARN);
    assert!(said.len() <= 3, "the cycle that failed, and that recovery waits: {said:#?}");
}
