use std::sync::mpsc as sync;

use diesel::sql_types::BigInt;
use reclaimer_testkit::Recorded;

use super::*;
use crate::sqlite::statement::prepared;

struct Rig {
    folder: tempfile::TempDir,
    writer: Writer,
    thread: JoinHandle<()>,
}

fn rig(queue: usize) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig { queue, ..SqliteConfig::at(folder.path().join("test.db")) };
    let readers = Arc::new(Readers::new(config.path.clone(), 1));
    let (writer, thread) =
        Writer::start(&config, readers, Arc::new(Recorded::default()), Arc::default()).unwrap();
    Rig { folder, writer, thread }
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
