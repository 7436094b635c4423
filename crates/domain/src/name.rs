//! Names that come from outside: queues, commands, workers, accounts, rules.
//!
//! Each is text that was checked once, where it came in. All of them take 1 to a fixed number of visible characters:
//! no white space and no control characters, so that a name can stand in a log line, a header or a table as it is.

use std::fmt;

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} takes 1 to {max} visible characters without spaces, {found}")]
pub struct InvalidName {
    what: &'static str,
    max: usize,
    found: String,
}

pub(crate) fn check(what: &'static str, max: usize, text: &str) -> Result<(), InvalidName> {
    let length = text.chars().count();
    let found = if length == 0 {
        "got none".to_owned()
    } else if length > max {
        format!("got {length}")
    } else if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        format!("got {bad:?} among them")
    } else {
        return Ok(());
    };
    Err(InvalidName { what, max, found })
}

/// Declares a newtype over text with `FromStr`, `Display`, serde, and `as_str`. A copy shares the text: names go with
/// whatever is said of a job, to many who want to know.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as text that is shared with it.
            #[must_use]
            pub fn shared(&self) -> std::sync::Arc<str> {
                std::sync::Arc::clone(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::name::InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::name::check($what, $max, text)?;
                Ok(Self(text.into()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use name;

name!(
    /// Which workers may take a job; `default` unless said otherwise.
    QueueName, "a queue", 128
);
name!(
    /// What a job does, in the worker's vocabulary, e.g. `GROUP_PROJECT_DISCOVERY`.
    Command, "a command", 128
);
name!(
    /// Who holds a lease.
    WorkerId, "a worker id", 128
);
name!(
    /// At most one live job exists per key.
    UniqueKey, "a unique key", 512
);
name!(
    /// Names an account of [`crate::account`].
    AccountId, "an account id", 128
);
name!(
    /// Names an OAuth provider of the configuration.
    ProviderId, "a provider id", 128
);
name!(
    /// Names a rule of the recovery policy.
    RuleName, "a rule name", 128
);
name!(
    /// What an area is, e.g. `group` or `project`.
    AreaKind, "an area type", 64
);

impl Default for QueueName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl Command {
    /// The command of discovery jobs unless configured otherwise.
    #[must_use]
    pub fn discovery() -> Self {
        Self("GROUP_PROJECT_DISCOVERY".into())
    }
}

/// How the names of anonymous callers begin.
const ANONYMOUS: &str = "http:";

impl WorkerId {
    /// The name of an anonymous caller over HTTP, told apart by its request id.
    #[must_use]
    pub fn anonymous(request_id: &str) -> Self {
        let visible: String =
            request_id.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(100).collect();
        Self(format!("{ANONYMOUS}{visible}").into())
    }

    /// Whether it is a name that a caller was given because it had none.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.starts_with(ANONYMOUS)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{item}`")?;
        }
        Ok(())
    }
}

/// A list of words for an error message: `` `a`, `b`, `c` ``.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a [&'a str]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_round_trips() {
        let queue: QueueName = "big-memory".parse().unwrap();
        assert_eq!(queue.to_string(), "big-memory");
        assert_eq!(serde_json::to_string(&queue).unwrap(), "\"big-memory\"");
    }

    #[test]
    fn a_bad_name_says_what_is_wrong() {
        let message = |text: &str| text.parse::<WorkerId>().unwrap_err().to_string();
        assert_eq!(message(""), "a worker id takes 1 to 128 visible characters without spaces, got none");
        assert!(message(&"x".repeat(129)).ends_with("got 129"));
        assert!(message("a b").ends_with("got ' ' among them"));
        assert!(message("a\u{7}").contains("\\u{7}"));
    }

    #[test]
    fn an_anonymous_worker_is_always_a_valid_name() {
        let name = WorkerId::anonymous(&"é \n".repeat(200));
        assert!(name.as_str().parse::<WorkerId>().is_ok());
    }
}
