//! How the engine carries out each statement that the contract makes the store run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, Once};

use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use reclaimer_baseline::Plans;

/// Statements that ran and were not looked at yet.
static RAN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

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

/// Looks at every statement that was noted: none of them may look through a table that grows for ever.
pub(crate) fn check(database: &Path) {
    let ran = std::mem::take(&mut *RAN.lock().unwrap());
    let mut plans = Plans::of(database).unwrap();
    let mut faults = Vec::new();
    for sql in ran {
        let first = sql.split_whitespace().next().unwrap_or_default();
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) {
            continue;
        }
        // What was run on tables that are no more, by a migration or on another file, has no plan here.
        let scan = plans.scan(&sql).unwrap_or_default();
        faults.extend(scan.map(|step| format!("{step}\n{sql}")));
    }
    assert!(faults.is_empty(), "statements look through a whole table:\n{}", faults.join("\n\n"));
}
