//! Trying a policy on what has happened: what it would have decided, beside what was decided and how that ended; and
//! which limits for silences the observed ones advise.
//!
//! Both are fed the recorded events of all jobs in the order in which they happened, and do no I/O themselves.

mod advice;
mod fate;
mod forecast;
mod moment;
mod simulation;

pub use advice::{Advice, Advisor, Spread, WouldTake};
pub use fate::Fate;
pub use forecast::{Case, Difference, Forecast, RuleForecast, Verdict};
pub use simulation::{MOST_DIFFERENCES, Simulation};
