//! Whether a peer still lives, and how much rubbish it may send.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{Core, Settings};
use crate::frame::Fault;
use crate::message::Outbound;
use crate::session::effect::{Closed, Effect};

/// More bursts of rubbish than this within a minute end the session.
pub(super) const MOST_BURSTS: usize = 100;
const BURSTS_WITHIN: Duration = Duration::from_secs(60);

/// A tick that comes later than this was held up by ourselves: it is no proof that the peer was silent.
const LATE: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Debug)]
pub(super) struct Watchdog {
    pub(super) opened_at: Instant,
    heard_at: Instant,
    /// Whether anything valid was heard.
    proven: bool,
    beats_at: Instant,
    /// Whether we read at all.
    listening: bool,
    bursts: VecDeque<Instant>,
}

impl Watchdog {
    pub(super) fn begin(settings: &Settings, now: Instant) -> Self {
        Self {
            opened_at: now,
            heard_at: now,
            proven: false,
            beats_at: now + settings.heartbeat_interval,
            listening: true,
            bursts: VecDeque::new(),
        }
    }

    pub(super) fn traffic(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub(super) fn proven(&mut self) {
        self.proven = true;
    }
}

impl Core {
    /// Whether anything valid was heard: only then is the connection known to be of use.
    pub(crate) fn is_proven(&self) -> bool {
        self.watchdog.proven
    }

    pub(crate) fn heard_at(&self) -> Instant {
        self.watchdog.heard_at
    }

    /// Bytes came, whatever they are.
    pub(crate) fn traffic(&mut self, now: Instant) {
        self.watchdog.traffic(now);
    }

    /// Bytes that are no frame came.
    pub(crate) fn rubbish(&mut self, fault: Fault, now: Instant) -> Vec<Effect> {
        self.counters.rubbish += 1;
        if fault == Fault::Endless {
            return vec![Effect::Close(Closed::Rubbish("a frame that does not end"))];
        }
        self.burst(now)
    }

    /// Something came that is no message.
    pub(super) fn burst(&mut self, now: Instant) -> Vec<Effect> {
        let bursts = &mut self.watchdog.bursts;
        while bursts.front().is_some_and(|at| now.duration_since(*at) >= BURSTS_WITHIN) {
            bursts.pop_front();
        }
        bursts.push_back(now);
        if bursts.len() > MOST_BURSTS {
            return vec![Effect::Close(Closed::Rubbish("more than 100 bursts within a minute"))];
        }
        Vec::new()
    }

    /// Whether we read. While we do not, because too much of what was heard is under way, silence is our own.
    pub(crate) fn listens(&mut self, listening: bool, now: Instant) {
        if listening && !self.watchdog.listening {
            self.watchdog.heard_at = now;
            self.watchdog.opened_at = now;
        }
        self.watchdog.listening = listening;
    }

    /// When something is due.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        let Watchdog { opened_at, heard_at, proven, listening, beats_at, .. } = self.watchdog;
        let silent_at = listening.then_some(heard_at + self.settings.heartbeat_timeout);
        let mute_at = (listening && !proven).then_some(opened_at + self.settings.first_frame_within);
        let beats_at = self.settings.speaks_first.then_some(beats_at);
        [silent_at, mute_at, beats_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let Watchdog { opened_at, heard_at, proven, listening, .. } = self.watchdog;
        if self.next_tick().is_some_and(|due| now >= due + LATE) {
            // We were held up ourselves; the peer gets another interval.
            self.watchdog.heard_at = now;
            self.watchdog.opened_at = now;
        } else if listening && !proven && now >= opened_at + self.settings.first_frame_within {
            return vec![Effect::Close(Closed::Mute)];
        } else if listening && now >= heard_at + self.settings.heartbeat_timeout {
            return vec![Effect::Close(if self.leaving { Closed::Left } else { Closed::Silent })];
        }
        if self.settings.speaks_first && now >= self.watchdog.beats_at {
            self.watchdog.beats_at = now + self.settings.heartbeat_interval;
            return vec![Effect::Send(Outbound::Heartbeat)];
        }
        Vec::new()
    }
}
