//! A listener that remembers.

use std::sync::Mutex;

use reclaimer_domain::ports::{Arrival, Change, Committed, StoreListener, TakenLease};

/// Remembers all that a store told.
#[derive(Debug, Default)]
pub struct Recorded {
    arrivals: Mutex<Vec<Arrival>>,
    taken: Mutex<Vec<TakenLease>>,
    changes: Mutex<Vec<Change>>,
}

impl Recorded {
    /// What arrived since the last call.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default()
    }

    /// The leases that were taken from their holders since the last call.
    pub fn take_taken(&self) -> Vec<TakenLease> {
        self.taken.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default()
    }

    /// What happened to jobs since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        self.changes.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default()
    }
}

impl StoreListener for Recorded {
    fn arrived(&self, arrivals: &[Arrival]) {
        if let Ok(mut seen) = self.arrivals.lock() {
            seen.extend_from_slice(arrivals);
        }
    }

    fn taken(&self, leases: &[TakenLease]) {
        if let Ok(mut seen) = self.taken.lock() {
            seen.extend_from_slice(leases);
        }
    }

    fn committed(&self, group: &Committed) {
        if let Ok(mut seen) = self.changes.lock() {
            seen.extend_from_slice(&group.changes);
        }
    }
}
