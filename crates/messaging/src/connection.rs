//! One connection: who is there, and its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reclaimer_domain::name::WorkerId;
use tokio::net::UnixStream;

use crate::links::Line;
use crate::roster::SessionView;
use crate::session::{self, Ended, Peer};

/// Numbers connections whose process cannot be told.
static UNKNOWN: AtomicU64 = AtomicU64::new(1);

/// Runs a session on a stream until it ends. `on_proof` is called at its first valid message.
pub(crate) async fn run(line: &Arc<Line>, stream: UnixStream, on_proof: impl FnOnce() + Send) -> Ended {
    // A process of another namespace has no number here.
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).filter(|pid| *pid > 0);
    let peer = peer(&line.name, pid);
    let now = line.context.clock.now();
    let seat = line.context.roster.enter(SessionView {
        link: line.name.clone(),
        worker: peer.worker.clone(),
        pid,
        protocol: 1,
        paused: false,
        proven: false,
        connected_at: now,
        heard_at: now,
        active_at: None,
        held: 0,
        room: 0,
        status: None,
        messages: 0,
        ignored: 0,
    });
    let watched = session::Watched { pid, watch: Arc::clone(&line.watch) };
    session::run(stream, peer, Arc::clone(&line.context), seat, (line.cut(), watched), on_proof).await
}

/// Who is at the other end, until it says so itself.
fn peer(link: &str, pid: Option<i32>) -> Peer {
    let name = match pid {
        Some(pid) => format!("{link}:{pid}"),
        None => format!("{link}#{}", UNKNOWN.fetch_add(1, Ordering::Relaxed)),
    };
    // A link's name is a name; should it be too long for more, the number alone tells its workers apart.
    let worker = name.parse().unwrap_or_else(|_| WorkerId::anonymous(&name));
    Peer { worker, is_process: pid.is_some() }
}
