//! Conditions: one question each about a job, which can say whether it holds and what was found.

use std::cell::OnceCell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{Job, Priority, Status};
use reclaimer_domain::name::QueueName;
use reclaimer_domain::time::between;
use regex::{SetMatches, bytes};

use crate::limits::SEEN_OF_ERROR;
use crate::patterns::{Gathered, Patterns, Places};
use crate::policy::Subject;
use crate::rule::Match;
use crate::trace::Tested;
use crate::words::{self, one_of, short};

/// What is known of a job, gathered once per decision; what is costly, only when a rule asks.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    job: &'a Job,
    sign: Option<StuckSign>,
    now: DateTime<Utc>,
    /// As much of the error as patterns see.
    error: Option<&'a str>,
    error_type: Option<&'a str>,
    retryable: Retryable,
    patterns: &'a Patterns,
    in_error: OnceCell<SetMatches>,
    in_command: OnceCell<bytes::SetMatches>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(subject: &Subject<'a>, now: DateTime<Utc>, patterns: &'a Patterns) -> Self {
        let job = subject.job;
        Self {
            job,
            sign: subject.sign,
            now,
            error: job.error().map(|error| &error[..error.floor_char_boundary(SEEN_OF_ERROR)]),
            error_type: job.error_type(),
            retryable: Retryable::of(job),
            patterns,
            in_error: OnceCell::new(),
            in_command: OnceCell::new(),
        }
    }

    fn error_has(&self, places: &Places) -> bool {
        let Some(error) = self.error else { return false };
        let found = self.in_error.get_or_init(|| self.patterns.in_error(error));
        places.clone().any(|place| found.matched(place))
    }

    fn command_fits(&self, places: &Places) -> bool {
        let found = self.in_command.get_or_init(|| self.patterns.in_command(self.job.command.as_str()));
        places.clone().any(|place| found.matched(place))
    }

    /// For how long it has been as it is: since it failed, or since it was last heard of.
    fn age(&self) -> Duration {
        let failed = self.job.finished_at.filter(|_| self.job.status == Status::Failed);
        between(failed.unwrap_or(self.job.updated_at), self.now)
    }
}

/// One question about a job.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Status(Status),
    Retryable(Retryable),
    Stuck(Vec<StuckSign>),
    AttemptAtLeast(u32),
    OlderThan(Duration),
    PriorityBelow(Priority),
    Queue(Vec<QueueName>),
    ErrorType(Vec<String>),
    Command(Vec<String>, Places),
    ErrorContains(Vec<String>, Places),
    ErrorRegex(String, Places),
}

impl Condition {
    /// The conditions of a rule, the cheap ones first. A pattern that is none is refused with its key and the reason.
    pub(crate) fn of(when: &Match, patterns: &mut Gathered) -> Result<Vec<Self>, (&'static str, String)> {
        let mut all = Vec::new();
        all.extend(when.status.map(Self::Status));
        all.extend(when.retryable.map(Self::Retryable));
        all.extend(listed(&when.stuck).map(Self::Stuck));
        all.extend(when.attempt_at_least.map(Self::AttemptAtLeast));
        all.extend(when.older_than.map(Self::OlderThan));
        all.extend(when.priority_below.map(Self::PriorityBelow));
        all.extend(listed(&when.queue).map(Self::Queue));
        all.extend(listed(&when.error_type).map(Self::ErrorType));
        if let Some(globs) = listed(&when.command) {
            let first = patterns.commands();
            for glob in &globs {
                patterns.glob(glob).map_err(|why| ("command", format!("`{glob}` is no glob: {why}")))?;
            }
            all.push(Self::Command(globs, first..patterns.commands()));
        }
        if let Some(texts) = listed(&when.error_contains) {
            let first = patterns.errors();
            for text in &texts {
                patterns.text(text).map_err(|why| ("error_contains", format!("`{}` {why}", short(text))))?;
            }
            all.push(Self::ErrorContains(texts, first..patterns.errors()));
        }
        if let Some(regex) = &when.error_regex {
            let first = patterns.errors();
            patterns.regex(regex).map_err(|why| ("error_regex", format!("`{}`: {why}", short(regex))))?;
            all.push(Self::ErrorRegex(regex.clone(), first..patterns.errors()));
        }
        Ok(all)
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Status(status) => facts.job.status == *status,
            Self::Retryable(said) => facts.retryable == *said,
            Self::Stuck(signs) => facts.sign.is_some_and(|sign| signs.contains(&sign)),
            Self::AttemptAtLeast(least) => facts.job.attempt >= *least,
            Self::OlderThan(length) => facts.age() >= *length,
            Self::PriorityBelow(bound) => facts.job.priority < *bound,
            Self::Queue(queues) => queues.contains(&facts.job.queue),
            Self::ErrorType(types) => {
                facts.error_type.is_some_and(|found| types.iter().any(|kind| kind == found))
            }
            Self::Command(_, places) => facts.command_fits(places),
            Self::ErrorContains(_, places) | Self::ErrorRegex(_, places) => facts.error_has(places),
        }
    }

    /// Whether it holds, with what was asked and what was found.
    pub(crate) fn test(&self, facts: &Facts<'_>) -> Tested {
        let (key, expected, actual) = self.said(facts);
        Tested { key: key.to_owned(), expected, actual, holds: self.holds(facts) }
    }

    fn said(&self, facts: &Facts<'_>) -> (&'static str, String, String) {
        let error = || facts.error.map_or_else(|| "no error".to_owned(), short);
        match self {
            Self::Status(status) => ("status", status.to_string(), facts.job.status.to_string()),
            Self::Retryable(said) => {
                let words = words::retryable;
                ("retryable", words(*said).to_owned(), words(facts.retryable).to_owned())
            }
            Self::Stuck(signs) => {
                let actual = facts.sign.map_or("not stuck", StuckSign::as_str);
                ("stuck", one_of(signs.iter().map(|sign| sign.as_str())), actual.to_owned())
            }
            Self::AttemptAtLeast(least) => {
                ("attempt_at_least", least.to_string(), facts.job.attempt.to_string())
            }
            Self::OlderThan(length) => {
                // To the second: more says nothing more to a person.
                let age = Duration::from_secs(facts.age().as_secs());
                ("older_than", words::time(*length), words::time(age))
            }
            Self::PriorityBelow(bound) => {
                ("priority_below", bound.to_string(), facts.job.priority.to_string())
            }
            Self::Queue(queues) => ("queue", one_of(queues), facts.job.queue.to_string()),
            Self::ErrorType(types) => {
                let actual = facts.error_type.map_or_else(|| "no type".to_owned(), short);
                ("error_type", one_of(types), actual)
            }
            Self::Command(globs, _) => ("command", one_of(globs), facts.job.command.to_string()),
            Self::ErrorContains(texts, _) => ("error_contains", one_of(texts), error()),
            Self::ErrorRegex(regex, _) => ("error_regex", regex.clone(), error()),
        }
    }
}

/// A list that asks for something.
fn listed<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}
