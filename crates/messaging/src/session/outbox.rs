//! What waits to be written to one connection: bounded, and never replayed on another.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::job::LeaseToken;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::effect::Closed;

/// At most so many messages wait.
const MESSAGES: usize = 1_000;
/// At most so many bytes wait; a message larger than this waits alone.
const BYTES: usize = 8 * 1_024 * 1_024;
/// A peer that takes nothing in for so long is cut off.
const STALLED: Duration = Duration::from_secs(30);

/// One message.
#[derive(Debug)]
struct Item {
    bytes: Vec<u8>,
    /// Leases that go out with it.
    leases: Vec<LeaseToken>,
    _room: OwnedSemaphorePermit,
}

/// The side that messages are put in at.
#[derive(Debug)]
pub(super) struct Outbox {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
}

/// The side that writes.
#[derive(Debug)]
pub(super) struct Writer {
    items: mpsc::Receiver<Item>,
}

/// How writing ended.
#[derive(Debug)]
pub(super) struct Written {
    /// Why, where it was not the end of the outbox.
    pub(super) failure: Option<Closed>,
    /// Leases that went out with messages which were not written whole: their jobs have reached nobody.
    pub(super) unsent: Vec<LeaseToken>,
}

pub(super) fn outbox() -> (Outbox, Writer) {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    (Outbox { items: sender, room: Arc::new(Semaphore::new(BYTES)) }, Writer { items: receiver })
}

impl Outbox {
    /// Puts a message in; gives its leases back when there is no room.
    pub(super) fn put(&self, bytes: Vec<u8>, leases: Vec<LeaseToken>) -> Result<(), Vec<LeaseToken>> {
        let size = u32::try_from(bytes.len().min(BYTES)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else { return Err(leases) };
        self.items.try_send(Item { bytes, leases, _room: room }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item) => item.leases,
        })
    }
}

impl Writer {
    /// Writes what comes, each message by itself, until the outbox is gone, the peer takes nothing in, or `stop` is
    /// cancelled.
    pub(super) async fn run(
        mut self,
        mut stream: impl AsyncWrite + Unpin,
        stop: CancellationToken,
    ) -> Written {
        while let Some(item) = self.items.recv().await {
            let failure = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                written = tokio::time::timeout(STALLED, stream.write_all(&item.bytes)) => match written {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => Some(Closed::Broken(error.to_string())),
                    Err(_) => Some(Closed::Stalled),
                },
            };
            self.items.close();
            let mut unsent = item.leases;
            while let Some(item) = self.items.recv().await {
                unsent.extend(item.leases);
            }
            return Written { failure, unsent };
        }
        // What was written is on its way; whether it arrives is not known here.
        drop(stream.shutdown().await);
        Written { failure: None, unsent: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;
    use tokio::io::AsyncReadExt;

    fn lease(number: usize) -> LeaseToken {
        format!("lease-{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_given_back_and_what_was_not_written_is_known() {
        let (outbox, writer) = outbox();
        for number in 0..MESSAGES {
            assert!(outbox.put(vec![b'x'; 100], vec![lease(number)]).is_ok());
        }
        assert_eq!(outbox.put(vec![b'x'; 100], vec![lease(9_999)]), Err(vec![lease(9_999)]));
        // A peer that reads two messages and a half, and then nothing.
        let (ours, mut theirs) = tokio::io::duplex(50);
        let writing = tokio::spawn(writer.run(ours, CancellationToken::new()));
        theirs.read_exact(&mut [0; 200]).await.unwrap();
        let written = writing.await.unwrap();
        assert_eq!(written.failure, Some(Closed::Stalled));
        assert_eq!(written.unsent.len(), MESSAGES - 2);
        assert_eq!(written.unsent[0], lease(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_is_stopped_writes_no_more_and_tells_what_it_did_not_write() {
        let (outbox, writer) = outbox();
        for number in 0..10 {
            outbox.put(vec![b'x'; 100], vec![lease(number)]).unwrap();
        }
        drop(outbox);
        // A peer that reads a little every now and then would be written to for ever.
        let (ours, mut theirs) = tokio::io::duplex(50);
        let stop = CancellationToken::new();
        let writing = tokio::spawn(writer.run(ours, stop.clone()));
        theirs.read_exact(&mut [0; 200]).await.unwrap();
        stop.cancel();
        let written = writing.await.unwrap();
        assert_eq!((written.failure, written.unsent), (None, (2..10).map(lease).collect()));
    }

    /// Notes each write.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for &mut Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn each_message_is_one_write() {
        let (outbox, writer) = outbox();
        let messages = [b"one\n".to_vec(), vec![b'x'; 1_024 * 1_024]];
        for message in &messages {
            outbox.put(message.clone(), vec![]).unwrap();
        }
        drop(outbox);
        let mut writes = Writes::default();
        writer.run(&mut writes, CancellationToken::new()).await;
        assert_eq!(writes.0, messages);
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well_and_a_large_message_waits_alone() {
        let (outbox, _writer) = outbox();
        assert!(outbox.put(vec![0; BYTES + 1], vec![]).is_ok());
        assert!(outbox.put(vec![0; 1], vec![]).is_err());
    }

    #[tokio::test]
    async fn the_end_of_the_outbox_is_the_end_of_the_stream() {
        let (outbox, writer) = outbox();
        outbox.put(b"one\n".to_vec(), vec![]).unwrap();
        drop(outbox);
        let (ours, mut theirs) = tokio::io::duplex(50);
        assert_eq!(writer.run(ours, CancellationToken::new()).await.failure, None);
        let mut read = String::new();
        theirs.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "one\n");
    }
}
