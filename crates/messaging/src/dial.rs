//! The dialling side: connect, talk, and connect again, for ever.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use reclaimer_breaker::{Breaker, CircuitOpen, Permit};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::connection;
use crate::links::Line;
use crate::session::{AREA, Ended};

/// A socket that takes longer than this to connect will not.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Dials one link. Whatever happens, a next attempt follows.
pub(crate) async fn run(line: Arc<Line>, path: PathBuf, mut rng: StdRng, shutdown: CancellationToken) {
    let Some(breaker) = line.breaker.clone() else { return };
    let mut attempt: u32 = 0;
    while !shutdown.is_cancelled() {
        let Some(permit) = permit(&line, &breaker, &shutdown).await else { return };
        let pause = match connect(&path).await {
            Err(error) => {
                permit.failure();
                let pause = line.reconnect.delay(attempt, &mut rng);
                let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                warn!(area = AREA, link = line.name, attempt, retry_in_ms, %error, "the worker cannot be reached");
                line.away(&error, true, pause);
                pause
            }
            Ok(stream) => {
                line.connected();
                let ended = talk(&line, stream, permit).await;
                if ended.proven {
                    attempt = 0;
                }
                let pause = line.reconnect.delay(attempt, &mut rng);
                line.away(&ended.why.to_string(), !ended.proven, pause);
                line.adopt_orphans(ended.orphans);
                pause
            }
        };
        attempt = attempt.saturating_add(1);
        tokio::select! {
            () = sleep(pause) => {}
            // A person may have reset the circuit: then there is no reason to wait.
            () = line.ordered.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Waits for the right to dial; `None` at the end.
async fn permit(line: &Line, breaker: &Breaker, shutdown: &CancellationToken) -> Option<Permit> {
    loop {
        let CircuitOpen { retry_after, .. } = match breaker.try_acquire() {
            Ok(permit) => return Some(permit),
            Err(open) => open,
        };
        line.excuse_orphans().await;
        // One that is forced open waits for the order that ends it, and looks now and then all the same.
        let pause = retry_after.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN).max(Duration::from_millis(1));
        tokio::select! {
            () = sleep(pause) => {}
            () = line.ordered.notified() => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

/// However long a circuit stays open, it is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

async fn connect(path: &PathBuf) -> Result<UnixStream, String> {
    match timeout(CONNECT_WITHIN, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("{}: {error}", path.display())),
        Err(_) => Err(format!("{}: it did not accept within {} s", path.display(), CONNECT_WITHIN.as_secs())),
    }
}

/// Talks until the session ends. The attempt succeeded with the first valid message, and failed without one: that a
/// socket accepts proves nothing.
async fn talk(line: &Arc<Line>, stream: UnixStream, permit: Permit) -> Ended {
    info!(area = AREA, link = line.name, "connected");
    let permit = Arc::new(Mutex::new(Some(permit)));
    let proof = {
        let permit = Arc::clone(&permit);
        move || {
            if let Some(permit) = permit.lock().unwrap_or_else(PoisonError::into_inner).take() {
                permit.success();
            }
        }
    };
    let ended = connection::run(line, stream, proof).await;
    if let Some(permit) = permit.lock().unwrap_or_else(PoisonError::into_inner).take() {
        permit.failure();
    }
    ended
}
