//! What tells series apart, within bounds.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;

/// Of a label that comes from outside so many values are told apart.
const MOST: usize = 100;

/// What all further ones are called.
const OTHER: &str = "other";

/// The values of a label that are told apart: the first ones that came. They stay as long as the server lives, so that a
/// series never changes its meaning.
#[derive(Debug, Default)]
pub(crate) struct Bounded(Mutex<HashSet<String>>);

impl Bounded {
    /// The value itself, or what it counts as.
    pub(crate) fn fold<'a>(&self, value: &'a str) -> &'a str {
        // Every change is one name.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(value) {
            return value;
        }
        if known.len() >= MOST {
            return OTHER;
        }
        known.insert(value.to_owned());
        value
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Place {
    pub(crate) queue: String,
    pub(crate) status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Queue {
    pub(crate) queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Run {
    pub(crate) trigger: &'static str,
    pub(crate) r#type: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Decided {
    pub(crate) action: &'static str,
    pub(crate) rule: String,
    pub(crate) cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Link {
    pub(crate) link: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Worker {
    pub(crate) worker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answer {
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Indicator {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Version {
    pub(crate) version: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_values_are_others_and_known_ones_stay_themselves() {
        let labels = Bounded::default();
        let names: Vec<String> = (0..MOST + 50).map(|number| format!("q{number}")).collect();
        let folded: HashSet<&str> = names.iter().map(|name| labels.fold(name)).collect();
        assert_eq!(folded.len(), MOST + 1);
        assert_eq!((labels.fold("q0"), labels.fold("q149")), ("q0", OTHER));
    }
}
