//! How often logging in may be tried. Pure: the moment is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Peer;

/// Failures that cost nothing yet, and the longest delay after many: of one peer, and of all together. The delay of all
/// together is short, so that strangers who fail on purpose cannot keep the admin out.
const OF_ONE: Pace = Pace { free: 3, longest: Duration::from_secs(300) };
const OF_ALL: Pace = Pace { free: 20, longest: Duration::from_secs(8) };

/// Failures are forgotten after so long without another one.
const FORGET: Duration = Duration::from_secs(900);

/// At most so many peers are remembered.
const MOST_PEERS: usize = 1_024;

/// How the delay grows.
#[derive(Debug, Clone, Copy)]
struct Pace {
    free: u32,
    longest: Duration,
}

impl Pace {
    /// The delay after so many failures in a row: none, then 1 s, 2 s, 4 s …
    fn delay(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(doublings) => {
                Duration::from_secs(1).saturating_mul(1 << doublings.min(20)).min(self.longest)
            }
        }
    }
}

/// Who fails, as far as it can be told apart from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Address(IpAddr),
    User(u32),
    Unknown,
}

impl From<Option<Peer>> for Who {
    fn from(peer: Option<Peer>) -> Self {
        match peer {
            // One caller of IPv6 has a whole network of addresses.
            Some(Peer::Tcp(address)) => Self::Address(match address.ip().to_canonical() {
                IpAddr::V6(ip) => {
                    let [a, b, c, d, ..] = ip.segments();
                    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
                }
                v4 @ IpAddr::V4(_) => v4,
            }),
            Some(Peer::Unix { uid }) => Self::User(uid),
            None => Self::Unknown,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    /// No attempt before this moment.
    until: Instant,
}

impl Failures {
    fn and_another(before: Option<Self>, pace: Pace, now: Instant) -> Self {
        let count = before.filter(|before| !before.is_forgotten(now)).map_or(0, |before| before.count);
        let count = count.saturating_add(1);
        Self { count, last: now, until: now + pace.delay(count) }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > FORGET.max(self.until.saturating_duration_since(self.last))
    }
}

/// What failed lately.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    peers: HashMap<Who, Failures>,
    all: Option<Failures>,
}

impl Throttle {
    /// How long this peer must wait before its next attempt, if at all. An attempt that is refused for this counts as
    /// none, so that impatience does not lengthen the wait.
    pub(super) fn wait(&self, who: Who, now: Instant) -> Option<Duration> {
        let until = |failures: &Failures| failures.until.saturating_duration_since(now);
        let its = self.peers.get(&who).map(until).unwrap_or_default();
        let all = self.all.as_ref().map(until).unwrap_or_default();
        Some(its.max(all)).filter(|wait| !wait.is_zero())
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, who: Who, now: Instant) {
        self.all = Some(Failures::and_another(self.all, OF_ALL, now));
        let its = Failures::and_another(self.peers.get(&who).copied(), OF_ONE, now);
        if self.peers.len() >= MOST_PEERS && !self.peers.contains_key(&who) {
            self.peers.retain(|_, failures| !failures.is_forgotten(now));
            let oldest = self.peers.iter().min_by_key(|(_, failures)| failures.last).map(|(who, _)| *who);
            if let Some(oldest) = oldest.filter(|_| self.peers.len() >= MOST_PEERS) {
                self.peers.remove(&oldest);
            }
        }
        self.peers.insert(who, its);
    }

    /// An attempt succeeded: its peer is no stranger.
    pub(super) fn succeeded(&mut self, who: Who) {
        self.peers.remove(&who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Who {
        Some(Peer::Tcp(text.parse().unwrap())).into()
    }

    fn seconds(throttle: &Throttle, who: Who, now: Instant) -> Option<u64> {
        throttle.wait(who, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn the_delay_of_a_peer_grows_and_is_forgotten() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        let who = address("10.0.0.1:1");
        let waits: Vec<_> = (0..12)
            .map(|_| {
                throttle.failed(who, now);
                let wait = seconds(&throttle, who, now);
                now += throttle.wait(who, now).unwrap_or_default();
                wait
            })
            .collect();
        let grown = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300].map(Some);
        assert_eq!(waits, [[None, None].as_slice(), &grown].concat());
        assert_eq!(seconds(&throttle, who, now), None, "the wait is over");
        throttle.failed(who, now + FORGET + Duration::from_secs(1));
        assert_eq!(seconds(&throttle, who, now + FORGET + Duration::from_secs(1)), None, "it was long ago");
    }

    #[test]
    fn a_success_forgives_its_peer_alone() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let (one, other) = (address("10.0.0.1:1"), address("10.0.0.2:1"));
        for _ in 0..4 {
            throttle.failed(one, now);
            throttle.failed(other, now);
        }
        throttle.succeeded(one);
        assert_eq!(seconds(&throttle, one, now), None);
        assert_eq!(seconds(&throttle, other, now), Some(2));
    }

    #[test]
    fn many_peers_together_slow_everybody_down_a_little() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for last in 0..200 {
            throttle.failed(address(&format!("10.0.0.{last}:1")), now);
        }
        assert_eq!(seconds(&throttle, address("192.168.0.1:1"), now), Some(8));
    }

    #[test]
    fn one_network_of_ipv6_is_one_peer_and_a_mapped_address_is_its_own() {
        assert_eq!(address("[2001:db8::1]:1"), address("[2001:db8::2:3]:9"));
        assert_ne!(address("[2001:db8::1]:1"), address("[2001:db8:0:1::1]:1"));
        assert_eq!(address("[::ffff:10.0.0.1]:1"), address("10.0.0.1:2"));
        assert_eq!(Who::from(Some(Peer::Unix { uid: 7 })), Who::User(7));
    }

    #[test]
    fn the_number_of_peers_remembered_is_bounded() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for number in 0..3_000_u32 {
            now += Duration::from_millis(1);
            throttle.failed(Who::User(number), now);
        }
        assert_eq!(throttle.peers.len(), MOST_PEERS);
        assert!(throttle.peers.contains_key(&Who::User(2_999)));
    }
}
