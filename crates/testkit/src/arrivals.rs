//! An arrival sink that remembers.

use std::sync::Mutex;

use reclaimer_domain::ports::{Arrival, ArrivalSink};

/// Remembers every arrival it is told of.
#[derive(Debug, Default)]
pub struct RecordedArrivals(Mutex<Vec<Arrival>>);

impl RecordedArrivals {
    /// What arrived since the last call.
    pub fn take(&self) -> Vec<Arrival> {
        self.0.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default()
    }
}

impl ArrivalSink for RecordedArrivals {
    fn arrived(&self, arrivals: &[Arrival]) {
        if let Ok(mut seen) = self.0.lock() {
            seen.extend_from_slice(arrivals);
        }
    }
}
