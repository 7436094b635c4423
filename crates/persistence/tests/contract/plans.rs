//! How the engine carries out each statement that the contract makes the store run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, Once};

use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};

/// Statements that ran and were not looked at yet.
static RAN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Indexes that hold few rows however many there are in the table: what runs, what is rare, what others wrote.
const SMALL: [&str; 3] = ["job_running", "job_rare", "job_uncounted"];

/// Tables that grow for ever.
const LARGE: [&str; 2] = ["job", "job_event"];

/// From now on every statement of this process is noted.
pub(crate) fn note_statements() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_default_instrumentation(|| {
            Some(Box::new(|event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    let text = query.to_string();
                    let sql = text.split(" -- binds: ").next().unwrap_or_default().trim().to_owned();
                    RAN.lock().unwrap().insert(sql);
                }
            }))
        })
        .unwrap();
    });
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// Looks at every statement that was noted: none of them may look through a table that grows for ever.
pub(crate) fn check(database: &Path) {
    let ran = std::mem::take(&mut *RAN.lock().unwrap());
    let mut conn = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    let mut faults = Vec::new();
    for sql in ran {
        let first = sql.split_whitespace().next().unwrap_or_default();
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) {
            continue;
        }
        let plan: Vec<Step> =
            diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(&mut conn).unwrap_or_default();
        let looks = plan.iter().find(|step| looks_through(&step.detail));
        faults.extend(looks.map(|step| format!("{}\n{sql}", step.detail)));
    }
    assert!(faults.is_empty(), "statements look through a whole table:\n{}", faults.join("\n\n"));
}

fn looks_through(step: &str) -> bool {
    let mut words = step.split_whitespace();
    if words.next() != Some("SCAN") || !words.next().is_some_and(|table| LARGE.contains(&table)) {
        return false;
    }
    !words.any(|word| SMALL.contains(&word))
}

#[test]
fn a_plan_that_looks_through_a_table_is_told_from_others() {
    assert!(looks_through("SCAN job"));
    assert!(looks_through("SCAN job_event"));
    assert!(looks_through("SCAN job USING COVERING INDEX job_account"));
    assert!(!looks_through("SCAN job USING INDEX job_rare"));
    assert!(!looks_through("SEARCH job USING INDEX sqlite_autoindex_job_1 (id=?)"));
    assert!(!looks_through("SCAN queue"));
}
