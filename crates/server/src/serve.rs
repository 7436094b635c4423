//! The accept loop: connections in, requests to the router, and an orderly end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::auth::Peer;
use crate::listen::Listeners;

/// What one server takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At most so many connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// A request's header must arrive within this time, and an idle connection must ask again within it.
    pub header: Duration,
    /// A request's header may have so many bytes, and about as many of an answer wait for a slow reader; 8 KiB at least.
    pub buffer: usize,
    /// An answer that its reader takes nothing of for so long is cut off.
    pub stalled: Duration,
    /// At the end, running requests get so long to finish.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            header: Duration::from_secs(10),
            buffer: 64 * 1_024,
            stalled: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Whether every request was finished within the grace.
    pub in_order: bool,
}

/// After a failed accept (most often: no file descriptors left) the loop waits this long, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is cancelled; then takes no more connections, lets running requests finish, and removes the
/// files of Unix sockets.
pub async fn serve(
    listeners: Listeners,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Served {
    let graceful = Arc::new(GracefulShutdown::new());
    let slots = Arc::new(Semaphore::new(limits.connections.max(1)));
    let mut loops = JoinSet::new();
    let acceptor = Acceptor { router, limits, slots, graceful: Arc::clone(&graceful), shutdown };
    let paths: Vec<PathBuf> = listeners.unix.iter().map(|(_, path)| path.clone()).collect();
    for listener in listeners.tcp {
        loops.spawn(acceptor.clone().tcp(listener));
    }
    for (listener, _) in listeners.unix {
        loops.spawn(acceptor.clone().unix(listener));
    }
    drop(acceptor);
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            warn!(area = "JOB-MANAGER", %error, "an accept loop ended by a panic");
        }
    }
    for path in paths {
        if let Err(error) = std::fs::remove_file(&path) {
            warn!(area = "JOB-MANAGER", path = %path.display(), %error, "the socket's file cannot be removed");
        }
    }
    let in_order = match Arc::into_inner(graceful) {
        Some(graceful) => tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_ok(),
        None => false,
    };
    Served { in_order }
}

/// Accepts connections of one kind.
#[derive(Clone)]
struct Acceptor {
    router: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
    shutdown: CancellationToken,
}

impl Acceptor {
    async fn tcp(self, listener: TcpListener) {
        while let Some(slot) = self.slot().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Small answers go out at once; a failure costs only time.
                    drop(stream.set_nodelay(true));
                    self.connection(stream, Peer::Tcp(address), slot);
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn unix(self, listener: UnixListener) {
        while let Some(slot) = self.slot().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
                Ok((uid, stream)) => self.connection(stream, Peer::Unix { uid }, slot),
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Room for one more connection; `None` at the end.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            slot = Arc::clone(&self.slots).acquire_owned() => slot.ok(),
            () = self.shutdown.cancelled() => None,
        }
    }

    /// Serves one connection in a task of its own.
    fn connection<S>(&self, stream: S, peer: Peer, slot: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header)
            .max_buf_size(self.limits.buffer);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.stalled));
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
        let watcher: Watcher = self.graceful.watcher();
        tokio::spawn(async move {
            if let Err(error) = watcher.watch(connection).await {
                debug!(area = "JOB-MANAGER", %error, "a connection broke off");
            }
            drop(slot);
        });
    }
}

async fn pause(error: &std::io::Error) {
    warn!(area = "JOB-MANAGER", %error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
