//! A1–A3: accounts and their credentials.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::account::Account;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::name::AccountId;
use reclaimer_domain::ports::{AccountStore, FreshCredentials};
use reclaimer_domain::secret::Secret;

use super::ask::{at, order};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::{an_account, noon};

fn name() -> AccountId {
    text("account-1")
}

fn whole() -> Account {
    Account {
        refresh_token_expires_at: Some(at(86_400)),
        ..an_account().access_token("a").refresh_token("r").expires_in(Duration::from_secs(60)).build()
    }
}

fn fresh(access: &str, refresh: Option<&str>) -> FreshCredentials {
    FreshCredentials {
        access_token: Secret::new(access),
        access_token_expires_at: Some(at(7_200)),
        refresh_token: refresh.map(Secret::new),
    }
}

/// Stores what was answered to a refresh with this token.
async fn renew(store: &Arc<dyn Store>, with: &str, fresh: FreshCredentials) -> bool {
    AccountStore::renew(&**store, name(), Secret::new(with), fresh, at(100)).await.unwrap()
}

/// A1: an account is kept as it was put, and replaced whole but for its creation.
pub async fn an_account_is_replaced_whole(rig: &dyn Rig) {
    let store = rig.store();
    assert_eq!(store.account(&name()).await.unwrap(), None);
    store.put(whole()).await.unwrap();
    assert_eq!(store.account(&name()).await.unwrap(), Some(whole()));
    let other = Account {
        user_id: "user-2".to_owned(),
        provider: text("github"),
        created_at: at(50),
        updated_at: at(50),
        ..an_account().build()
    };
    store.put(other.clone()).await.unwrap();
    assert_eq!(store.account(&name()).await.unwrap(), Some(Account { created_at: noon(), ..other }));
}

/// Accounts are listed in the order of their ids, part by part, without the erased ones.
pub async fn accounts_are_listed_part_by_part(rig: &dyn Rig) {
    let store = rig.store();
    for id in ["c", "a", "d", "b"] {
        store.put(an_account().id(id).build()).await.unwrap();
    }
    store.erase(text("c"), at(1)).await.unwrap();
    let part = async |cursor: Option<&str>| {
        let page = store.accounts(cursor.map(text), 2).await.unwrap();
        (page.items.into_iter().map(|account| account.id).collect::<Vec<_>>(), page.next)
    };
    let names = |names: &[&str]| names.iter().map(|name| text::<AccountId>(name)).collect::<Vec<_>>();
    assert_eq!(part(None).await, (names(&["a", "b"]), Some(text("b"))));
    assert_eq!(part(Some("b")).await, (names(&["d"]), None));
    assert_eq!(part(Some("d")).await, (vec![], None));
}

/// A2: erasing hides the account and says whether there was one; its jobs keep its name.
pub async fn an_erased_account_is_hidden(rig: &dyn Rig) {
    let store = rig.store();
    assert!(!store.erase(name(), at(1)).await.unwrap(), "there is none");
    store.put(whole()).await.unwrap();
    let job = store.add("job", NewJob { account_id: Some(name()), ..order("X") }).await;
    assert!(store.erase(name(), at(1)).await.unwrap());
    assert_eq!(store.account(&name()).await.unwrap(), None);
    assert_eq!(store.read(&job).await.account_id, Some(name()));
    assert!(!store.erase(name(), at(2)).await.unwrap(), "it is gone already");
}

/// A2: an account that is put again is back, with what it was put with and nothing from before.
pub async fn an_erased_account_comes_back_without_its_past(rig: &dyn Rig) {
    let store = rig.store();
    store.put(whole()).await.unwrap();
    store.erase(name(), at(1)).await.unwrap();
    let again = an_account().access_token("new").build();
    store.put(again.clone()).await.unwrap();
    assert_eq!(store.account(&name()).await.unwrap(), Some(again));
}

/// A3: renewed credentials are stored; where the provider sent no new refresh token, the old one stays with its end.
pub async fn a_renewal_keeps_what_was_not_renewed(rig: &dyn Rig) {
    let store = rig.store();
    store.put(whole()).await.unwrap();
    assert!(renew(&store, "r", fresh("a2", None)).await);
    let expected = Account {
        access_token: Some(Secret::new("a2")),
        access_token_expires_at: Some(at(7_200)),
        updated_at: at(100),
        ..whole()
    };
    assert_eq!(store.account(&name()).await.unwrap(), Some(expected));
}

/// A3: a renewal counts once per refresh token: what was asked for with an older one changes nothing.
pub async fn a_renewal_needs_the_present_refresh_token(rig: &dyn Rig) {
    let store = rig.store();
    store.put(whole()).await.unwrap();
    assert!(renew(&store, "r", fresh("a2", Some("r2"))).await);
    let renewed = store.account(&name()).await.unwrap().unwrap();
    assert_eq!(renewed.refresh_token, Some(Secret::new("r2")));
    assert_eq!(renewed.refresh_token_expires_at, None, "the end was that of the old one");
    assert!(!renew(&store, "r", fresh("a3", Some("r3"))).await);
    assert_eq!(store.account(&name()).await.unwrap(), Some(renewed));
}

/// A3: of two renewals with the same refresh token one is stored.
pub async fn one_of_two_renewals_is_stored(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    here.put(whole()).await.unwrap();
    let (a, b) = tokio::join!(
        renew(&here, "r", fresh("a2", Some("r2"))),
        renew(&there, "r", fresh("a3", Some("r3"))),
    );
    assert!(a ^ b, "{a} {b}");
    let kept = here.account(&name()).await.unwrap().unwrap().access_token;
    assert_eq!(kept, Some(Secret::new(if a { "a2" } else { "a3" })));
}

/// A3: what was erased or has no refresh token is not renewed.
pub async fn nothing_is_renewed_into_being(rig: &dyn Rig) {
    let store = rig.store();
    assert!(!renew(&store, "r", fresh("a2", None)).await);
    store.put(an_account().access_token("a").build()).await.unwrap();
    assert!(!renew(&store, "r", fresh("a2", None)).await);
    store.put(whole()).await.unwrap();
    store.erase(name(), at(1)).await.unwrap();
    assert!(!renew(&store, "r", fresh("a2", None)).await);
    assert_eq!(store.account(&name()).await.unwrap(), None);
}
