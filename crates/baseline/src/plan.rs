//! How the engine would carry out a statement on Reclaimer's tables.

use std::path::Path;

use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};

use crate::BareError;

/// Tables that grow for as long as a server runs.
const LARGE: [&str; 3] = ["job", "job_event", "past_job"];

/// Indexes that hold few rows however many there are in the table: what runs, what is rare, what others wrote.
const SMALL: [&str; 3] = ["job_running", "job_rare", "job_uncounted"];

/// Query plans in one database.
#[expect(missing_debug_implementations, reason = "a connection has none")]
pub struct Plans(SqliteConnection);

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

impl Plans {
    /// Of this database.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn of(path: &Path) -> Result<Self, BareError> {
        Ok(Self(SqliteConnection::establish(&path.to_string_lossy())?))
    }

    /// The first step of a statement that looks through a whole table that grows, if one does.
    ///
    /// # Errors
    /// When it is no statement of this database.
    pub fn scan(&mut self, statement: &str) -> Result<Option<String>, BareError> {
        let plan: Vec<Step> =
            diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(&mut self.0)?;
        let mut steps = plan.into_iter().map(|step| step.detail);
        Ok(steps.find(|step| looks_through(step, statement)))
    }
}

/// Whether a step looks through a large table, by its name or by what the statement calls it.
fn looks_through(step: &str, statement: &str) -> bool {
    let mut words = step.split_whitespace();
    let (Some("SCAN"), Some(name)) = (words.next(), words.next()) else { return false };
    let called = |table: &str| {
        let alias = format!("{table} AS {name}");
        statement.match_indices(&alias).any(|(at, _)| {
            !statement[at + alias.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    };
    let large = LARGE.iter().any(|table| *table == name || called(table));
    large && !words.any(|word| SMALL.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_looks_through_a_table_is_told_from_others() {
        for step in ["SCAN job", "SCAN job_event", "SCAN job USING COVERING INDEX job_account"] {
            assert!(looks_through(step, ""), "{step}");
        }
        for step in [
            "SCAN job USING INDEX job_rare",
            "SEARCH job USING INDEX sqlite_autoindex_job_1 (id=?)",
            "SCAN queue",
            "SCAN CONSTANT ROW",
        ] {
            assert!(!looks_through(step, "SELECT 1 FROM job"), "{step}");
        }
        assert!(looks_through("SCAN e", "SELECT 1 FROM job_event AS e, queue AS q"));
        assert!(!looks_through("SCAN q", "SELECT 1 FROM job_event AS e, queue AS q"));
        assert!(!looks_through("SCAN j", "SELECT 1 FROM job AS job_b, queue AS j"));
    }

    #[test]
    fn a_scan_is_found_in_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let mut plans = Plans::of(&folder.path().join("a.db")).unwrap();
        diesel::sql_query("CREATE TABLE job (id TEXT PRIMARY KEY, a TEXT)").execute(&mut plans.0).unwrap();
        assert_eq!(plans.scan("SELECT a FROM job WHERE id = ?").unwrap(), None);
        assert_eq!(plans.scan("SELECT id FROM job WHERE a = ?").unwrap().as_deref(), Some("SCAN job"));
        assert_eq!(
            plans.scan("SELECT 1 FROM job AS other WHERE a = 1").unwrap().as_deref(),
            Some("SCAN other")
        );
        plans.scan("SELECT none FROM job").unwrap_err();
    }
}
