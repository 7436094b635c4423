//! Links as the settings have them.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use reclaimer_messaging::{Link, Reconnect, Transport};
use tokio::net::UnixListener;

use crate::config::{Mode, Settings};

/// The sockets of listening links, bound, by the links' names.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    by_link: HashMap<String, (UnixListener, PathBuf)>,
    uids: Vec<u32>,
}

impl Sockets {
    /// Where they are.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.by_link.values().map(|(_, path)| path.clone()).collect()
    }
}

/// Binds the sockets of listening links, for these users.
pub(crate) async fn bind(settings: &Settings, uids: &[u32], shared: bool) -> Result<Sockets> {
    let mut by_link = HashMap::new();
    for link in settings.link.all() {
        if link.mode() == Mode::Listen {
            let listener = reclaimer_server::bind_unix(&link.path, shared)
                .await
                .with_context(|| format!("link `{}`", link.name))?;
            by_link.insert(link.name, (listener, link.path));
        }
    }
    Ok(Sockets { by_link, uids: uids.to_vec() })
}

/// How many jobs a worker gets at once that does not say how many it wants: the original's crawlers are not made for more.
const JOBS_AT_ONCE: u32 = 1;

/// All links.
pub(super) fn links(settings: &Settings, sockets: Sockets) -> Result<Vec<Link>> {
    let Sockets { mut by_link, uids } = sockets;
    let general = &settings.link;
    let reconnect = Reconnect {
        base: general.reconnect_after,
        cap: general.reconnect_at_most.max(general.reconnect_after),
        ..Reconnect::default()
    };
    general
        .all()
        .into_iter()
        .map(|link| {
            let transport = match by_link.remove(&link.name) {
                Some((listener, _)) => Transport::Listen(listener),
                None => Transport::Dial(link.path.clone()),
            };
            Ok(Link {
                transport,
                dialect: link.dialect(general)?,
                jobs_at_once: link.jobs_at_once.unwrap_or(JOBS_AT_ONCE),
                heartbeat_interval: link.heartbeat_interval.unwrap_or(general.heartbeat_interval),
                heartbeat_timeout: link.heartbeat_timeout(general),
                first_frame_within: link.first_frame_within(general),
                reconnect,
                breaker: settings.breaker.settings(link.first_frame_within(general)),
                uids: uids.clone(),
                send_refresh_token: link.send_refresh_token.unwrap_or(general.send_refresh_token),
                name: link.name,
                queue: link.queue,
            })
        })
        .collect()
}
