//! Who is connected, over which link, and by which leases they hold jobs.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::{Arrival, Committed, StoreListener, TakenLease};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::offers::Ticket;
use crate::session::Command;

/// At most so many commands wait for one session.
const COMMANDS: usize = 256;

/// Everybody who is connected. Made before the store, which tells it whose leases were taken.
#[derive(Debug, Default)]
pub struct Roster {
    inner: Mutex<Inner>,
    /// Rings when a connection ends or lets go of a lease.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    sessions: HashMap<u64, Session>,
    /// Which session each lease is held over.
    leases: HashMap<LeaseToken, u64>,
    paused: BTreeSet<WorkerId>,
}

#[derive(Debug)]
struct Session {
    commands: mpsc::Sender<Command>,
    view: SessionView,
    /// Whether it is about to end.
    leaves: bool,
    /// How many offers are on their way to it, or not yet seen in `view`.
    offered: usize,
}

impl Session {
    fn is_of(&self, pids: &BTreeSet<i32>) -> bool {
        self.view.pid.is_some_and(|pid| pids.contains(&pid))
    }
}

/// What a connection shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// Over which link.
    pub link: String,
    /// Who it is.
    pub worker: WorkerId,
    /// Its process, where the kernel tells it.
    pub pid: Option<i32>,
    /// Which protocol it speaks.
    pub protocol: u32,
    /// Whether it is to take no more jobs.
    pub paused: bool,
    /// Whether anything valid was heard.
    pub proven: bool,
    /// Since when.
    pub connected_at: DateTime<Utc>,
    /// When anything was last heard.
    pub heard_at: DateTime<Utc>,
    /// When it last asked for jobs, waited for one, or held one.
    pub active_at: Option<DateTime<Utc>>,
    /// How many jobs it holds.
    pub held: usize,
    /// How many more can be started on it.
    pub room: usize,
    /// What it last said of itself.
    pub status: Option<Value>,
    /// How many messages were heard.
    pub messages: u64,
    /// How many messages were for somebody else, of no known kind, not readable, or no messages at all.
    pub ignored: u64,
}

impl Roster {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is a few assignments; a panic in between could at worst leave a name behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat for a connection.
    pub(crate) fn enter(self: &Arc<Self>, view: SessionView) -> (Seat, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.sessions.insert(number, Session { commands, view, leaves: false, offered: 0 });
        (Seat { roster: Arc::clone(self), number }, receiver)
    }

    /// Everybody who is connected, in the order in which they came.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        let inner = self.inner();
        let mut sessions: Vec<_> = inner.sessions.iter().collect();
        sessions.sort_by_key(|(number, _)| **number);
        sessions.into_iter().map(|(_, session)| session.view.clone()).collect()
    }

    /// Whether a worker is to take no more jobs.
    pub(crate) fn is_paused(&self, worker: &WorkerId) -> bool {
        self.inner().paused.contains(worker)
    }

    /// Workers that are to take no more jobs, connected or not.
    #[must_use]
    pub fn paused(&self) -> Vec<WorkerId> {
        self.inner().paused.iter().cloned().collect()
    }

    /// Has a worker take no more jobs, or take them again, now and after it connects anew; false when nobody of that name
    /// is connected and it was not paused.
    pub fn set_paused(&self, worker: &WorkerId, paused: bool) -> bool {
        let mut inner = self.inner();
        let known = if paused { inner.paused.insert(worker.clone()) } else { inner.paused.remove(worker) };
        let mut connected = false;
        for session in inner.sessions.values_mut().filter(|session| session.view.worker == *worker) {
            connected = true;
            session.view.paused = paused;
            // A session that takes no more commands is about to end; the next one begins as it is to.
            drop(session.commands.try_send(if paused { Command::Pause } else { Command::Resume }));
        }
        if paused && !connected {
            inner.paused.remove(worker);
            return false;
        }
        connected || (known && !paused)
    }

    /// Asks the workers of these processes to finish what they hold and to leave; they get no more jobs. Done when they
    /// hold nothing.
    pub async fn finish(&self, pids: &BTreeSet<i32>, reason: &str) {
        for session in self.inner().sessions.values().filter(|session| session.is_of(pids)) {
            // One that takes no more commands is about to end.
            drop(session.commands.try_send(Command::Finish { reason: reason.to_owned() }));
        }
        let busy = |number: &u64, inner: &Inner| inner.leases.values().any(|holder| holder == number);
        self.until(|inner| {
            !inner.sessions.iter().any(|(number, session)| session.is_of(pids) && busy(number, inner))
        })
        .await;
    }

    /// Done when no connection with these processes is left, and the grace of what they held has begun.
    pub async fn gone(&self, pids: &BTreeSet<i32>) {
        self.until(|inner| !inner.sessions.values().any(|session| session.is_of(pids))).await;
    }

    /// Whether a lease is held over some connection.
    #[must_use]
    pub fn holds(&self, lease: &LeaseToken) -> bool {
        self.inner().leases.contains_key(lease)
    }

    async fn until(&self, done: impl Fn(&Inner) -> bool) {
        let mut changed = pin!(self.changed.notified());
        loop {
            changed.as_mut().enable();
            if done(&self.inner()) {
                return;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }

    /// Offers a job to whoever holds the fewest of those who have room for it; gives it back when there is nobody.
    pub(crate) fn offer(&self, ticket: Ticket, links: &[String]) -> Result<(), Ticket> {
        let mut inner = self.inner();
        let able = inner
            .sessions
            .values_mut()
            .filter(|session| {
                session.view.proven
                    && !session.view.paused
                    && !session.leaves
                    && session.view.room > session.offered
                    && links.contains(&session.view.link)
            })
            .min_by_key(|session| session.view.held + session.offered);
        let Some(session) = able else { return Err(ticket) };
        // One that takes no more commands is about to end; the offer comes back, and finds somebody else.
        if session.commands.try_send(Command::Offer(ticket)).is_ok() {
            session.offered += 1;
        }
        Ok(())
    }
}

impl StoreListener for Roster {
    fn arrived(&self, _: &[Arrival]) {}

    fn taken(&self, leases: &[TakenLease]) {
        let inner = self.inner();
        for TakenLease { job, token, why } in leases {
            let session = inner.leases.get(token).and_then(|number| inner.sessions.get(number));
            if let Some(session) = session {
                let command = Command::Taken { job: job.clone(), token: token.clone(), why: *why };
                // One that has no room learns of it with its next renewal.
                drop(session.commands.try_send(command));
            }
        }
    }

    fn committed(&self, _: &Committed) {}
}

/// A connection's place; left when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    roster: Arc<Roster>,
    number: u64,
}

