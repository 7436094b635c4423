//! Which jobs the flat dialect has words for.

use std::collections::BTreeMap;

use reclaimer_domain::name::Command;

/// The entity types that crawlers of the flat dialect know.
const KNOWN: [&str; 10] = [
    "areas",
    "project",
    "group",
    "user",
    "issue",
    "merge_request",
    "commit",
    "branch",
    "pipeline",
    "release",
];

/// Commands and the entity types they are called.
const DEFAULT: [(&str, &str); 9] = [
    ("GROUP_PROJECT_DISCOVERY", "areas"),
    ("group", "group"),
    ("project", "project"),
    ("issues", "issue"),
    ("mergeRequests", "merge_request"),
    ("commits", "commit"),
    ("branches", "branch"),
    ("pipelines", "pipeline"),
    ("users", "user"),
];

/// What each command is called in the flat dialect; a command without an entry is never offered there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTypes(BTreeMap<Command, String>);

/// A word that no crawler of the flat dialect knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no entity type of the flat dialect; it knows {known}", known = KNOWN.join(", "))]
pub struct UnknownEntity(pub String);

impl EntityTypes {
    /// A table of one's own.
    ///
    /// # Errors
    /// When a word in it is none of the dialect's.
    pub fn new(table: BTreeMap<Command, String>) -> Result<Self, UnknownEntity> {
        match table.values().find(|word| !KNOWN.contains(&word.as_str())) {
            Some(unknown) => Err(UnknownEntity(unknown.clone())),
            None => Ok(Self(table)),
        }
    }

    /// What a command is called.
    #[must_use]
    pub fn of(&self, command: &Command) -> Option<&str> {
        self.0.get(command).map(String::as_str)
    }

    /// The commands that have a word.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.0.keys()
    }
}

impl Default for EntityTypes {
    fn default() -> Self {
        let entry = |(command, word): (&str, &str)| Some((command.parse().ok()?, word.to_owned()));
        Self(DEFAULT.into_iter().filter_map(entry).collect())
    }
}
