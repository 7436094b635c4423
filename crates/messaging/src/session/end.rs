//! The end of a session: what was not written goes back, and what is held lives on for a while.

use std::time::Duration;

use futures::stream::StreamExt;
use reclaimer_domain::job::LeaseToken;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::effect::{Closed, Effect};
use super::outbox::{Written, outbox};
use super::run::{AREA, Ended, Session, Show};

/// What waits to be written when a connection ends is written for so long; a server that ends gives its own grace.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The task that writes.
pub(super) struct Writing {
    pub(super) task: JoinHandle<Written>,
    /// Has it write no more.
    pub(super) stop: CancellationToken,
}

impl Writing {
    /// Waits for the rest to be written, until then.
    async fn finish(mut self, until: Instant) -> Written {
        let ended = tokio::select! {
            ended = &mut self.task => ended,
            () = sleep_until(until) => {
                self.stop.cancel();
                self.task.await
            }
        };
        ended.unwrap_or_else(|_| Written { failure: None, unsent: Vec::new() })
    }
}

impl Session {
    /// Ends: what was said is carried out, what was not written goes back, and what is held lives on for a while.
    pub(super) async fn end(mut self, why: Closed, writing: Writing, written: Option<Written>) -> Ended {
        self.seat.leave();
        self.core.ends();
        // Requests for jobs that are given up hand back what they get, and nobody is there for credentials.
        self.claims.clear();
        self.refreshes.clear();
        let patience = match why {
            Closed::ServerEnds => self.context.shutdown_grace,
            // It does not read.
            Closed::Silent | Closed::Stalled | Closed::Broken(_) => Duration::ZERO,
            _ => LAST_WORDS,
        };
        let until = Instant::now() + patience;
        // Before our side is closed, by which the peer may tell that what it said was heard. What waits to be written is
        // written meanwhile.
        self.settle_reports().await;
        let (outbox, _closed) = outbox();
        drop(std::mem::replace(&mut self.outbox, outbox));
        let written = match written {
            Some(written) => written,
            None => writing.finish(until).await,
        };
        if !written.unsent.is_empty() {
            self.core.forget(&written.unsent);
            self.release(written.unsent, "the connection ended before it was handed over".to_owned());
        }
        while let Some(done) = self.others.next().await {
            // What there is to say reaches nobody any more, and goes back; there is nothing to end for.
            let _ = self.done(done);
        }
        self.show(Show::AtOnce);
        self.started.drain().for_each(|(_, ticket)| ticket.settle());
        let orphans = self.seat.hand_over(self.core.held().map(|(token, _)| token.clone()).collect());
        let (link, worker_id, count) = (&self.context.link, self.core.worker(), orphans.len());
        match &why {
            Closed::Left | Closed::ServerEnds => info!(area = AREA, link, %worker_id, "session ended: {why}"),
            _ => warn!(area = AREA, link, %worker_id, leases = count, "session ended: {why}"),
        }
        let mut grace = self.context.grace;
        if let Some(pid) = self.watched.pid.filter(|_| count > 0) {
            grace = grace.max(self.watched.watch.lost(pid, &orphans));
        }
        // Leases that outlive the server get a grace when it is back.
        let graced: Vec<LeaseToken> =
            orphans.iter().filter(|token| self.core.is_known(token)).cloned().collect();
        if !graced.is_empty() && why != Closed::ServerEnds {
            let held = self.context.provisioning.hold(graced, Some(grace), false).await;
            if let Err(error) = held {
                warn!(area = AREA, link, %worker_id, %error, "the leases of a lost worker end as they would have");
            }
        }
        Ended { proven: self.core.is_proven(), why, orphans }
    }

    /// Waits for what was reported to be applied. Answers of a session that ends are for its bookkeeping alone; what is
    /// given back goes back.
    async fn settle_reports(&mut self) {
        while let Some(done) = self.reports.next().await {
            self.say_refused(&done, Instant::now());
            for effect in self.core.done(done) {
                match effect {
                    Effect::Release { leases, reason } => self.release(leases, reason),
                    Effect::Abandon(leases) => self.abandon(leases),
                    _ => {}
                }
            }
        }
    }
}
