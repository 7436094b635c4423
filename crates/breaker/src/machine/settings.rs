//! When a circuit opens, for how long, and what closes it.

use std::time::Duration;

/// The settings of a breaker. Any one of the conditions under *trips* opens a closed circuit; with none of them, only a
/// person does.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Trips: so many failures without a success in between. 5.
    pub consecutive_failures: Option<u32>,
    /// Trips: too large a share of failures in any of these windows. None.
    pub failure_rates: Vec<Rate>,
    /// Trips: too large a share of slow calls. Also, a probe that is slow counts as failed. None.
    pub slow_calls: Option<SlowCalls>,

    /// How long the circuit stays open the first time. 30 s.
    pub open_for: Duration,
    /// What the open time is multiplied by for each opening since the circuit was last stable, at least 1. 1.5.
    pub open_factor: f64,
    /// The open time grows up to this; jitter comes on top. 300 s.
    pub max_open_for: Duration,
    /// The share by which an open time is drawn shorter or longer, at least 0 and below 1. 0.2.
    pub jitter: f64,
    /// A circuit that was closed for this long is stable: its open time has stopped growing and starts anew. 60 s.
    pub stable_after: Duration,

    /// How many probes a half-open circuit has under way at most. 1.
    pub probes: u32,
    /// How many probes must succeed for it to close. 1.
    pub probes_to_close: u32,
    /// How many abandoned probes open it again: a caller that always gives up never finds out. 3.
    pub max_abandoned_probes: u32,
    /// A probe that was not reported for this long has failed. 30 s.
    pub probe_timeout: Duration,
}

/// A share of calls that is too large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The calls to look at.
    pub window: Window,
    /// With fewer calls in the window than this the share says nothing yet.
    pub min_calls: u32,
    /// The share that is too large, above 0 and at most 1.
    pub threshold: f64,
}

/// Which calls to look at; never those before the circuit last closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last so many calls; takes a byte for each.
    Calls(u32),
    /// The calls that ended within so much time. Time is counted in tenths of it, so that the oldest tenth goes out at
    /// once: a window of 10 s holds the last 9 to 10 s, in a memory that does not grow with the calls.
    Time(Duration),
}

/// When calls are slow, and how many are too many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowCalls {
    /// A call that took at least this long is slow, whether it failed or not.
    pub slow_after: Duration,
    /// The share of slow calls that is too large.
    pub rate: Rate,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            failure_rates: Vec::new(),
            slow_calls: None,
            open_for: Duration::from_secs(30),
            open_factor: 1.5,
            max_open_for: Duration::from_secs(300),
            jitter: 0.2,
            stable_after: Duration::from_secs(60),
            probes: 1,
            probes_to_close: 1,
            max_abandoned_probes: 3,
            probe_timeout: Duration::from_secs(30),
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// Something that must be more than nothing is nothing.
    #[error("`{0}` must be more than zero")]
    Zero(&'static str),
    /// A share is no share.
    #[error("a `threshold` of {0} is not above 0 and at most 1")]
    Threshold(f64),
    /// A condition that can never hold.
    #[error("`min_calls` is {min_calls}, and the window never holds more than {window} calls")]
    MinCalls {
        /// The least number of calls.
        min_calls: u32,
        /// What the window holds.
        window: u32,
    },
    /// Open times would shrink.
    #[error("an `open_factor` of {0} is not a number of at least 1")]
    OpenFactor(f64),
    /// The first open time is above the cap.
    #[error("`max_open_for` is {max_open_for:?}, less than `open_for`, which is {open_for:?}")]
    MaxOpenFor {
        /// The first open time.
        open_for: Duration,
        /// The cap.
        max_open_for: Duration,
    },
    /// Open times would be negative, or nothing.
    #[error("a `jitter` of {0} is not at least 0 and below 1")]
    Jitter(f64),
}

impl Settings {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let Self { open_for, max_open_for, open_factor, jitter, .. } = *self;
        let slow_after = self.slow_calls.map(|slow_calls| slow_calls.slow_after);
        for (name, zero) in [
            ("consecutive_failures", self.consecutive_failures == Some(0)),
            ("slow_after", slow_after == Some(Duration::ZERO)),
            ("open_for", open_for.is_zero()),
            ("probes", self.probes == 0),
            ("probes_to_close", self.probes_to_close == 0),
            ("max_abandoned_probes", self.max_abandoned_probes == 0),
            ("probe_timeout", self.probe_timeout.is_zero()),
        ] {
            if zero {
                return Err(InvalidSettings::Zero(name));
            }
        }
        if !(open_factor.is_finite() && open_factor >= 1.0) {
            return Err(InvalidSettings::OpenFactor(open_factor));
        }
        if max_open_for < open_for {
            return Err(InvalidSettings::MaxOpenFor { open_for, max_open_for });
        }
        if !(0.0..1.0).contains(&jitter) {
            return Err(InvalidSettings::Jitter(jitter));
        }
        let slow_rate = self.slow_calls.iter().map(|slow_calls| &slow_calls.rate);
        self.failure_rates.iter().chain(slow_rate).try_for_each(Rate::check)
    }
}

impl Rate {
    fn check(&self) -> Result<(), InvalidSettings> {
        let Self { window, min_calls, threshold } = *self;
        if min_calls == 0 {
            return Err(InvalidSettings::Zero("min_calls"));
        }
        if !(threshold > 0.0 && threshold <= 1.0) {
            return Err(InvalidSettings::Threshold(threshold));
        }
        match window {
            Window::Calls(window) if window < min_calls => {
                Err(InvalidSettings::MinCalls { min_calls, window })
            }
            Window::Time(Duration::ZERO) => Err(InvalidSettings::Zero("window")),
            Window::Calls(_) | Window::Time(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(settings: Settings, text: &str) {
        assert_eq!(settings.check().unwrap_err().to_string(), text);
    }

    #[test]
    fn the_defaults_are_valid() {
        Settings::default().check().unwrap();
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let default = Settings::default;
        let second = Duration::from_secs(1);
        refused(Settings { probes: 0, ..default() }, "`probes` must be more than zero");
        refused(
            Settings { consecutive_failures: Some(0), ..default() },
            "`consecutive_failures` must be more than zero",
        );
        refused(
            Settings { open_factor: f64::NAN, ..default() },
            "an `open_factor` of NaN is not a number of at least 1",
        );
        refused(
            Settings { max_open_for: second, ..default() },
            "`max_open_for` is 1s, less than `open_for`, which is 30s",
        );
        refused(Settings { jitter: 1.0, ..default() }, "a `jitter` of 1 is not at least 0 and below 1");
    }

    #[test]
    fn a_rate_that_says_nothing_is_refused() {
        let with = |window, min_calls, threshold| Settings {
            failure_rates: vec![Rate { window, min_calls, threshold }],
            ..Settings::default()
        };
        refused(with(Window::Calls(9), 0, 0.5), "`min_calls` must be more than zero");
        refused(with(Window::Time(Duration::ZERO), 1, 0.5), "`window` must be more than zero");
        refused(with(Window::Calls(9), 9, 0.0), "a `threshold` of 0 is not above 0 and at most 1");
        refused(with(Window::Calls(9), 9, f64::NAN), "a `threshold` of NaN is not above 0 and at most 1");
        refused(
            with(Window::Calls(9), 10, 0.5),
            "`min_calls` is 10, and the window never holds more than 9 calls",
        );
        with(Window::Calls(9), 9, 1.0).check().unwrap();
    }
}
