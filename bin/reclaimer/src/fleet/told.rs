//! The fleet as live events tell of it.

use reclaimer_feed::{Breaker, Sight, WorkerKey};

use super::Fleet;

impl reclaimer_feed::Fleet for Fleet {
    fn look(&self) -> Sight {
        let view = reclaimer_server::fleet::Fleet::view(self);
        let breakers = view.links.into_iter().filter_map(|link| {
            let breaker = link.breaker?;
            let seen = Breaker {
                state: breaker.state,
                consecutive_failures: breaker.consecutive_failures,
                next_probe_at: breaker.next_probe_at,
            };
            Some((link.name, seen))
        });
        let connections = view
            .workers
            .into_iter()
            .map(|worker| (WorkerKey::Connection { link: worker.link, worker: worker.id }, worker.state));
        let processes =
            view.processes.into_iter().map(|process| (WorkerKey::Process(process.name), process.state));
        Sight { breakers: breakers.collect(), workers: connections.chain(processes).collect() }
    }
}
