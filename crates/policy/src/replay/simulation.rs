//! Replaying recorded failures and losses against a policy.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::RuleName;
use reclaimer_domain::ports::Recorded;

use super::fate::Fate;
use super::forecast::{Case, Difference, Forecast, RuleForecast, Verdict};
use super::moment::Moment;
use crate::policy::Policy;

/// At most so many differences are kept; all are counted.
pub const MOST_DIFFERENCES: usize = 1_000;

/// A policy, and what it would have done with the events so far.
///
/// Each failure and each loss is a case. At every moment at which recovery really decided about it, the policy decides
/// too, from what that decision saw; the first time that one of them queues the job again or sets it aside, the case
/// has come out for it, and otherwise it comes out as last decided. Time that a policy would have waited by itself is
/// not made up: it is asked only when there was a decision.
#[derive(Debug)]
pub struct Simulation<'p> {
    policy: &'p Policy,
    jobs: HashMap<JobId, Track>,
    rules: HashMap<Option<RuleName>, RuleForecast>,
    forecast: Forecast,
}

/// What is known of one job on the way.
#[derive(Debug, Default)]
struct Track {
    error: Option<String>,
    /// A failure or loss that has not come out yet, or whose end is not known yet.
    case: Option<Open>,
}

#[derive(Debug, Default)]
struct Open {
    at: Option<DateTime<Utc>>,
    really: Option<Case>,
    instead: Option<Case>,
    /// The rule of the policy that decided, which the case is counted for.
    rule: Option<RuleName>,
}

impl<'p> Simulation<'p> {
    /// A simulation that has seen nothing yet.
    #[must_use]
    pub fn new(policy: &'p Policy) -> Self {
        let forecast = Forecast {
            policy_hash: policy.hash(),
            from: None,
            to: None,
            events: 0,
            cases: 0,
            undecided: 0,
            differing: 0,
            rules: Vec::new(),
            differences: Vec::new(),
        };
        Self { policy, jobs: HashMap::new(), rules: HashMap::new(), forecast }
    }

    /// Takes the next event. Events come in the order in which they happened.
    pub fn event<R: rand::Rng + ?Sized>(&mut self, recorded: &Recorded, rng: &mut R) {
        let entry = &recorded.event.entry;
        self.forecast.events += 1;
        self.forecast.from = self.forecast.from.or(Some(entry.at));
        self.forecast.to = Some(entry.at);
        let id = &recorded.event.job_id;
        match what(entry) {
            What::Failed => {
                self.close(id, Fate::FailedAgain);
                let track = self.jobs.entry(id.clone()).or_default();
                track.error.clone_from(&entry.reason);
                track.case = Some(Open::default());
            }
            What::Decided => self.decided(recorded, rng),
            What::Over(fate) => {
                self.close(id, fate);
                // Nothing that is remembered of it is asked for again.
                self.jobs.remove(id);
            }
            What::TakenUp => self.close(id, Fate::TakenUp),
            What::Claimed => self.claimed(id),
            What::Nothing => {}
        }
    }

    fn decided<R: rand::Rng + ?Sized>(&mut self, recorded: &Recorded, rng: &mut R) {
        let entry = &recorded.event.entry;
        let id = &recorded.event.job_id;
        let lost = entry.from == Some(Status::Running);
        if lost && self.jobs.get(id).and_then(|track| track.case.as_ref()).is_some_and(Open::came_out) {
            // The job was taken up after a case that had come out, and is lost now.
            self.close(id, Fate::FailedAgain);
        }
        let track = self.jobs.entry(id.clone()).or_default();
        let Some(moment) = Moment::read(recorded, track.error.as_deref()) else { return };
        let case = track.case.get_or_insert_default();
        if !case.came_out() {
            let rule = entry.rule.as_ref().map(ToString::to_string);
            let reason = entry.reason.clone().unwrap_or_default();
            case.really = Some(Case { action: moment.decided, rule, reason });
            case.at = Some(moment.at);
        }
        if !case.instead.as_ref().is_some_and(is_final) {
            let decision = self.policy.decide(&moment.subject(), moment.at, rng);
            case.instead = Some(Case {
                action: Verdict::from(&decision.action),
                rule: decision.rule.as_ref().map(ToString::to_string),
                reason: decision.reason,
            });
            case.rule = decision.rule;
        }
    }

