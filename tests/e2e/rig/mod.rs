//! A server process, a client for it, and the few tools the tests share.

mod browser;
mod events;
mod link;
mod program;
mod receiver;
mod server;
mod sqlite;
mod terminal;

use std::time::Duration;

use anyhow::{Result, bail};

pub(crate) use browser::{Browser, DESK, ENTER, PHONE, SPACE, TAB};
pub(crate) use events::Listener;
pub(crate) use link::{Peer, Provider, envelope};
pub(crate) use program::{Ran, reclaimer};
pub(crate) use receiver::{Delivery, Receiver};
pub(crate) use server::{Answer, Server, Setup, binary};
pub(crate) use sqlite::{Shell, query, run_sql};
pub(crate) use terminal::Terminal;

/// No wait for something that must happen takes longer than this, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer, for things outside this process that announce themselves to nobody.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let asking = async {
        loop {
            beat.tick().await;
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => bail!("waited too long for: {what}"),
    }
}
