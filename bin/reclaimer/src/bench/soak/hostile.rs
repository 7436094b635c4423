//! Clients that do what they should not: they speak and read byte by byte, ask for much and read none of it, listen to
//! what happens live and never hear it, or say nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::bench::http::wire::request;
use crate::bench::store::payload;

/// So many of each kind.
const SLOW: usize = 32;
const STALLED: usize = 16;
const DEAF: usize = 16;
const SILENT: usize = 16;
/// So many answers a stalled client asks for at once.
const ASKED: usize = 200;
/// Between two pieces that a slow client sends or reads.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a client whose connection was closed comes back.
const AGAIN: Duration = Duration::from_millis(500);

/// Lets all of them loose.
pub(super) fn all(tasks: &mut JoinSet<Result<()>>, address: &str, token: &Arc<str>, end: Instant) {
    let order = json!({ "command": "SLOW", "queue": "slow", "payload": payload() }).to_string();
    let create: Arc<[u8]> = request("POST", "/api/jobs", Some(token), &order).into();
    let lists: Arc<[u8]> = request("GET", "/api/jobs?limit=500", Some(token), "").repeat(ASKED).into();
    for _ in 0..SLOW {
        let create = Arc::clone(&create);
        tasks.spawn(again(address.to_owned(), end, move |stream| slow(stream, Arc::clone(&create))));
    }
    for _ in 0..STALLED {
        let lists = Arc::clone(&lists);
        tasks.spawn(again(address.to_owned(), end, move |stream| stalled(stream, Arc::clone(&lists))));
    }
    let events: Arc<[u8]> = request("GET", "/api/admin/events", Some(token), "").into();
    for _ in 0..DEAF {
        let events = Arc::clone(&events);
        tasks.spawn(again(address.to_owned(), end, move |stream| stalled(stream, Arc::clone(&events))));
    }
    for _ in 0..SILENT {
        tasks.spawn(again(address.to_owned(), end, silent));
    }
}

/// Whatever becomes of a connection, e.g. that the server closes it: another follows.
async fn again<F: Future<Output = std::io::Result<()>>>(
    address: String,
    end: Instant,
    act: impl Fn(TcpStream) -> F,
) -> Result<()> {
    let acting = async {
        loop {
            if let Ok(stream) = TcpStream::connect(&address).await {
                // Closed or not, the server may do as it likes with such a client.
                let _ = act(stream).await;
            }
            sleep(AGAIN).await;
        }
    };
    // It never ends by itself.
    let _ended: Result<(), _> = timeout_at(end, acting).await;
    Ok(())
}

async fn slow(mut stream: TcpStream, create: Arc<[u8]>) -> std::io::Result<()> {
    for piece in create.chunks(8) {
        stream.write_all(piece).await?;
        sleep(PAUSE).await;
    }
    let mut byte = [0; 8];
    while stream.read(&mut byte).await? > 0 {
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn stalled(mut stream: TcpStream, asked: Arc<[u8]>) -> std::io::Result<()> {
    stream.write_all(&asked).await?;
    // It reads nothing, for as long as it is let.
    std::future::pending().await
}

async fn silent(mut stream: TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
