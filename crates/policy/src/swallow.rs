//! Whether one rule takes every job that another would.
//!
//! Told from the conditions alone, and only where it is certain: a rule is swallowed when each condition of the earlier
//! one follows from those of the later one.

use globset::Glob;
use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::job::Status;

use crate::rule::Match;

/// Whether every job that `later` matches is matched by `earlier` too.
pub(crate) fn swallows(earlier: &Match, later: &Match) -> bool {
    let one = |asked: bool, follows: bool| !asked || follows;
    one(earlier.status.is_some(), earlier.status == status_of(later))
        && one(earlier.retryable.is_some(), earlier.retryable == later.retryable)
        && one(!earlier.stuck.is_empty(), {
            let signs = signs_of(later);
            !signs.is_empty() && signs.iter().all(|sign| earlier.stuck.contains(sign))
        })
        && at_least(earlier.attempt_at_least, later.attempt_at_least)
        && at_least(earlier.older_than, later.older_than)
        && earlier.priority_below.is_none_or(|bound| later.priority_below.is_some_and(|other| other <= bound))
        && within(&earlier.queue, &later.queue, |one, other| one == other)
        && within(&earlier.error_type, &later.error_type, |one, other| one == other)
        && within(&earlier.command, &later.command, |glob, other| covers(glob, other))
        && within(&earlier.error_contains, &later.error_contains, |part, whole| {
            whole.to_lowercase().contains(&part.to_lowercase())
        })
        && earlier.error_regex.as_ref().is_none_or(|regex| later.error_regex.as_ref() == Some(regex))
}

/// The status of all jobs that match: only running ones are stuck.
fn status_of(when: &Match) -> Option<Status> {
    when.status.or((!when.stuck.is_empty()).then_some(Status::Running))
}

/// The signs of all jobs that match: recovery sees no running job without one.
fn signs_of(when: &Match) -> &[StuckSign] {
    match when.status {
        Some(Status::Running) if when.stuck.is_empty() => &StuckSign::ALL,
        _ => &when.stuck,
    }
}

fn at_least<T: PartialOrd + Copy>(earlier: Option<T>, later: Option<T>) -> bool {
    earlier.is_none_or(|least| later.is_some_and(|other| other >= least))
}

/// Whether each entry of the later list is covered by one of the earlier.
fn within<T>(earlier: &[T], later: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    let covered = |other: &T| earlier.iter().any(|one| covers(one, other));
    earlier.is_empty() || (!later.is_empty() && later.iter().all(covered))
}

/// Whether everything that fits `other` fits `glob`: the same, or another without wildcards that fits, or with one at
/// its end alone.
fn covers(glob: &str, other: &str) -> bool {
    const WILD: [char; 8] = ['*', '?', '[', ']', '{', '}', '!', '\\'];
    if glob == other || glob == "*" {
        return true;
    }
    let fixed = other.strip_suffix('*').unwrap_or(other);
    if fixed.contains(WILD) {
        return false;
    }
    if fixed.len() == other.len() {
        return Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(other));
    }
    // `AB*` lies within `A*`.
    glob.strip_suffix('*').is_some_and(|start| !start.contains(WILD) && fixed.starts_with(start))
}
