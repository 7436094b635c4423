//! Jobs that are to be started on a worker: each waits until one has room for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reclaimer_domain::id::JobId;
use reclaimer_domain::name::QueueName;
use reclaimer_health::Beat;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The most jobs that wait to be started; more wait like any other job.
const MOST: usize = 10_000;

/// A job that came back is not offered again before this.
const REST: Duration = Duration::from_secs(1);

/// Whoever hands offers out hangs when he takes longer than this.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Jobs that wait to be started on a worker, in their order.
#[derive(Debug)]
pub(crate) struct Offers {
    waiting: Mutex<BTreeMap<JobId, Waiting>>,
    /// Rings when there may be something to offer.
    rings: Notify,
    beat: Beat,
}

impl Default for Offers {
    fn default() -> Self {
        let beat = Beat::new("links", Instant::now().into_std());
        Self { waiting: Mutex::default(), rings: Notify::new(), beat }
    }
}

#[derive(Debug)]
struct Waiting {
    queue: QueueName,
    /// Whether a worker is asked just now.
    out: bool,
    not_before: Instant,
}

/// An offer on its way. Dropped, the job waits again.
#[derive(Debug)]
pub(crate) struct Ticket {
    job: JobId,
    offers: Arc<Offers>,
    settled: bool,
}

impl Offers {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<JobId, Waiting>> {
        // Every change is one entry; a panic in between leaves none behind.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job on the list; one that is on it stays as it is.
    pub(crate) fn put(&self, job: JobId, queue: QueueName) {
        let mut waiting = self.waiting();
        if waiting.len() < MOST {
            let entry = Waiting { queue, out: false, not_before: Instant::now() };
            waiting.entry(job).or_insert(entry);
        }
        drop(waiting);
        self.ring();
    }

    /// Takes a job off the list.
    pub(crate) fn remove(&self, job: &JobId) {
        self.waiting().remove(job);
    }

    /// Whether a job waits and nobody is asked about it.
    pub(crate) fn is_waiting(&self, job: &JobId) -> bool {
        self.waiting().get(job).is_some_and(|entry| !entry.out)
    }

    /// Something has changed for those that wait.
    pub(crate) fn ring(&self) {
        self.beat.called(Instant::now().into_std(), HANGS_AFTER);
        self.rings.notify_one();
    }

    /// Proves that whoever hands offers out does so when it rings.
    pub(crate) fn beat(&self) -> Beat {
        self.beat.clone()
    }

    /// Offers are about to be handed out.
    pub(crate) fn turn(&self) {
        self.beat.turned(Instant::now().into_std(), HANGS_AFTER);
    }

    /// Offers what waits: `offer` finds somebody for a job of a queue, or gives it back. A queue for which there is nobody is
    /// not asked about again in this round. Answers when the next one that rests may be offered.
    pub(crate) fn round(
        self: &Arc<Self>,
        mut offer: impl FnMut(Ticket, &QueueName) -> Result<(), Ticket>,
    ) -> Option<Instant> {
        let now = Instant::now();
        let due: Vec<(JobId, QueueName)> = {
            let waiting = self.waiting();
            let due = waiting.iter().filter(|(_, entry)| !entry.out && entry.not_before <= now);
            due.map(|(job, entry)| (job.clone(), entry.queue.clone())).collect()
        };
        let mut nobody_for: Vec<QueueName> = Vec::new();
        for (job, queue) in due {
            if nobody_for.contains(&queue) {
                continue;
            }
            match self.waiting().get_mut(&job) {
                Some(entry) if !entry.out => entry.out = true,
                _ => continue,
            }
            let ticket = Ticket { job: job.clone(), offers: Arc::clone(self), settled: false };
            if let Err(ticket) = offer(ticket, &queue) {
                ticket.keep();
                nobody_for.push(queue);
            }
        }
        let resting = self.waiting();
        resting
            .values()
            .filter(|entry| !entry.out && entry.not_before > now)
            .map(|entry| entry.not_before)
            .min()
    }

