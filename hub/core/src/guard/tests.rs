//! The guard's state without a store.

use super::user::Secret;
use super::*;
use crate::error::ErrorKind;

fn user(name: &str, is_admin: bool) -> User {
    User {
        name: name.into(),
        is_admin,
        is_enabled: true,
        access_key: format!("{name}-key").into(),
        password: None,
        secret: Some(Secret::new("sk".into())),
    }
}

fn account(user: User, rules: &[Rule]) -> Account {
    Account {
        user,
        rules: rules.into(),
    }
}

fn rule(pattern: &str, actions: Actions, decision: Decision) -> Rule {
    Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        actions,
        decision,
    }
}

const PUB_T: (Actions, Resource<'static>) = (
    Actions::ALL,
    Resource {
        kind: ResourceKind::Topic,
        name: "T",
    },
);

#[test]
fn the_first_user_closes_the_open_door() {
    let state = State::default();
    let nobody = Identity::of(None);
    assert!(state.authorize(&nobody, &[PUB_T]).is_ok());
    let state = state.with(account(user("root", true), &[])).unwrap();
    let refused = state.authorize(&nobody, &[PUB_T]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(
        state
            .authorize(&Identity::of(Some("root")), &[PUB_T])
            .is_ok()
    );
}

#[test]
fn the_first_user_is_an_administrator_and_one_is_always_left() {
    let none = State::default();
    assert!(none.with(account(user("u", false), &[])).is_err());
    let one = none.with(account(user("root", true), &[])).unwrap();
    assert!(one.without("root").is_err());
    let mut disabled = user("root", true);
    disabled.is_enabled = false;
    assert!(one.with(account(disabled, &[])).is_err());
    assert!(one.with(account(user("root", false), &[])).is_err());
    let two = one.with(account(user("chief", true), &[])).unwrap();
    assert!(two.without("root").is_ok());
}

#[test]
fn every_resource_has_to_be_allowed() {
    let rules = [rule("Topic:T", Actions::ALL, Decision::Allow)];
    let state = State::default()
        .with(account(user("root", true), &[]))
        .unwrap()
        .with(account(user("u", false), &rules))
        .unwrap();
    let who = Identity::of(Some("u"));
    let group = (Action::Sub.into(), Resource::group("g"));
    assert!(state.authorize(&who, &[PUB_T]).is_ok());
    let refused = state.authorize(&who, &[PUB_T, group]).unwrap_err();
    assert_eq!(refused.to_string(), "user u may not Sub Group:g");
}

#[test]
fn a_user_that_was_removed_or_disabled_loses_what_it_had() {
    let state = State::default()
        .with(account(user("root", true), &[]))
        .unwrap()
        .with(account(user("chief", true), &[]))
        .unwrap();
    let who = Identity::of(Some("chief"));
    assert!(state.authorize(&who, &[PUB_T]).is_ok());
    assert!(
        state
            .without("chief")
            .unwrap()
            .authorize(&who, &[PUB_T])
            .is_err()
    );
    let mut disabled = user("chief", true);
    disabled.is_enabled = false;
    let state = state.with(account(disabled, &[])).unwrap();
    assert!(state.authorize(&who, &[PUB_T]).is_err());
}

#[test]
fn access_keys_belong_to_one_user_and_are_freed_with_it() {
    let state = State::default()
        .with(account(user("root", true), &[]))
        .unwrap();
    let mut thief = user("u", false);
    thief.access_key = "root-key".into();
    assert!(state.with(account(thief.clone(), &[])).is_err());
    let mut renamed = user("root", true);
    renamed.access_key = "other".into();
    let state = state.with(account(renamed, &[])).unwrap();
    assert!(state.with(account(thief, &[])).is_ok());
}

#[test]
fn a_signature_tells_the_user_by_its_access_key() {
    let state = State::default()
        .with(account(user("root", true), &[]))
        .unwrap();
    let content: [&[u8]; 1] = [b"ak0Tbody"];
    let right = "Hgg5qvd+x4pcTBBxFgXCwTBfD5I=";
    let who = state.signed("root-key", &content, right).unwrap();
    assert_eq!(who.name(), Some("root"));
    for (key, signature) in [("root", right), ("root-key", "AAAA"), ("nobody", right)] {
        let refused = state.signed(key, &content, signature).unwrap_err();
        assert_eq!(refused.to_string(), "authentication failed");
    }
}

#[test]
fn secrets_never_print() {
    let shown = format!("{:?}", account(user("root", true), &[]));
    assert!(!shown.contains("sk") && shown.contains("•••"), "{shown}");
    let change = UserChange {
        password: Some("hunter2".into()),
        secret: Some("topsecret".into()),
        ..UserChange::default()
    };
    let shown = format!("{change:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("topsecret"));
}