    /// A worker took the job: if it was queued again by a decision, how that ends is still open.
    fn claimed(&mut self, id: &JobId) {
        let requeued =
            |case: &Open| case.really.as_ref().is_some_and(|really| really.action == Verdict::Requeue);
        if self.jobs.get(id).and_then(|track| track.case.as_ref()).is_some_and(|case| !requeued(case)) {
            self.close(id, Fate::TakenUp);
        }
    }

    /// Counts the job's case, if it has one.
    fn close(&mut self, id: &JobId, fate: Fate) {
        let Entry::Occupied(mut track) = self.jobs.entry(id.clone()) else { return };
        if let Some(case) = track.get_mut().case.take() {
            count(&mut self.forecast, &mut self.rules, id, case, fate);
        }
    }

    /// What the policy would have done.
    #[must_use]
    pub fn finish(self) -> Forecast {
        let Self { jobs, mut rules, mut forecast, .. } = self;
        let mut open: Vec<(JobId, Open)> =
            jobs.into_iter().filter_map(|(id, track)| Some((id, track.case?))).collect();
        open.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (id, case) in open {
            count(&mut forecast, &mut rules, &id, case, Fate::Open);
        }
        forecast.rules = rules.into_values().collect();
        forecast.rules.sort_by(|one, other| (other.cases(), &one.rule).cmp(&(one.cases(), &other.rule)));
        forecast
    }
}

impl Open {
    fn came_out(&self) -> bool {
        self.really.as_ref().is_some_and(is_final)
    }
}

fn is_final(case: &Case) -> bool {
    case.action.is_final()
}

fn count(
    forecast: &mut Forecast,
    rules: &mut HashMap<Option<RuleName>, RuleForecast>,
    id: &JobId,
    case: Open,
    fate: Fate,
) {
    let Open { at: Some(at), really: Some(really), instead: Some(instead), rule } = case else {
        forecast.undecided += 1;
        return;
    };
    forecast.cases += 1;
    let name = rule.as_ref().map(ToString::to_string);
    let counts = rules.entry(rule).or_insert_with(|| RuleForecast { rule: name, ..RuleForecast::default() });
    match instead.action {
        Verdict::Requeue => counts.requeued += 1,
        Verdict::Quarantine => counts.quarantined += 1,
        Verdict::Skip => counts.skipped += 1,
        Verdict::Leave => counts.left += 1,
    }
    if really.action == Verdict::Requeue {
        counts.really_requeued += 1;
        if instead.action == Verdict::Requeue {
            counts.then_finished += u64::from(fate == Fate::Finished);
            counts.then_failed += u64::from(fate == Fate::FailedAgain);
        }
    }
    if really.action != instead.action {
        forecast.differing += 1;
        if forecast.differences.len() < MOST_DIFFERENCES {
            forecast.differences.push(Difference { job_id: id.clone(), at, really, instead, then: fate });
        }
    }
}

/// What an event is to a simulation.
enum What {
    /// A job failed; recovery may decide about it.
    Failed,
    /// Recovery decided about it.
    Decided,
    /// It is over.
    Over(Fate),
    /// Something else happened to it that ends the case.
    TakenUp,
    /// A worker took it.
    Claimed,
    /// Nothing that matters.
    Nothing,
}

fn what(entry: &HistoryEntry) -> What {
    let by_recovery = matches!(entry.actor, Actor::Recovery(_));
    match entry.kind {
        EventKind::Failed => What::Failed,
        EventKind::Recovered | EventKind::Reclaimed | EventKind::NotRecovered => What::Decided,
        EventKind::Quarantined if by_recovery => What::Decided,
        EventKind::Finished => What::Over(Fate::Finished),
        EventKind::Cancelled => What::Over(Fate::TakenUp),
        EventKind::LateAccepted if entry.to == Some(Status::Finished) => What::Over(Fate::Finished),
        EventKind::Claimed => What::Claimed,
        // The last attempt failed: no policy was asked.
        EventKind::Quarantined
        | EventKind::Retried
        | EventKind::Unquarantined
        | EventKind::Paused
        | EventKind::LateAccepted
        | EventKind::Undone
        | EventKind::SetAside => What::TakenUp,
        EventKind::Created
        | EventKind::Resumed
        | EventKind::Released
        | EventKind::StaleReport
        | EventKind::Evidence => What::Nothing,
    }
}
