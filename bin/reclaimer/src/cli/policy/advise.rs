//! `reclaimer policy advise`.

use std::time::Duration;

use anyhow::Result;
use reclaimer_domain::time::spoken;
use reclaimer_policy::replay::{Advice, Advisor};

use super::past::Span;
use crate::cli::Common;

/// Looks at the history in the database file; changes nothing.
pub(super) fn run(common: &Common, span: &Span) -> Result<()> {
    let output = common.output();
    let mut advisor = Advisor::new(common.load()?.settings.recovery.engine().stuck);
    span.read(common, |event| advisor.event(event))?;
    let advice = advisor.finish();
    if output.is_json() {
        return output.json(&advice);
    }
    if advice.is_empty() {
        return output.text("no attempt whose worker reported its end is on record in that time");
    }
    let head = [
        "queue",
        "command",
        "attempts",
        "ran, p50 / p99 / max",
        "silent, p50 / p99 / max",
        "taken",
        "of them alive",
        "stuck_after",
        "live jobs it takes",
        "advised",
    ];
    output.table(&head, advice.iter().map(row))?;
    for one in &advice {
        output.text(&format!("{} {}: {}", one.queue, one.command, one.summary))?;
    }
    Ok(())
}

fn row(advice: &Advice) -> Vec<String> {
    let said = |seconds: u64| spoken(Duration::from_secs(seconds));
    let limit = |seconds: Option<u64>| seconds.map_or("never".to_owned(), said);
    let takes = advice.would_take.iter().find(|it| Some(it.stuck_after) == advice.stuck_after);
    let spread = |it: &reclaimer_policy::replay::Spread| [it.p50, it.p99, it.max].map(said).join(" / ");
    vec![
        advice.queue.clone(),
        advice.command.clone(),
        advice.attempts.to_string(),
        spread(&advice.ran),
        spread(&advice.silent),
        advice.taken.to_string(),
        advice.taken_alive.to_string(),
        limit(advice.stuck_after),
        takes.map_or(0, |it| it.live_jobs).to_string(),
        advice.advised.map_or("–".to_owned(), said),
    ]
}
