//! Leases: held, renewed, taken over, given back.

use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::{AccountId, WorkerId};
use reclaimer_domain::ports::{Renewed, StoreError, Taken};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::wire::JobOnTheWire;
use reclaimer_provisioning::HeldJob;
use tokio::time::Instant;

use super::Core;
use crate::message::Outbound;
use crate::session::effect::{Done, Effect};

/// A job that the peer holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) job: JobId,
    /// Whose credentials it needs, where it was handed out here.
    pub(super) account: Option<AccountId>,
    /// Whether the worker is known to have it. What was handed out over an earlier connection, and never reported on, may
    /// have been lost with that; its lease ends unless there is a report.
    known: bool,
    /// Whether a report is on its way that ends the job.
    pub(super) ends: bool,
    /// How often jobs had been asked for when it came.
    requests: u64,
    /// How often evidence about it was kept.
    pub(super) evidence: u32,
}

impl Core {
    pub(crate) fn held(&self) -> impl ExactSizeIterator<Item = (&LeaseToken, &JobId)> {
        self.held.iter().map(|(token, held)| (token, &held.job))
    }

    /// What came to the held leases and went from them since the last call.
    pub(crate) fn take_changes(&mut self) -> (Vec<LeaseToken>, Vec<LeaseToken>) {
        (std::mem::take(&mut self.gained), std::mem::take(&mut self.lost))
    }

    /// These leases did not reach the worker; they are given back.
    pub(crate) fn forget(&mut self, leases: &[LeaseToken]) {
        for token in leases {
            self.let_go(token);
        }
    }

    pub(super) fn hold(&mut self, jobs: &[JobOnTheWire]) {
        for job in jobs {
            if let Some(token) = job.lease.as_ref().and_then(|lease| lease.token.parse().ok()) {
                self.take_hold(token, job.id.clone(), job.account_id.clone(), true);
            }
        }
    }

    fn take_hold(&mut self, token: LeaseToken, job: JobId, account: Option<AccountId>, known: bool) {
        self.gained.push(token.clone());
        self.held
            .insert(token, Held { job, account, known, ends: false, requests: self.requests, evidence: 0 });
    }

    /// Whether the worker is known to have what it holds by this lease.
    pub(crate) fn is_known(&self, token: &LeaseToken) -> bool {
        self.held.get(token).is_some_and(|held| held.known)
    }

    /// The worker reported on what it holds.
    pub(super) fn heard_of(&mut self, token: &LeaseToken) {
        if let Some(held) = self.held.get_mut(token) {
            held.known = true;
        }
    }

    /// A report that ends what is held by this lease goes its way, or has not ended it.
    pub(super) fn ends_now(&mut self, token: &LeaseToken, ends: bool) {
        if let Some(held) = self.held.get_mut(token) {
            held.ends = ends;
        }
    }

    pub(super) fn let_go(&mut self, token: &LeaseToken) -> Option<JobId> {
        let Held { job, evidence, .. } = self.held.remove(token)?;
        self.lost.push(token.clone());
        self.remember_ended(job.clone(), evidence);
        Some(job)
    }

    /// Renews what is held, now and then while the worker is heard.
    pub(super) fn renewal(&mut self, now: Instant) -> Option<Effect> {
        if now.duration_since(self.renewed_at) < self.settings.renew_every {
            return None;
        }
        let known = self.held.iter().filter(|(_, held)| held.known).map(|(token, _)| token.clone());
        let leases: Vec<LeaseToken> = known.collect();
        if leases.is_empty() {
            return None;
        }
        self.renewed_at = now;
        Some(Effect::Keep(leases))
    }

