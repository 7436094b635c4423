//! Credentials: one refresh at a time, and none lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use reclaimer_domain::account::Account;
use reclaimer_domain::ports::AccountStore;
use reclaimer_domain::secret::Secret;
use reclaimer_domain::time::before;

use crate::rig::{Rig, until};

/// An account whose access token has ended.
async fn expired(rig: &Rig) -> Account {
    let now = rig.clock.now();
    let account = Account {
        id: "a".parse().unwrap(),
        user_id: "u".into(),
        provider: "gitlab".parse().unwrap(),
        access_token: Some(Secret::new("old")),
        refresh_token: Some(Secret::new("refresh")),
        access_token_expires_at: Some(before(now, Duration::from_secs(1))),
        refresh_token_expires_at: None,
        created_at: now,
        updated_at: now,
    };
    rig.accounts.put(account.clone()).await.unwrap();
    account
}

async fn ask(rig: &Rig, account: &Account) -> String {
    let fresh = rig.provisioning.credentials(&account.provider, &account.id, Some("u")).await.unwrap();
    fresh.access_token.expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_the_provider_is_asked_once() {
    let rig = Rig::new();
    let account = expired(&rig).await;
    let asking = join_all((0..20).map(|_| ask(&rig, &account)));
    rig.provider.permits.add_permits(20);
    let answers = asking.await;
    assert!(answers.iter().all(|token| token == "refresh-access-1"), "{answers:?}");
    assert_eq!(rig.provider.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_read_the_account_before_a_refresh_ended_does_not_refresh_again() {
    let rig = Rig::new();
    let account = expired(&rig).await;
    rig.provider.permits.add_permits(2);
    assert_eq!(ask(&rig, &account).await, "refresh-access-1");
    // The next one still sees the account as it was; the refresh token it saw is used up.
    *rig.accounts.stale.lock().unwrap() = Some(account.clone());
    assert_eq!(ask(&rig, &account).await, "refresh-access-1");
    assert_eq!(rig.provider.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_outlives_a_store_that_is_away() {
    let rig = Rig::new();
    let account = expired(&rig).await;
    rig.provider.permits.add_permits(2);
    rig.accounts.failing_renewals.store(1, Ordering::SeqCst);
    assert_eq!(ask(&rig, &account).await, "refresh-access-1", "what the provider gave is not held back");
    until("the rotated token to be stored", async || {
        let stored = rig.accounts.account(&account.id).await.unwrap().unwrap();
        stored.refresh_token == Some(Secret::new("rotated-1"))
    })
    .await;
    assert_eq!(ask(&rig, &account).await, "refresh-access-1");
    assert_eq!(rig.provider.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_takes_no_refresh_along() {
    let rig = Arc::new(Rig::new());
    let account = expired(&rig).await;
    let gone = tokio::spawn({
        let (rig, account) = (Arc::clone(&rig), account.clone());
        async move { ask(&rig, &account).await }
    });
    let waits = tokio::spawn({
        let (rig, account) = (Arc::clone(&rig), account.clone());
        async move { ask(&rig, &account).await }
    });
    gone.abort();
    rig.provider.permits.add_permits(2);
    assert_eq!(waits.await.unwrap(), "refresh-access-1");
}
