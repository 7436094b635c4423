use reclaimer_domain::account::Standing;
use reclaimer_domain::job::report::Outcome;
use reclaimer_domain::job::{NewJob, Status};
use reclaimer_policy::StuckLimits;
use reclaimer_policy::replay::{Advice, Advisor, Spread, WouldTake};

use crate::tape::{Tape, policy};

fn advise(tape: &Tape) -> Vec<Advice> {
    let mut advisor = Advisor::new(tape.stuck.clone());
    tape.events.iter().for_each(|event| advisor.event(event));
    advisor.finish()
}

fn job(tape: &mut Tape, name: &str, command: &str) {
    tape.next_job(name, NewJob::of(command.parse().unwrap()));
}

#[test]
fn silences_of_live_jobs_advise_a_limit() {
    let mut tape = Tape::new();
    for (number, silent) in [600, 7_200, 7_300, 9_000].into_iter().enumerate() {
        job(&mut tape, &format!("slow-{number}"), "EXPORT");
        tape.claim().pass(silent).report(Outcome::Progress).pass(10).finish();
    }
    job(&mut tape, "quick", "GROUP");
    tape.claim().pass(5).finish();

    let advice = advise(&tape);
    let names: Vec<(&str, u64)> = advice.iter().map(|it| (it.command.as_str(), it.attempts)).collect();
    assert_eq!(names, [("EXPORT", 4), ("GROUP", 1)]);
    let export = &advice[0];
    assert_eq!(export.silent, Spread { p50: 7_200, p99: 9_000, max: 9_000 });
    assert_eq!(export.ran, Spread { p50: 7_210, p99: 9_010, max: 9_010 });
    assert_eq!(export.stuck_after, Some(7_200));
    let taken = |limit| export.would_take.iter().find(|it| it.stuck_after == limit).copied();
    assert_eq!(taken(7_200), Some(WouldTake { stuck_after: 7_200, live_jobs: 3 }));
    assert_eq!(taken(10_800), Some(WouldTake { stuck_after: 10_800, live_jobs: 0 }));
    assert_eq!(export.advised, Some(14_400), "a quarter of room above two and a half hours");
    assert_eq!(
        export.summary,
        "`stuck_after` of 2 h would have taken 3 live jobs; 4 h would have taken no live job, and leaves room above \
         the longest silence of a live job, 2 h 30 min"
    );
}

#[test]
fn a_job_that_was_taken_for_its_silence_and_reported_all_the_same_was_alive() {
    let builtin = policy("");
    let mut tape = Tape::new();
    tape.stuck = StuckLimits { stuck_after: std::time::Duration::from_secs(1_800), overrides: Vec::new() };
    for (name, reports) in [("alive", true), ("dead", false)] {
        job(&mut tape, name, "EXPORT");
        tape.claim();
        tape.pass(1_800);
        // Its worker lives: only the job itself was not heard of.
        tape.job.renew(std::time::Duration::from_secs(60), false, tape.now);
        tape.recover(&builtin, Standing::NotNeeded);
        assert_eq!(tape.job.status, Status::Queued);
        if reports {
            tape.pass(1_200).report(Outcome::Completed);
        }
    }
    let advice = advise(&tape);
    assert_eq!((advice[0].taken, advice[0].taken_alive), (2, 1));
    assert_eq!(advice[0].silent.max, 3_000);
    assert_eq!(advice[0].advised, Some(7_200));
}

#[test]
fn nothing_on_record_advises_nothing() {
    let mut tape = Tape::new();
    assert_eq!(advise(&tape), []);
    job(&mut tape, "a", "EXPORT");
    tape.claim().finish();
    let advice = advise(&tape);
    assert_eq!(advice[0].advised, Some(60));
    tape.stuck.stuck_after = std::time::Duration::ZERO;
    assert_eq!(advise(&tape)[0].stuck_after, None);
    assert!(advise(&tape)[0].summary.starts_with("silence never counts now"), "{:?}", advise(&tape));
}
