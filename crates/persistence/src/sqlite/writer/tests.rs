use std::sync::mpsc as sync;

use diesel::sql_types::BigInt;
use reclaimer_testkit::Recorded;

use super::*;
use crate::sqlite::statement::prepared;

struct Rig {
    folder: tempfile::TempDir,
    writer: Writer,
    durable: Arc<Durable>,
    thread: JoinHandle<()>,
}

fn rig(queue: usize) -> Rig {
    rig_with(queue, Arc::new(std::fs::File::sync_data))
}

fn rig_with(queue: usize, flush: Arc<Flush>) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig { queue, ..SqliteConfig::at(folder.path().join("test.db")) };
    let readers = Arc::new(Readers::new(config.path.clone(), 1));
    let listener = Arc::new(Recorded::default());
    let (writer, durable, thread) =
        Writer::start_with(&config, readers, listener, Arc::default(), flush).unwrap();
    Rig { folder, writer, durable, thread }
}

/// A disk whose flushes wait for leave, one each; `false` has them fail.
fn slow_disk() -> (sync::Sender<bool>, Arc<Flush>) {
    let (leave, asked) = sync::channel();
    let asked = Mutex::new(asked);
    let flush = move |_: &std::fs::File| match asked.lock().unwrap().recv() {
        Ok(false) => Err(std::io::Error::other("on purpose")),
        Ok(true) | Err(_) => Ok(()),
    };
    (leave, Arc::new(flush))
}

/// Puts a queue on record under this name.
fn put(name: &'static str) -> impl FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<usize> + Send {
    move |conn, _| prepared!("INSERT INTO queue (name, paused, updated_at) VALUES (?, 0, '')", name).run(conn)
}

fn count(conn: &mut SqliteConnection, _: &mut Effects) -> QueryResult<i64> {
    let found: Option<(i64,)> = prepared!("SELECT count(*) FROM queue").rows::<(BigInt,)>().first(conn)?;
    Ok(found.map_or(-1, |(count,)| count))
}

