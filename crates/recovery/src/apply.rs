//! Decisions → guarded updates.
//!
//! The decisions of a page go to the store in one call. One that makes the store itself stumble does not take the
//! others with it: then each goes alone.

use chrono::{DateTime, Utc};
use reclaimer_domain::id::RunId;
use reclaimer_domain::ports::{BrokenRow, Outcome, Planned, RecoveryStore, StoreError};

/// What became of a job or a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What was decided was done, or would be.
    Done,
    /// Somebody else changed it first; it was left as it is. How it was found.
    Lost(String),
    /// It could not be done, and why.
    Failed(String),
}

/// Applies the steps of a plan; one answer per step, in order.
///
/// # Errors
/// When the store is away; what was applied before stays.
pub(crate) async fn apply(
    store: &dyn RecoveryStore,
    run: &RunId,
    steps: &[Planned],
    now: DateTime<Utc>,
) -> Result<Vec<Fate>, StoreError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    match store.apply(run.clone(), steps.to_vec(), now).await {
        Ok(outcomes) => return Ok(fates(steps.len(), outcomes)),
        Err(error) if error.is_transient() => return Err(error),
        Err(error) if steps.len() == 1 => return Ok(vec![Fate::Failed(error.to_string())]),
        Err(_) => {}
    }
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        all.extend(match store.apply(run.clone(), vec![step.clone()], now).await {
            Ok(outcomes) => fates(1, outcomes),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => vec![Fate::Failed(error.to_string())],
        });
    }
    Ok(all)
}

/// Sets unreadable rows aside, one by one: they are few, and each answer is about one. In order.
///
/// # Errors
/// When the store is away; what was set aside before stays.
pub(crate) async fn set_aside(
    store: &dyn RecoveryStore,
    run: &RunId,
    rows: &[BrokenRow],
    now: DateTime<Utc>,
) -> Result<Vec<Fate>, StoreError> {
    let mut fates = Vec::with_capacity(rows.len());
    for row in rows {
        fates.push(match store.set_aside(vec![row.clone()], run.clone(), now).await {
            Ok(0) => Fate::Lost("it changed while it was looked at".to_owned()),
            Ok(_) => Fate::Done,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => Fate::Failed(error.to_string()),
        });
    }
    Ok(fates)
}

/// One fate per step, also from a store that answers too little.
fn fates(steps: usize, outcomes: Vec<Outcome>) -> Vec<Fate> {
    let mut fates: Vec<Fate> = outcomes.into_iter().take(steps).map(fate).collect();
    fates.resize_with(steps, || Fate::Failed("the store did not say what became of it".to_owned()));
    fates
}

fn fate(outcome: Outcome) -> Fate {
    match outcome {
        Outcome::Applied => Fate::Done,
        Outcome::LostRace { found: Some(status) } => {
            Fate::Lost(format!("it changed while it was looked at and is {status} now; it was left as it is"))
        }
        Outcome::LostRace { found: None } => Fate::Lost("it is gone".to_owned()),
        Outcome::Refused(refused) => Fate::Failed(refused.to_string()),
    }
}
