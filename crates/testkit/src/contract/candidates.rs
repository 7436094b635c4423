//! R1: which jobs a cycle should look at.

use std::time::Duration;

use reclaimer_domain::account::AccountState;
use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::job::{NewJob, Status};
use reclaimer_domain::ports::{AdminAction, Candidate, Candidates, Case, Claim, Search};
use reclaimer_domain::recovery::RecoveryType;

use super::ask::{at, claim, id, order};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::{an_account, noon};

/// A search for everything that failed, and everything that runs on a lease that is over, at `at(3_600)`.
fn search() -> Search {
    Search {
        kind: RecoveryType::Comprehensive,
        expired_leases_only: false,
        resting: false,
        silent_since: None,
        after: None,
        limit: 100,
        now: at(3_600),
    }
}

fn names(found: &Candidates) -> Vec<&str> {
    found.jobs.iter().map(|candidate| candidate.job.id.as_str()).collect()
}

async fn found(store: &dyn Store, search: Search) -> Vec<String> {
    let found = store.candidates(search).await.unwrap();
    names(&found).into_iter().map(ToOwned::to_owned).collect()
}

/// R1: every failed job comes first, then the stuck ones, each in the order of their ids; nobody else comes.
pub async fn the_failed_come_first_then_the_stuck(rig: &dyn Rig) {
    let store = rig.store();
    for status in Status::ALL {
        store.add_in(status, &format!("z-{status}"), order("X")).await;
        if status == Status::Queued {
            store.administered(&id("z-queued"), AdminAction::Pause, noon()).await;
        }
    }
    for name in ["y", "b"] {
        store.add_in(Status::Running, name, order("X")).await;
        store.add_in(Status::Failed, &format!("c-{name}"), order("X")).await;
    }
    let all = store.candidates(search()).await.unwrap();
    assert_eq!(names(&all), ["c-b", "c-y", "z-failed", "b", "y", "z-running"]);
    assert_eq!((all.broken, all.more), (vec![], false));
    assert_eq!(all.jobs[0].job, store.read(&id("c-b")).await);
    let failed = Search { kind: RecoveryType::Failed, ..search() };
    assert_eq!(found(&*store, failed).await, ["c-b", "c-y", "z-failed"]);
    let stuck = Search { kind: RecoveryType::Stuck, ..search() };
    assert_eq!(found(&*store, stuck).await, ["b", "y", "z-running"]);
}

/// R1: pages follow each other without a gap or an overlap, whatever their size.
pub async fn pages_follow_each_other(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "c", "e"] {
        store.add_in(Status::Failed, name, order("X")).await;
    }
    for name in ["b", "d"] {
        store.add_in(Status::Running, name, order("X")).await;
    }
    for limit in 1..=6 {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = store.candidates(Search { after, limit, ..search() }).await.unwrap();
            assert!(page.jobs.len() <= usize::try_from(limit).unwrap(), "{page:?}");
            all.extend(page.jobs.iter().map(|candidate| candidate.job.id.to_string()));
            after = page.jobs.last().map(|last| (last.job.status, last.job.id.clone()));
            if !page.more {
                break;
            }
        }
        assert_eq!(all, ["a", "c", "e", "b", "d"], "in pages of {limit}");
    }
}