impl Seat {
    /// The connection is about to end: nothing is offered over it any more.
    pub(crate) fn leave(&self) {
        if let Some(session) = self.roster.inner().sessions.get_mut(&self.number) {
            session.leaves = true;
        }
    }

    /// An offer has come to an end, one way or another.
    pub(crate) fn offer_ended(&self) {
        if let Some(session) = self.roster.inner().sessions.get_mut(&self.number) {
            session.offered = session.offered.saturating_sub(1);
        }
    }

    /// Shows how the connection is doing.
    pub(crate) fn show(&self, change: impl FnOnce(&mut SessionView)) {
        if let Some(session) = self.roster.inner().sessions.get_mut(&self.number) {
            change(&mut session.view);
        }
    }

    /// These leases are held over this connection from now on; those are not any more.
    pub(crate) fn holds(&self, gained: Vec<LeaseToken>, lost: &[LeaseToken]) {
        let mut inner = self.roster.inner();
        for token in lost {
            if inner.leases.get(token) == Some(&self.number) {
                inner.leases.remove(token);
            }
        }
        inner.leases.extend(gained.into_iter().map(|token| (token, self.number)));
        drop(inner);
        if !lost.is_empty() {
            self.roster.changed.notify_waiters();
        }
    }

    /// Hands what this connection holds to another one of the same process; answers what is left: all of it when there is
    /// no other, and nothing that another connection has taken over already.
    pub(crate) fn hand_over(&self, held: Vec<LeaseToken>) -> Vec<LeaseToken> {
        let inner = self.roster.inner();
        let own: Vec<_> =
            held.into_iter().filter(|token| inner.leases.get(token) == Some(&self.number)).collect();
        let Some(this) = inner.sessions.get(&self.number).filter(|_| !own.is_empty()) else { return own };
        let other = inner.sessions.iter().find(|(number, session)| {
            **number != self.number
                && !session.leaves
                && session.view.link == this.view.link
                && session.view.pid == this.view.pid
                && this.view.pid.is_some()
        });
        match other {
            Some((_, session)) => match session.commands.try_send(Command::Inherit(own)) {
                Ok(()) => Vec::new(),
                Err(
                    mpsc::error::TrySendError::Full(Command::Inherit(own))
                    | mpsc::error::TrySendError::Closed(Command::Inherit(own)),
                ) => own,
                Err(_) => Vec::new(),
            },
            None => own,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.roster.inner();
        inner.sessions.remove(&self.number);
        inner.leases.retain(|_, number| *number != self.number);
        drop(inner);
        self.roster.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reclaimer_domain::name::QueueName;
    use reclaimer_domain::ports::Taken;
    use reclaimer_testkit::noon;

    use crate::offers::Offers;

    fn view(worker: &str) -> SessionView {
        SessionView {
            link: "l".into(),
            worker: worker.parse().unwrap(),
            pid: None,
            protocol: 1,
            paused: false,
            proven: true,
            connected_at: noon(),
            heard_at: noon(),
            active_at: None,
            held: 0,
            room: 1,
            status: None,
            messages: 0,
            ignored: 0,
        }
    }

    fn lease(name: &str) -> LeaseToken {
        name.parse().unwrap()
    }

    #[test]
    fn whose_lease_is_taken_is_told() {
        let roster = Arc::new(Roster::default());
        let (seat, mut commands) = roster.enter(view("w"));
        let (_other, mut none) = roster.enter(view("v"));
        seat.holds(vec![lease("1"), lease("2")], &[]);
        seat.holds(vec![], &[lease("2")]);
        let taken =
            |name: &str| TakenLease { job: "J".parse().unwrap(), token: lease(name), why: Taken::Cancelled };
        roster.taken(&[taken("1"), taken("2"), taken("3")]);
        assert!(matches!(commands.try_recv(), Ok(Command::Taken { token, .. }) if token == lease("1")));
        assert!(commands.try_recv().is_err() && none.try_recv().is_err());
    }

    #[test]
    fn a_second_connection_of_a_process_inherits_what_the_first_held() {
        let roster = Arc::new(Roster::default());
        let of_process = |pid| SessionView { pid: Some(pid), ..view("w") };
        let (first, _commands) = roster.enter(of_process(7));
        // Another process may call itself the same.
        let (_stranger, mut hears) = roster.enter(of_process(8));
        let held = vec![lease("1"), lease("2")];
        first.holds(held.clone(), &[]);
        assert_eq!(first.hand_over(held.clone()), held, "nobody else is there");
        assert!(hears.try_recv().is_err());
        let (second, mut commands) = roster.enter(of_process(7));
        second.holds(vec![lease("2")], &[]);
        assert_eq!(first.hand_over(held), [], "one was taken over already, the other is handed over");
        assert!(matches!(commands.try_recv(), Ok(Command::Inherit(own)) if own == [lease("1")]));
    }

    #[test]
    fn a_pause_is_for_the_worker_and_not_for_its_connection() {
        let roster = Arc::new(Roster::default());
        let worker: WorkerId = "w".parse().unwrap();
        assert!(!roster.set_paused(&worker, true), "nobody of that name");
        let (seat, mut commands) = roster.enter(view("w"));
        assert!(roster.set_paused(&worker, true));
        assert!(matches!(commands.try_recv(), Ok(Command::Pause)));
        drop(seat);
        assert!(roster.is_paused(&worker));
        assert!(roster.set_paused(&worker, false));
        assert!(!roster.is_paused(&worker));
    }

    #[tokio::test]
    async fn a_worker_that_is_asked_to_finish_has_when_it_holds_nothing() {
        let roster = Arc::new(Roster::default());
        let (seat, mut commands) = roster.enter(SessionView { pid: Some(7), ..view("w") });
        let pids = BTreeSet::from([7]);
        seat.holds(vec![lease("1")], &[]);
        let (asked, gone) = (roster.finish(&pids, "enough"), roster.gone(&pids));
        tokio::pin!(asked, gone);
        assert!(futures::poll!(&mut asked).is_pending() && futures::poll!(&mut gone).is_pending());
        assert!(matches!(commands.try_recv(), Ok(Command::Finish { reason }) if reason == "enough"));
        seat.holds(vec![], &[lease("1")]);
        asked.await;
        assert!(futures::poll!(&mut gone).is_pending());
        drop(seat);
        gone.await;
    }

    #[tokio::test]
    async fn a_job_is_offered_to_who_holds_the_fewest_and_has_room() {
        let roster = Arc::new(Roster::default());
        let offers = Arc::new(Offers::default());
        for name in ["a", "b", "c", "d"] {
            offers.put(name.parse().unwrap(), QueueName::default());
        }
        let (_busy, mut busy) = roster.enter(SessionView { held: 2, ..view("busy") });
        let (_mute, mut mute) = roster.enter(SessionView { proven: false, ..view("mute") });
        let (_full, mut full) = roster.enter(SessionView { room: 0, ..view("full") });
        let (idle_seat, mut idle) = roster.enter(view("idle"));
        let to = |link: &str| {
            let mut found = Vec::new();
            offers.round(|ticket, _| {
                // One at a time.
                let offered =
                    if found.is_empty() { roster.offer(ticket, &[link.to_owned()]) } else { Err(ticket) };
                found.push(offered.is_ok());
                offered
            });
            found.remove(0)
        };
        assert!(!to("other"));
        assert!(to("l"));
        assert!(idle.try_recv().is_ok() && busy.try_recv().is_err());
        assert!(to("l"), "who has been offered as many as it has room for is not asked again");
        assert!(busy.try_recv().is_ok() && idle.try_recv().is_err());
        assert!(!to("l") && mute.try_recv().is_err() && full.try_recv().is_err());
        idle_seat.offer_ended();
        idle_seat.leave();
        assert!(!to("l"), "who is about to leave gets none");
    }
}
