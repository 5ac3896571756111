//! One group's session, without a hub.

use super::*;
use crate::member::tests::member;
use crate::name::TopicName;

const BOUNDS: Bounds = Bounds {
    members: 3,
    subscriptions: 4,
};

fn sub(topic: &str, text: &str, version: i64) -> Subscription {
    Subscription::parse(TopicName::parse(topic).unwrap(), text, version).unwrap()
}

fn beat(
    session: &Session,
    connection: u64,
    subscriptions: Option<Vec<Subscription>>,
    now_ms: u64,
) -> Result<Beat, HubError> {
    let heartbeat = Heartbeat {
        member: member(connection, &format!("c{connection}")).0,
        kind: ConsumeKind::Passively,
        model: ConsumeModel::Clustering,
        from: ConsumeFrom::Last,
        subscriptions,
    };
    session.beat(heartbeat, BOUNDS, now_ms)
}

fn changed(session: &Session, connection: u64, subscriptions: &[Subscription]) -> bool {
    beat(session, connection, Some(subscriptions.to_vec()), 0)
        .unwrap()
        .is_changed
}

fn text(session: &Session, topic: &str) -> Option<String> {
    match session.subscription(topic) {
        SubscriptionLookup::Subscribed(_, found) => Some(found.text.to_string()),
        _ => None,
    }
}

#[test]
fn joining_is_a_change_and_staying_is_not() {
    let session = Session::default();
    assert!(changed(&session, 1, &[sub("T", "*", 1)]));
    assert!(!changed(&session, 1, &[sub("T", "*", 1)]));
    assert!(changed(&session, 2, &[sub("T", "*", 1)]));
    assert_eq!(session.clients(), ["c1".into(), "c2".into()]);
    assert!(session.leave(ConnectionId(1), &"c1".into()));
    assert!(!session.leave(ConnectionId(1), &"c1".into()));
}

#[test]
fn the_newer_subscription_wins_and_the_older_does_not_come_back() {
    let session = Session::default();
    changed(&session, 1, &[sub("T", "a", 1)]);
    changed(&session, 2, &[sub("T", "a", 1)]);
    assert!(changed(&session, 1, &[sub("T", "b", 2)]));
    assert!(!changed(&session, 2, &[sub("T", "a", 1)]));
    assert_eq!(text(&session, "T").as_deref(), Some("b"));
}

#[test]
fn a_newer_version_of_the_same_selection_is_kept_without_a_change() {
    let session = Session::default();
    changed(&session, 1, &[sub("T", "a", 1)]);
    assert!(!changed(&session, 1, &[sub("T", "a", 5)]));
    let SubscriptionLookup::Subscribed(_, found) = session.subscription("T") else {
        panic!("not subscribed");
    };
    assert_eq!(found.version, 5);
}

#[test]
fn topics_no_longer_named_are_dropped() {
    let session = Session::default();
    changed(&session, 1, &[sub("T", "*", 1), sub("U", "*", 1)]);
    assert!(changed(&session, 1, &[sub("U", "*", 1)]));
    assert!(matches!(
        session.subscription("T"),
        SubscriptionLookup::NotSubscribed(ConsumeModel::Clustering)
    ));
}

#[test]
fn a_light_heartbeat_leaves_subscriptions_as_they_are() {
    let session = Session::default();
    changed(&session, 1, &[sub("T", "a", 1)]);
    assert!(!beat(&session, 1, None, 5).unwrap().is_changed);
    assert_eq!(text(&session, "T").as_deref(), Some("a"));
}

#[test]
fn the_last_member_takes_everything_with_it() {
    let session = Session::default();
    changed(&session, 1, &[sub("T", "a", 9)]);
    session.leave(ConnectionId(1), &"c1".into());
    assert!(matches!(
        session.subscription("T"),
        SubscriptionLookup::NoMembers
    ));
    assert!(session.view().is_none());
    // Not outvoted by the version of a group that is gone.
    assert!(changed(&session, 2, &[sub("T", "b", 1)]));
    assert_eq!(text(&session, "T").as_deref(), Some("b"));
}

#[test]
fn silent_members_and_closed_connections_expire() {
    let session = Session::default();
    let (closed, channel) = member(3, "c3");
    beat(&session, 1, None, 10).unwrap();
    beat(&session, 2, None, 20).unwrap();
    let heartbeat = Heartbeat {
        member: closed,
        kind: ConsumeKind::Passively,
        model: ConsumeModel::Clustering,
        from: ConsumeFrom::Last,
        subscriptions: None,
    };
    session.beat(heartbeat, BOUNDS, 30).unwrap();
    assert!(session.expire(10).is_empty());
    channel.close();
    assert_eq!(&*session.expire(10)[0].client, "c3");
    assert_eq!(&*session.expire(20)[0].client, "c1");
    assert_eq!(session.clients(), ["c2".into()]);
}

#[test]
fn broadcasting_members_hear_nothing() {
    let session = Session::default();
    beat(&session, 1, None, 0).unwrap();
    assert_eq!(session.audience().len(), 1);
    let heartbeat = Heartbeat {
        member: member(2, "c2").0,
        kind: ConsumeKind::Passively,
        model: ConsumeModel::Broadcasting,
        from: ConsumeFrom::Last,
        subscriptions: None,
    };
    session.beat(heartbeat, BOUNDS, 0).unwrap();
    assert!(session.audience().is_empty());
}

#[test]
fn a_group_is_bounded_and_refuses_without_a_trace() {
    let session = Session::default();
    for connection in 1..=3 {
        beat(&session, connection, None, 0).unwrap();
    }
    assert!(beat(&session, 4, None, 0).is_err());
    let many = (0..5).map(|n| sub(&format!("T{n}"), "*", 1)).collect();
    assert!(beat(&session, 1, Some(many), 0).is_err());
    assert!(session.view().unwrap().subscriptions.is_empty());
    assert_eq!(session.clients().len(), 3);
}
