//! The fleet as health sees it.

use chrono::{DateTime, Utc};
use reclaimer_domain::time::after;
use reclaimer_health::{Breaker, BreakerState, Link, LinkMode, Process, ProcessState, Worker};
use reclaimer_messaging::{BreakerView, LinkView, SessionView};
use reclaimer_supervisor::{State, View};

use super::Fleet;

impl Fleet {
    pub(crate) fn seen_links(&self) -> Vec<Link> {
        let sessions = self.links.sessions();
        self.links.links().into_iter().map(|view| link(view, &sessions)).collect()
    }

    pub(crate) fn seen_workers(&self) -> Vec<Worker> {
        let links = self.links.links();
        let sessions = self.links.sessions().into_iter().filter(|session| session.proven);
        sessions.map(|session| worker(session, &links)).collect()
    }

    pub(crate) fn seen_processes(&self) -> Vec<Process> {
        let now = self.clock.now();
        self.processes().into_iter().map(|view| process(view, now)).collect()
    }
}

/// A link is connected when anything valid was heard over a connection of it: that a socket accepts proves nothing.
fn link(view: LinkView, sessions: &[SessionView]) -> Link {
    let own = sessions.iter().filter(|session| session.link == view.name && session.proven);
    let last_heartbeat_at = own.clone().map(|session| session.heard_at).max();
    let connections = own.count();
    Link {
        name: view.name,
        mode: if view.mode == "listen" { LinkMode::Listen } else { LinkMode::Dial },
        connected: connections > 0,
        connections: u64::try_from(connections).unwrap_or(u64::MAX),
        connection_failures: view.connection_failures,
        last_error: view.last_error,
        away_since: view.away_since,
        next_attempt_at: view.next_attempt_at,
        last_heartbeat_at,
        breaker: view.breaker.map(breaker),
    }
}

fn breaker(view: BreakerView) -> Breaker {
    Breaker {
        state: match view.state {
            "open" => BreakerState::Open,
            "half_open" => BreakerState::HalfOpen,
            "forced_open" => BreakerState::ForcedOpen,
            "forced_closed" => BreakerState::ForcedClosed,
            _ => BreakerState::Closed,
        },
        since: view.since,
        transitions: view.transitions,
        consecutive_failures: view.consecutive_failures,
        next_probe_at: view.next_probe_at,
    }
}

fn worker(session: SessionView, links: &[LinkView]) -> Worker {
    let link = links.iter().find(|link| link.name == session.link);
    Worker {
        name: session.worker.to_string(),
        queue: link.and_then(|link| link.queue.as_ref()).map(ToString::to_string),
        link: session.link,
        paused: session.paused,
        held: u64::try_from(session.held).unwrap_or(u64::MAX),
        connected_at: session.connected_at,
        last_heartbeat_at: session.heard_at,
        active_at: session.active_at,
    }
}

fn process(view: View, now: DateTime<Utc>) -> Process {
    let state = match view.state {
        _ if view.given_up => ProcessState::Exhausted,
        State::GivenUp { .. } | State::Held => ProcessState::Exhausted,
        State::Starting | State::Waiting { .. } => ProcessState::Restarting,
        State::Ready | State::Stopping => ProcessState::Running,
        State::Done | State::Stopped => ProcessState::Ended,
    };
    Process {
        name: view.instance.to_string(),
        worker: view.instance.worker().to_owned(),
        state,
        restarts: view.restarts,
        last_end: view.last_end.map(|ended| ended.cause.to_string()),
        starts_at: view.state.starts_in().map(|length| after(now, length)),
    }
}