    /// Done when it rings, or at that moment.
    pub(crate) async fn changed(&self, at: Option<Instant>) {
        let now = Instant::now();
        match at {
            Some(at) => self.beat.turned(now.into_std(), at.saturating_duration_since(now) + HANGS_AFTER),
            None => self.beat.rests(now.into_std()),
        }
        let moment = async {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.rings.notified() => {}
            () = moment => {}
        }
        self.turn();
    }
}

impl Ticket {
    /// The job.
    pub(crate) fn job(&self) -> &JobId {
        &self.job
    }

    /// Nobody was asked: the job waits on as it did.
    fn keep(mut self) {
        self.settled = true;
        if let Some(entry) = self.offers.waiting().get_mut(&self.job) {
            entry.out = false;
        }
    }

    /// The job waits no more: it was handed over, or somebody else has it.
    pub(crate) fn settle(mut self) {
        self.settled = true;
        self.offers.remove(&self.job);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Some(entry) = self.offers.waiting().get_mut(&self.job) {
            entry.out = false;
            entry.not_before = Instant::now() + REST;
        }
        self.offers.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> JobId {
        name.parse().unwrap()
    }

    fn put(offers: &Arc<Offers>, jobs: &[(&str, &str)]) {
        for (name, queue) in jobs {
            offers.put(job(name), queue.parse().unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_offered_in_order_until_somebody_takes_it() {
        let offers = Arc::new(Offers::default());
        put(&offers, &[("b", "q"), ("a", "q"), ("c", "other"), ("a", "q")]);
        let mut tickets = Vec::new();
        let next = offers.round(|ticket, _| {
            tickets.push(ticket);
            Ok(())
        });
        let names: Vec<&str> = tickets.iter().map(|ticket| ticket.job().as_str()).collect();
        assert_eq!((names, next), (vec!["a", "b", "c"], None));
        assert_eq!(offers.round(|_, _| panic!("all are out")), None);

        tickets.remove(0).settle();
        tickets.clear();
        let rests = offers.round(|_, _| panic!("those that came back rest")).unwrap();
        offers.changed(None).await;
        offers.changed(Some(rests)).await;
        let mut again = Vec::new();
        offers.round(|ticket, _| {
            again.push(ticket.job().to_string());
            ticket.settle();
            Ok(())
        });
        assert_eq!(again, ["b", "c"]);
        assert!(!offers.is_waiting(&job("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_nobody_serves_stands_in_no_other_ones_way() {
        let offers = Arc::new(Offers::default());
        put(&offers, &[("a", "q"), ("b", "q"), ("c", "other")]);
        let mut asked = Vec::new();
        let next = offers.round(|ticket, queue| {
            asked.push(format!("{}/{queue}", ticket.job()));
            if queue.as_str() != "other" {
                return Err(ticket);
            }
            ticket.settle();
            Ok(())
        });
        assert_eq!((asked, next), (vec!["a/q".to_owned(), "c/other".to_owned()], None));
        assert!(offers.is_waiting(&job("a")) && offers.is_waiting(&job("b")));
        // It rang when they were put in, and not because there was nobody.
        offers.changed(None).await;
        let silence = tokio::time::timeout(REST, offers.changed(None)).await;
        assert!(silence.is_err(), "nobody to ask is no news");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_follows_is_found() {
        let offers = Offers::default();
        let is_well = || offers.beat().look(Instant::now().into_std()).overdue_by.is_none();
        let wait = async || tokio::time::sleep(HANGS_AFTER * 2).await;
        wait().await;
        assert!(is_well(), "nothing rang yet");
        offers.ring();
        offers.changed(None).await;
        wait().await;
        assert!(!is_well(), "it rang, and nobody waits for the next ring");
        let silence = tokio::time::timeout(HANGS_AFTER * 2, offers.changed(None)).await;
        assert!(silence.is_err() && is_well(), "whoever waits for a ring is well however long there is none");
    }
}