    pub(super) fn kept(&mut self, renewed: Renewed) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (job, token) in renewed.cancelled {
            effects.extend(self.taken(job, token, Taken::Cancelled));
        }
        for token in renewed.lost {
            if let Some(job) = self.held.get(&token).map(|held| held.job.clone()) {
                effects.extend(self.taken(job, token, Taken::Reclaimed));
            }
        }
        effects
    }

    /// A lease was taken from this worker.
    pub(super) fn taken(&mut self, job: JobId, lease: LeaseToken, why: Taken) -> Vec<Effect> {
        if self.let_go(&lease).is_none() {
            return Vec::new();
        }
        let (feature, message) = match why {
            Taken::Cancelled => {
                let reason = "the job was cancelled".to_owned();
                ("cancel", Outbound::CancelJob { job, lease, reason })
            }
            Taken::Reclaimed => {
                let reason = "the job was taken back by recovery".to_owned();
                ("lease", Outbound::LeaseLost { job: Some(job), lease, reason })
            }
        };
        if self.has_feature(feature) { vec![Effect::Send(message)] } else { Vec::new() }
    }

    pub(super) fn reattached(
        &mut self,
        asked: Vec<LeaseToken>,
        outcome: Result<Renewed, StoreError>,
    ) -> Vec<Effect> {
        let Ok(renewed) = outcome else {
            self.unsettled.push(Effect::Reattach(asked));
            return Vec::new();
        };
        let mut effects = Vec::new();
        for lease in asked {
            let found = renewed.renewed.iter().find(|(_, held)| held.token == lease);
            effects.push(Effect::Send(match found {
                Some((job, held)) => {
                    self.take_hold(lease.clone(), job.clone(), None, true);
                    Outbound::Reattached { job: job.clone(), lease, expires_at: held.expires_at }
                }
                None => Outbound::NotReattached { lease: Secret::new(lease.expose()) },
            }));
        }
        effects
    }

    pub(super) fn adopted(
        &mut self,
        worker: WorkerId,
        outcome: Result<Vec<HeldJob>, StoreError>,
    ) -> Vec<Effect> {
        match outcome {
            Ok(held) => self.take_up(held),
            Err(_) => self.unsettled.push(Effect::Adopt(worker)),
        }
        Vec::new()
    }

    pub(super) fn took_over(
        &mut self,
        asked: Vec<LeaseToken>,
        outcome: Result<Vec<HeldJob>, StoreError>,
    ) -> Vec<Effect> {
        match outcome {
            Ok(held) => self.take_up(held),
            Err(_) => self.unsettled.push(Effect::TakeOver(asked)),
        }
        Vec::new()
    }

    /// Holds what was handed out over another connection.
    fn take_up(&mut self, held: Vec<HeldJob>) {
        for HeldJob { job, lease, account, heard_of } in held {
            self.take_hold(lease.token, job, account, heard_of);
        }
    }

    /// A peer that asks only when it is idle, and asks again, has forgotten what it had before: its last word about that was
    /// lost with a connection, and its heartbeats would keep the leases for ever. A request that crossed the answer to the
    /// one before proves nothing.
    pub(super) fn forgotten(&mut self) -> Vec<Effect> {
        let before = self.requests;
        self.requests += 1;
        if self.settings.asks_when_idle && self.held_before(before).next().is_some() {
            vec![Effect::InTurn(Box::new(Done::Forgot { before }))]
        } else {
            Vec::new()
        }
    }

    /// What is held since before so many requests.
    fn held_before(&self, requests: u64) -> impl Iterator<Item = &LeaseToken> {
        self.held.iter().filter(move |(_, held)| held.requests < requests).map(|(token, _)| token)
    }

    pub(super) fn abandoned(&mut self, before: u64) -> Vec<Effect> {
        let leases: Vec<LeaseToken> = self.held_before(before).cloned().collect();
        self.forget(&leases);
        if leases.is_empty() { Vec::new() } else { vec![Effect::Abandon(leases)] }
    }

    pub(super) fn left(&mut self, reason: String) -> Vec<Effect> {
        let leases: Vec<LeaseToken> = self.held.keys().cloned().collect();
        self.forget(&leases);
        if leases.is_empty() { Vec::new() } else { vec![Effect::Release { leases, reason }] }
    }
}
