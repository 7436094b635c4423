//! What counts as stuck, and what does not yet.

use std::time::Duration;

use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::time::{after, before};
use reclaimer_policy::StuckLimits;
use reclaimer_testkit::{a_job, noon};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_lease_that_lives_on_a_grace_is_all_that_counts() {
    let limits = StuckLimits::default();
    let (now, grace_ends) = (noon(), after(noon(), Duration::from_secs(30)));
    let silent = a_job().held_by("w").leased_until(grace_ends).updated_at(before(now, HOUR * 3)).build();
    let excused = a_job()
        .held_by("w")
        .leased_until(grace_ends)
        .updated_at(before(now, HOUR * 3))
        .timeout(Duration::from_secs(1))
        .excused()
        .build();

    assert_eq!(limits.sign(&silent, now), Some(StuckSign::NoUpdate));
    assert_eq!(limits.sign(&excused, now), None, "its worker could not say anything while we were away");
    assert_eq!(limits.sign(&excused, grace_ends), Some(StuckSign::LeaseExpired));
}
