//! Areas: what discovery found, and which jobs each kind of area asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{AreaKind, Command};

/// The longest path kept, in characters.
pub const MAX_PATH: usize = 2_048;

/// A group, a project or another place that a worker found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Area {
    /// Where it is; its primary key.
    pub full_path: String,
    /// Its id in the system it was found in.
    pub external_id: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// What it is.
    pub kind: AreaKind,
}

/// Which commands each kind of area asks for: an area of kind `project` spawns one job per command listed under it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpawnRules(BTreeMap<AreaKind, Vec<Command>>);

impl SpawnRules {
    /// Rules from a table of kinds and commands.
    #[must_use]
    pub fn new(table: BTreeMap<AreaKind, Vec<Command>>) -> Self {
        Self(table)
    }

    /// The commands an area of this kind asks for; none when the kind is not listed.
    #[must_use]
    pub fn commands(&self, kind: &AreaKind) -> &[Command] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }
}
