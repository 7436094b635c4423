//! The listening side: workers connect, as many as like.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::connection;
use crate::links::Line;
use crate::session::AREA;

/// At most so many connections of one link at once; further ones wait to be accepted.
const CONNECTIONS: usize = 256;

/// After a failed accept (most often: no file descriptors left) the loop waits this long, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts the connections of one link.
pub(crate) async fn run(line: Arc<Line>, listener: UnixListener, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Ok(slot) = Arc::clone(&slots).acquire_owned() => tokio::select! {
                accepted = listener.accept() => accepted.map(|(stream, _)| (stream, slot)),
                Some(_) = sessions.join_next() => continue,
                () = shutdown.cancelled() => break,
            },
            Some(_) = sessions.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(area = AREA, link = line.name, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let uid = stream.peer_cred().map(|peer| peer.uid());
        match uid {
            Ok(uid) if line.uids.contains(&uid) => {}
            Ok(uid) => {
                warn!(
                    area = AREA,
                    link = line.name,
                    uid,
                    "a process of this user may not connect; see auth.socket_uids"
                );
                continue;
            }
            Err(error) => {
                warn!(area = AREA, link = line.name, %error, "whose connection this is cannot be told; it is refused");
                continue;
            }
        }
        info!(area = AREA, link = line.name, "a worker connected");
        let line = Arc::clone(&line);
        sessions.spawn(async move {
            connection::run(&line, stream, || {}).await;
            drop(slot);
        });
    }
    // Sessions end by the same signal, each in order.
    while sessions.join_next().await.is_some() {}
}