/// Keeps the writer in an operation until told, so that what is asked meanwhile forms one group.
fn hold(writer: &Writer) -> (sync::Sender<()>, tokio::task::JoinHandle<Result<(), StoreError>>) {
    let (entered, inside) = sync::channel();
    let (release, held) = sync::channel::<()>();
    let writer = writer.clone();
    let task = tokio::spawn(async move {
        writer
            .run("hold", move |_, _| {
                entered.send(()).unwrap();
                let _ = held.recv();
                Ok(())
            })
            .await
    });
    tokio::task::block_in_place(|| inside.recv()).unwrap();
    (release, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_operation_of_a_group_fails_alone() {
    let rig = rig(100);
    let (release, held) = hold(&rig.writer);
    let mut asked = Box::pin(async {
        tokio::join!(
            rig.writer.run("a", put("a")),
            rig.writer.run("a again", put("a")),
            rig.writer.run::<usize, _>("panic", |conn, effects| {
                put("lost")(conn, effects)?;
                panic!("on purpose")
            }),
            rig.writer.run("b", put("b")),
        )
    });
    // Polled once, all four stand in the queue; only then may the writer go on.
    assert!(poll_once(&mut asked).await.is_none());
    release.send(()).unwrap();
    let (first, second, third, fourth) = asked.await;
    held.await.unwrap().unwrap();
    assert_eq!(first.unwrap(), 1);
    assert_eq!(second.unwrap_err().code(), "storage_failed");
    assert_eq!(third.unwrap_err().code(), "storage_failed");
    assert_eq!(fourth.unwrap(), 1);
    assert_eq!(rig.writer.run("count", count).await.unwrap(), 2);
}

/// Polls a future once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_refused_as_busy() {
    let rig = rig(1);
    let (release, held) = hold(&rig.writer);
    let waiting = tokio::spawn({
        let writer = rig.writer.clone();
        async move { writer.run("waits", put("a")).await }
    });
    while rig.writer.queue.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = rig.writer.run("one too many", put("b")).await;
    assert_eq!(refused.unwrap_err().code(), "storage_busy");
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_carries_out_what_waits_and_refuses_the_rest() {
    let rig = rig(100);
    let (release, held) = hold(&rig.writer);
    let waiting = tokio::spawn({
        let writer = rig.writer.clone();
        async move { writer.run("waits", put("a")).await }
    });
    while rig.writer.queue.capacity() == 100 {
        tokio::task::yield_now().await;
    }
    let closing = tokio::spawn({
        let writer = rig.writer.clone();
        async move { writer.close().await }
    });
    while rig.writer.queue.capacity() == 99 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    closing.await.unwrap();
    rig.thread.join().unwrap();
    let late = rig.writer.run("late", put("b")).await;
    assert_eq!(late.unwrap_err().code(), "shutting_down");
    assert!(!rig.folder.path().join("test.db-wal").exists(), "the log was folded into the database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_is_missed_and_welcomed_back() {
    let rig = rig(100);
    rig.writer.run("a", put("a")).await.unwrap();
    let (path, away) = (rig.folder.path().join("test.db"), rig.folder.path().join("away.db"));
    std::fs::rename(&path, &away).unwrap();
    let error = rig.writer.run("b", put("b")).await.unwrap_err();
    assert_eq!(error.code(), "storage_unavailable");
    assert!(error.to_string().contains("the database file is gone"), "{error}");
    assert!(!path.exists(), "no empty database takes the place of the lost one");
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(rig.writer.run("count", count).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_in_its_place_is_used_from_then_on() {
    let rig = rig(100);
    rig.writer.run("a", put("a")).await.unwrap();
    let path = rig.folder.path().join("test.db");
    let backup = rig.folder.path().join("backup.db");
    crate::maintenance::backup(&path, &backup).unwrap();
    rig.writer.run("b", put("b")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    rig.writer.run("c", put("c")).await.unwrap_err();
    std::fs::rename(&backup, &path).unwrap();
    assert_eq!(rig.writer.run("count", count).await.unwrap(), 1, "the backup holds `a` alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeatable_operations_are_carried_out_anew_when_one_of_them_fails() {
    let rig = rig(100);
    let (release, held) = hold(&rig.writer);
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let often = |name: &'static str| {
        let runs = Arc::clone(&runs);
        rig.writer.run_often(name, Kind::Repeatable, move |conn, effects| {
            runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            put(name)(conn, effects)
        })
    };
    let mut asked = Box::pin(async {
        let failing = rig.writer.run_often("fails", Kind::Repeatable, |conn, effects| {
            put("half")(conn, effects)?;
            put("a")(conn, effects)
        });
        let claim = rig.writer.run_often("claim", Kind::Claim, count);
        tokio::join!(rig.writer.run("once", count), claim, often("a"), failing, often("b"))
    });
    assert!(poll_once(&mut asked).await.is_none());
    release.send(()).unwrap();
    let (once, claim, first, failed, second) = asked.await;
    held.await.unwrap().unwrap();
    assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
    assert_eq!(failed.unwrap_err().code(), "storage_failed");
    // Nothing of the failed one is left, and claims come after the others of their group.
    assert_eq!((claim.unwrap(), once.unwrap()), (2, 2));
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 3, "the one before the failure ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_more_than_a_groups_share_of_bulk() {
    let rig = rig(100);
    let (release, held) = hold(&rig.writer);
    let ran = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let ran = Arc::clone(&ran);
        move |_: &mut SqliteConnection, _: &mut Effects| {
            ran.lock().unwrap().push(what);
            Ok(())
        }
    };
    let mut asked = Box::pin(async {
        tokio::join!(
            rig.writer.run_bulk("bulk", 600, note("bulk 1")),
            rig.writer.run_bulk("bulk", 600, note("bulk 2")),
            rig.writer.run_bulk("bulk", 600, note("bulk 3")),
            rig.writer.run_often("report", Kind::Repeatable, note("report")),
        )
    });
    assert!(poll_once(&mut asked).await.is_none());
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    let (first, second, third, report) = asked.await;
    for answer in [first, second, third, report] {
        answer.unwrap();
    }
    assert_eq!(*ran.lock().unwrap(), ["report", "bulk 1", "bulk 2", "bulk 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_has_a_queue_of_its_own_and_an_end_waits_for_it() {
    let rig = rig(1);
    let (release, held) = hold(&rig.writer);
    let mut bulk: Vec<_> =
        (0..MOST_BULK).map(|_| Box::pin(rig.writer.run_bulk("bulk", 1, |_, _| Ok(())))).collect();
    for waiting in &mut bulk {
        assert!(poll_once(waiting).await.is_none());
    }
    let refused = rig.writer.run_bulk("one too many", 1, |_, _| Ok(())).await;
    assert_eq!(refused.unwrap_err().code(), "storage_busy");
    let mut closing = Box::pin(rig.writer.close());
    assert!(poll_once(&mut closing).await.is_none());
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    closing.await;
    for waiting in bulk {
        waiting.await.unwrap();
    }
}

impl Rig {
    /// Waits until another program sees so many rows.
    async fn seen(&self, rows: i64) {
        let path = self.folder.path().join("test.db");
        let seen = || {
            let mut conn = crate::sqlite::connection::reader(&path).ok()?;
            count(&mut conn, &mut Effects::default()).ok()
        };
        while seen() != Some(rows) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_a_commit_before_the_disk_has_confirmed_it() {
    let (leave, disk) = slow_disk();
    let rig = rig_with(100, disk);
    let mut write = Box::pin(rig.writer.run("a", put("a")));
    assert!(poll_once(&mut write).await.is_none());
    rig.seen(1).await;
    assert!(poll_once(&mut write).await.is_none(), "the disk has not confirmed it");
    let mut read = Box::pin(rig.durable.confirmed());
    assert!(poll_once(&mut read).await.is_none(), "nor may a read tell of it");
    leave.send(true).unwrap();
    assert_eq!(write.await.unwrap(), 1);
    assert!(read.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_leaves_the_outcome_open_and_the_log_is_begun_anew() {
    let (leave, disk) = slow_disk();
    let rig = rig_with(100, disk);
    leave.send(true).unwrap();
    rig.writer.run("a", put("a")).await.unwrap();
    // Somebody waits when this ends: its flush is left to the other thread, and the next group runs meanwhile.
    let (release, held) = hold(&rig.writer);
    let mut lost = Box::pin(rig.writer.run("b", put("b")));
    assert!(poll_once(&mut lost).await.is_none());
    release.send(()).unwrap();
    rig.seen(2).await;
    let mut behind = Box::pin(rig.writer.run("c", put("c")));
    assert!(poll_once(&mut behind).await.is_none());
    rig.seen(3).await;
    let mut read = Box::pin(rig.durable.confirmed());
    assert!(poll_once(&mut read).await.is_none());
    // A flush after the failed one says nothing of what the failed one lost.
    leave.send(false).unwrap();
    leave.send(true).unwrap();
    assert_eq!(held.await.unwrap().unwrap_err().code(), "outcome_unknown");
    assert_eq!(lost.await.unwrap_err().code(), "outcome_unknown");
    assert_eq!(behind.await.unwrap_err().code(), "outcome_unknown");
    assert!(!read.await);
    assert!(rig.durable.confirmed().await, "a read that comes later takes what it finds");
    drop(leave);
    rig.writer.run("d", put("d")).await.unwrap();
    assert!(rig.durable.confirmed().await);
    assert_eq!(rig.writer.run("count", count).await.unwrap(), 4, "what was committed stands, as it happens");
}
