//! `reclaimer policy simulate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::time::rfc3339;
use reclaimer_policy::replay::{Case, Difference, Fate, Forecast, Simulation};

use super::past::Span;
use crate::cli::Common;
use crate::cli::output::Output;
use crate::policy::read;

/// At most so many differences are shown; `--json` has more.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The policy file to try [default: that of the setting `recovery.policy`]
    file: Option<PathBuf>,
    #[command(flatten)]
    span: Span,
}

/// Tries a policy on the history in the database file; changes nothing.
pub(super) fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let (settings, output) = (common.load()?.settings.recovery, common.output());
    let file = args.file.clone().or_else(|| settings.policy.clone());
    let file = file.context("no policy file: name one, or set `recovery.policy`")?;
    let policy = read(&file, settings.policy_defaults())?.policy;
    let mut simulation = Simulation::new(&policy);
    // Chance only delays jobs, which a simulation does not look at.
    let mut rng = StdRng::seed_from_u64(0);
    args.span.read(common, |event| simulation.event(event, &mut rng))?;
    let forecast = simulation.finish();
    if output.is_json() {
        output.json(&forecast)?;
    } else {
        show(&forecast, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(forecast: &Forecast, output: Output) -> Result<()> {
    let Some((from, to)) = forecast.from.zip(forecast.to) else {
        return output.text("nothing is on record in that time");
    };
    let head = [
        "rule",
        "queue again",
        "set aside",
        "wait",
        "leave",
        "really queued again",
        "then finished",
        "failed again",
    ];
    let rows = forecast.rules.iter().map(|rule| {
        let numbers = [
            rule.requeued,
            rule.quarantined,
            rule.skipped,
            rule.left,
            rule.really_requeued,
            rule.then_finished,
            rule.then_failed,
        ];
        let name = rule.rule.clone().unwrap_or_else(|| "(none)".to_owned());
        std::iter::once(name).chain(numbers.map(|number| number.to_string())).collect()
    });
    output.table(&head, rows)?;
    if !forecast.differences.is_empty() {
        let rows = forecast.differences.iter().take(SHOWN).map(different);
        output.table(&["job", "at", "really", "instead", "why", "then it"], rows)?;
    }
    let shown = forecast.differences.len().min(SHOWN) as u64;
    if forecast.differing > shown {
        output.text(&format!(
            "{} more would have come out differently; --json shows them",
            forecast.differing - shown
        ))?;
    }
    output.text(&format!(
        "policy {} on {} events from {} to {}: {} failures and losses decided about, {} would have come out differently, \
         {} were never decided about",
        forecast.policy_hash,
        forecast.events,
        rfc3339(from),
        rfc3339(to),
        forecast.cases,
        forecast.differing,
        forecast.undecided,
    ))
}

fn different(difference: &Difference) -> Vec<String> {
    let decided = |case: &Case| match &case.rule {
        Some(rule) => format!("{} by {rule}", case.action.as_str()),
        None => case.action.as_str().to_owned(),
    };
    let then = match difference.then {
        Fate::Finished => "finished",
        Fate::FailedAgain => "failed again",
        Fate::TakenUp => "was taken up by somebody",
        Fate::Open => "is open",
    };
    vec![
        difference.job_id.to_string(),
        rfc3339(difference.at),
        decided(&difference.really),
        decided(&difference.instead),
        difference.instead.reason.clone(),
        then.to_owned(),
    ]
}
