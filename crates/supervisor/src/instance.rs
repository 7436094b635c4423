//! Instances: each process that a worker has at one time.

use std::fmt;
use std::sync::Arc;

/// One of the processes of a worker: `crawler-2` is the second of the worker `crawler`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    worker: Arc<str>,
    number: u32,
    name: Arc<str>,
}

impl Instance {
    pub(crate) fn new(worker: &str, number: u32) -> Self {
        Self { worker: worker.into(), number, name: format!("{worker}-{number}").into() }
    }

    /// The worker's name.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Which of the worker's processes; counts from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The instance's own name, which its process finds in the environment as `RECLAIMER_WORKER`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}
