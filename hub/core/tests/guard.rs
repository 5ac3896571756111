//! Users, rules and settings over a real store.

mod common;

use common::Node;
use crossdock_hub::{
    Action, Actions, Credentials, Decision, ErrorKind, HubConfig, HubError, Pattern, Resource,
    Rule, UserChange, UserSeed,
};

const LOCAL: Credentials<'static> = Credentials::Anonymous { is_loopback: true };

fn seeds() -> Vec<UserSeed> {
    vec![
        UserSeed {
            name: "app".into(),
            password: None,
            access_key: Some("app-key".into()),
            secret: Some("sk".into()),
            is_admin: false,
        },
        UserSeed {
            name: "root".into(),
            password: Some("secret".into()),
            access_key: None,
            secret: None,
            is_admin: true,
        },
    ]
}

async fn guarded() -> Node {
    Node::with(HubConfig {
        users: seeds(),
        ..HubConfig::default()
    })
    .await
}

#[tokio::test]
async fn whoever_is_on_this_machine_may_do_everything_until_a_user_exists() {
    let node = Node::start().await;
    let nobody = node.hub.authenticate(LOCAL).await.unwrap();
    let needs = [(Actions::ALL, Resource::topic("T"))];
    node.hub.authorize(&nobody, &needs).unwrap();
    let remote = Credentials::Anonymous { is_loopback: false };
    let refused = node.hub.authenticate(remote).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    let admin = UserChange {
        password: Some("secret".into()),
        is_admin: Some(true),
        ..UserChange::default()
    };
    node.hub.create_user("root", admin).await.unwrap();
    // Also for who came in before.
    assert!(node.hub.authorize(&nobody, &needs).is_err());
    assert!(node.hub.authenticate(LOCAL).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn configured_users_are_created_once_and_last() {
    let node = guarded().await;
    let password = UserChange {
        password: Some("changed".into()),
        ..UserChange::default()
    };
    node.hub.update_user("root", password).await.unwrap();
    let node = node.restart().await;
    assert_eq!(node.hub.users().len(), 2);
    let login = |password| Credentials::Password {
        user: "root",
        password,
    };
    let who = node.hub.authenticate(login("changed")).await.unwrap();
    assert_eq!(who.name(), Some("root"));
    for wrong in ["secret", "", "Changed"] {
        let refused = node.hub.authenticate(login(wrong)).await.unwrap_err();
        assert_eq!(refused.to_string(), "authentication failed");
    }
    node.stop().await;
}

#[tokio::test]
async fn an_old_password_is_forgotten_at_once() {
    let node = guarded().await;
    let old = Credentials::Password {
        user: "root",
        password: "secret",
    };
    node.hub.authenticate(old).await.unwrap();
    let change = UserChange {
        password: Some("other".into()),
        ..UserChange::default()
    };
    node.hub.update_user("root", change).await.unwrap();
    assert!(node.hub.authenticate(old).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn signatures_and_rules_decide_and_last() {
    let node = guarded().await;
    let rules = vec![
        Rule {
            pattern: Pattern::parse("Topic:orders-*").unwrap(),
            actions: Action::Pub | Action::Sub,
            decision: Decision::Allow,
        },
        Rule {
            pattern: Pattern::parse("Topic:orders-secret").unwrap(),
            actions: Actions::ALL,
            decision: Decision::Deny,
        },
    ];
    node.hub.set_rules("app", rules).await.unwrap();
    let node = node.restart().await;
    let content: [&[u8]; 2] = [b"ak0T", b"body"];
    let signed = |signature| Credentials::Signature {
        access_key: "app-key",
        content: &content,
        signature,
    };
    let who = node
        .hub
        .authenticate(signed("Hgg5qvd+x4pcTBBxFgXCwTBfD5I="))
        .await
        .unwrap();
    assert!(
        node.hub
            .authenticate(signed("Hgg5qvd+x4pcTBBxFgXCwTBfD5M="))
            .await
            .is_err()
    );
    let may = |action: Action, name| {
        node.hub
            .authorize(&who, &[(action.into(), Resource::topic(name))])
            .is_ok()
    };
    assert!(may(Action::Pub, "orders-1"));
    assert!(!may(Action::Delete, "orders-1"));
    assert!(!may(Action::Pub, "orders-secret"));
    assert!(!may(Action::Pub, "other"));
    node.stop().await;
}

#[tokio::test]
async fn users_are_removed_with_their_rules_but_never_the_last_administrator() {
    let node = guarded().await;
    assert!(node.hub.delete_user("root").await.is_err());
    assert!(node.hub.delete_user("app").await.unwrap());
    assert!(!node.hub.delete_user("app").await.unwrap());
    assert!(node.hub.rules("app").is_none());
    let missing = node.hub.set_rules("app", Vec::new()).await;
    assert_eq!(missing.unwrap_err(), HubError::NoUser("app".into()));
    let again = node.hub.create_user("root", UserChange::default()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Exists);
    node.stop().await;
}

#[tokio::test]
async fn a_first_user_without_power_is_refused_and_the_door_stays_open() {
    let node = Node::start().await;
    let refused = node.hub.create_user("u", UserChange::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(!node.hub.has_users());
    node.hub.authenticate(LOCAL).await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn settings_last_and_are_listed_by_namespace() {
    let node = Node::start().await;
    for (namespace, key, value) in [("a", "k2", "2"), ("a", "k1", "1"), ("ab", "k", "x")] {
        node.hub.put_setting(namespace, key, value).await.unwrap();
    }
    node.hub.put_setting("a", "k1", "one").await.unwrap();
    let node = node.restart().await;
    assert_eq!(node.hub.setting("a", "k1").as_deref(), Some("one"));
    let listed = node.hub.settings("a");
    let listed: Vec<(&str, &str)> = listed.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(listed, [("k1", "one"), ("k2", "2")]);
    assert!(node.hub.delete_setting("a", "k1").await.unwrap());
    assert!(!node.hub.delete_setting("a", "k1").await.unwrap());
    let node = node.restart().await;
    assert_eq!(node.hub.setting("a", "k1"), None);
    assert!(node.hub.settings("missing").is_empty());
    node.stop().await;
}
