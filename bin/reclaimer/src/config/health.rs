//! From when on something is not well.

use std::time::Duration;

use reclaimer_health::Limits;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Health {
    #[serde(with = "humantime_serde")]
    pub(crate) deaf_after: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) standstill_after: Duration,
}

impl Default for Health {
    fn default() -> Self {
        let Limits { deaf_after, standstill_after, .. } = Limits::default();
        Self { deaf_after, standstill_after }
    }
}

impl Health {
    pub(crate) fn limits(&self) -> Limits {
        let Self { deaf_after, standstill_after } = *self;
        Limits { deaf_after, standstill_after, ..Limits::default() }
    }
}
