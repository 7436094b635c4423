//! Settings.

use std::collections::BTreeMap;
use std::time::Duration;

use reclaimer_domain::area::SpawnRules;
use reclaimer_domain::name::{AreaKind, Command};

/// How jobs are handed out.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a lease holds unless renewed.
    pub lease: Duration,
    /// Discovery starts nothing new when the last one finished within this time.
    pub fresh_for: Duration,
    /// The command of discovery jobs.
    pub discovery_command: Command,
    /// Which commands each kind of area asks for.
    pub spawn: SpawnRules,
    /// An access token that ends within this time is refreshed before it is handed out.
    pub refresh_before: Duration,
    /// Handing out a job waits no longer than this for fresh credentials.
    pub hand_out_refresh_timeout: Duration,
    /// Whether traces are recorded, so that workers are to go on with them.
    pub traces: bool,
}

/// What a group and a project ask for unless configured otherwise: the commands of the original system.
const GROUP: [&str; 4] = ["group", "groupMembers", "groupProjects", "groupIssues"];
const PROJECT: [&str; 5] = ["project", "issues", "mergeRequests", "branches", "pipelines"];

impl Default for Config {
    fn default() -> Self {
        let kind = |name: &str, commands: &[&str]| {
            let commands = commands.iter().filter_map(|command| command.parse().ok()).collect();
            name.parse::<AreaKind>().ok().map(|kind| (kind, commands))
        };
        let table: BTreeMap<_, Vec<Command>> =
            [kind("group", &GROUP), kind("project", &PROJECT)].into_iter().flatten().collect();
        Self {
            lease: Duration::from_secs(60),
            fresh_for: Duration::from_secs(48 * 3_600),
            discovery_command: Command::discovery(),
            spawn: SpawnRules::new(table),
            refresh_before: Duration::from_secs(60),
            hand_out_refresh_timeout: Duration::from_secs(5),
            traces: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_original_system() {
        let config = Config::default();
        let commands = |kind: &str| config.spawn.commands(&kind.parse().unwrap()).len();
        assert_eq!((commands("group"), commands("project"), commands("user")), (4, 5, 0));
        assert_eq!(config.discovery_command.as_str(), "GROUP_PROJECT_DISCOVERY");
    }
}