/// R1: a job that is not to be looked at yet is left out until its moment.
pub async fn a_job_that_rests_is_left_out(rig: &dyn Rig) {
    let store = rig.store();
    let failed = store.add_in(Status::Failed, "a", order("X")).await;
    let running = store.add_in(Status::Running, "b", order("X")).await;
    let decision = |until| Decision {
        action: Action::Leave { until },
        rule: None,
        reason: "r".to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned =
        vec![store.plan(&failed, decision(at(4_000))).await, store.plan(&running, decision(at(5_000))).await];
    store.apply(text("run"), planned, at(100)).await.unwrap();
    assert!(found(&*store, search()).await.is_empty());
    assert_eq!(found(&*store, Search { now: at(4_000), ..search() }).await, ["a"]);
    assert_eq!(found(&*store, Search { now: at(5_000), ..search() }).await, ["a", "b"]);
    assert_eq!(found(&*store, Search { now: at(4_000), resting: true, ..search() }).await, ["a", "b"]);
}

/// R1: a running job is looked at from the end of its lease on, or of its timeout, or when it was silent long enough.
pub async fn a_running_job_needs_a_sign(rig: &dyn Rig) {
    let store = rig.store();
    let long = |tokens: &[&str]| Claim { lease_for: Duration::from_secs(7_200), ..claim("w", tokens) };
    store.add_running("leased", order("X"), "w", "1").await;
    store.add("timed", NewJob { timeout: Some(Duration::from_secs(300)), ..order("X") }).await;
    assert_eq!(store.claimed_ids(long(&["2"])).await, ["timed"]);
    store.add("silent", order("X")).await;
    assert_eq!(store.claimed_ids(long(&["3"])).await, ["silent"]);
    let seen = async |now, silent_since: Option<i64>, expired_leases_only| {
        let silent_since = silent_since.map(at);
        found(&*store, Search { now: at(now), silent_since, expired_leases_only, ..search() }).await
    };
    assert!(seen(59, Some(-1), false).await.is_empty());
    assert_eq!(seen(60, Some(-1), false).await, ["leased"], "a lease that ends now has ended");
    assert_eq!(seen(299, None, false).await, ["leased"]);
    assert_eq!(seen(300, None, false).await, ["leased", "timed"]);
    assert_eq!(seen(61, Some(0), false).await, ["leased", "silent", "timed"]);
    assert_eq!(seen(900, Some(0), true).await, ["leased"], "leases alone were asked for");
    store.beat(&["2", "3"], at(500)).await;
    assert_eq!(seen(600, Some(400), false).await, ["leased", "timed"], "heard of since");
}

/// A job comes with the state of the account it names, as it is at the moment of the search.
pub async fn a_job_comes_with_the_state_of_its_account(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().id("valid").access_token("t").build()).await.unwrap();
    store.put(an_account().id("erased").access_token("t").build()).await.unwrap();
    let ends = an_account().id("ends").access_token("t").expires_in(Duration::from_secs(3_600));
    store.put(ends.build()).await.unwrap();
    store.add_in(Status::Failed, "0", order("X")).await;
    for account in ["valid", "erased", "ends"] {
        let named = NewJob { account_id: Some(text(account)), ..order("X") };
        store.add_in(Status::Failed, account, named).await;
    }
    store.erase(text("erased"), at(1)).await.unwrap();
    let states = async |now| -> Vec<AccountState> {
        let found = store.candidates(Search { now, ..search() }).await.unwrap();
        found.jobs.into_iter().map(|candidate| candidate.account).collect()
    };
    let valid = || AccountState::Valid(text("valid"));
    let missing = || AccountState::Missing(text("erased"));
    let ended = [AccountState::NotNeeded, AccountState::Invalid(text("ends")), missing(), valid()];
    assert_eq!(states(at(3_600)).await, ended);
    let holds = [AccountState::NotNeeded, AccountState::Valid(text("ends")), missing(), valid()];
    assert_eq!(states(at(3_599)).await, holds);
}

/// What is known of one job is its row, its account as it is at that moment, and its latest events.
pub async fn a_job_is_looked_at_alone(rig: &dyn Rig) {
    let store = rig.store();
    let account = || text("account-1");
    store.put(an_account().access_token("t").expires_in(Duration::from_secs(100)).build()).await.unwrap();
    let order = NewJob { account_id: Some(account()), ..order("X") };
    let name = store.add_in(Status::Failed, "job", order).await;
    let (job, history) = (store.read(&name).await, store.history(&name).await);
    for (seconds, account) in [(99, AccountState::Valid(account())), (100, AccountState::Invalid(account()))]
    {
        let candidate = Box::new(Candidate { job: job.clone(), account });
        let whole = Case::Whole { candidate, history: history.clone() };
        assert_eq!(store.case(&name, at(seconds)).await.unwrap(), Some(whole));
    }
    assert_eq!(store.case(&id("none"), at(0)).await.unwrap(), None);
}
