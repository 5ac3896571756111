//! Groups and their members over a real store: who is told what, when members go, locks, retries.

mod common;

use std::time::Duration;

use common::{Client, Node, eventually, group, topic};
use crossdock_hub::{
    ConsumeModel, GroupConfig, Heartbeat, HubConfig, HubError, SubscriptionLookup,
};

const SUBS: &[(&str, &str, i64)] = &[("T", "a || b", 1), ("%RETRY%g", "*", 1)];

#[tokio::test]
async fn the_first_heartbeat_brings_group_and_retry_topic_into_being() {
    let node = Node::start().await;
    let client = Client::connect(&node.hub, "c1");
    assert!(
        node.hub
            .heartbeat(&group("g"), client.heartbeat(SUBS))
            .await
            .unwrap()
    );
    let g = node.hub.group("g").unwrap();
    assert_eq!(node.hub.group_clients(&g), ["c1".into()]);
    let retry = node.hub.topic("%RETRY%g").unwrap();
    assert_eq!((retry.read_queues, retry.perm.0), (1, 6));
    assert!(node.hub.topic("%DLQ%g").is_none());
    let SubscriptionLookup::Subscribed(ConsumeModel::Clustering, found) =
        node.hub.subscription(&g, "T")
    else {
        panic!("not subscribed");
    };
    assert_eq!((&*found.text, found.version), ("a || b", 1));
    assert!(matches!(
        node.hub.subscription(&g, "U"),
        SubscriptionLookup::NotSubscribed(_)
    ));
    node.stop().await;
}

#[tokio::test]
async fn every_member_hears_of_joining_leaving_and_resubscribing() {
    let node = Node::start().await;
    let (one, two) = (
        Client::connect(&node.hub, "c1"),
        Client::connect(&node.hub, "c2"),
    );
    let name = group("g");
    node.hub
        .heartbeat(&name, one.heartbeat(SUBS))
        .await
        .unwrap();
    assert_eq!(one.channel.notices(), 1);
    node.hub
        .heartbeat(&name, two.heartbeat(SUBS))
        .await
        .unwrap();
    assert_eq!((one.channel.notices(), two.channel.notices()), (2, 1));
    // Nothing new, nothing said.
    assert!(
        !node
            .hub
            .heartbeat(&name, two.heartbeat(SUBS))
            .await
            .unwrap()
    );
    assert_eq!((one.channel.notices(), two.channel.notices()), (2, 1));
    let newer = [("T", "c", 2), ("%RETRY%g", "*", 1)];
    assert!(
        node.hub
            .heartbeat(&name, two.heartbeat(&newer))
            .await
            .unwrap()
    );
    assert_eq!((one.channel.notices(), two.channel.notices()), (3, 2));
    node.hub.leave_group("g", two.member.connection, "c2");
    assert_eq!((one.channel.notices(), two.channel.notices()), (4, 2));
    node.stop().await;
}

#[tokio::test]
async fn a_closed_connection_leaves_every_group_at_once() {
    let node = Node::start().await;
    let (one, two) = (
        Client::connect(&node.hub, "c1"),
        Client::connect(&node.hub, "c2"),
    );
    for name in ["g", "h"] {
        for client in [&one, &two] {
            node.hub
                .heartbeat(&group(name), client.heartbeat(SUBS))
                .await
                .unwrap();
        }
    }
    node.hub
        .producer_heartbeat(&group("p"), two.member.clone())
        .unwrap();
    let before = one.channel.notices();
    two.channel.close();
    node.hub.connection_closed(two.member.connection);
    assert_eq!(one.channel.notices(), before + 2);
    for name in ["g", "h"] {
        let g = node.hub.group(name).unwrap();
        assert_eq!(node.hub.group_clients(&g), ["c1".into()]);
    }
    assert!(node.hub.producers("p").is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_heartbeat_that_comes_after_the_close_leaves_nothing() {
    let node = Node::start().await;
    let client = Client::connect(&node.hub, "c1");
    client.channel.close();
    node.hub.connection_closed(client.member.connection);
    node.hub
        .heartbeat(&group("g"), client.heartbeat(SUBS))
        .await
        .unwrap();
    node.hub
        .producer_heartbeat(&group("p"), client.member.clone())
        .unwrap();
    let g = node.hub.group("g").unwrap();
    assert!(node.hub.group_view(&g).is_none());
    assert!(node.hub.producers("p").is_empty());
    node.stop().await;
}

#[tokio::test]
async fn broadcasting_and_quiet_groups_are_not_told() {
    let node = Node::start().await;
    let client = Client::connect(&node.hub, "c1");
    let broadcast = Heartbeat {
        model: ConsumeModel::Broadcasting,
        ..client.heartbeat(SUBS)
    };
    node.hub.heartbeat(&group("b"), broadcast).await.unwrap();
    let quiet = GroupConfig {
        notifies_members: false,
        ..GroupConfig::default()
    };
    node.hub.put_group(&group("q"), quiet).await.unwrap();
    node.hub
        .heartbeat(&group("q"), client.heartbeat(SUBS))
        .await
        .unwrap();
    assert_eq!(client.channel.notices(), 0);
    // A changed definition counts for the members that are there.
    node.hub
        .put_group(&group("q"), GroupConfig::default())
        .await
        .unwrap();
    let other = Client::connect(&node.hub, "c2");
    node.hub
        .heartbeat(&group("q"), other.heartbeat(SUBS))
        .await
        .unwrap();
    assert_eq!(client.channel.notices(), 1);
    node.stop().await;
}

#[tokio::test]
async fn members_that_fall_silent_expire_and_the_others_are_told() {
    let node = Node::with(HubConfig {
        member_expiry: Duration::from_millis(200),
        member_scan: Duration::from_millis(10),
        ..HubConfig::default()
    })
    .await;
    let (silent, alive) = (
        Client::connect(&node.hub, "c1"),
        Client::connect(&node.hub, "c2"),
    );
    let name = group("g");
    node.hub
        .heartbeat(&name, silent.heartbeat(SUBS))
        .await
        .unwrap();
    node.hub
        .heartbeat(&name, alive.heartbeat(SUBS))
        .await
        .unwrap();
    node.hub
        .producer_heartbeat(&group("p"), silent.member.clone())
        .unwrap();
    let before = alive.channel.notices();
    let g = node.hub.group("g").unwrap();
    let hub = node.hub.clone();
    let (beating, beats) = (alive.clone(), name.clone());
    let beat = tokio::spawn(async move {
        loop {
            hub.heartbeat(&beats, beating.heartbeat(SUBS))
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    eventually("the silent member is gone", || {
        node.hub.group_clients(&g) == ["c2".into()]
    })
    .await;
    eventually("the silent producer is gone", || {
        node.hub.producers("p").is_empty()
    })
    .await;
    eventually("the other is told", || alive.channel.notices() > before).await;
    beat.abort();
    let _ = beat.await;
    node.stop().await;
}

#[tokio::test]
async fn definitions_of_groups_survive_a_restart_and_members_do_not() {
    let node = Node::start().await;
    let config = GroupConfig {
        retry_max: 3,
        retry_queues: 2,
        may_broadcast: false,
        ..GroupConfig::default()
    };
    let before = node
        .hub
        .put_group(&group("g"), config.clone())
        .await
        .unwrap();
    let client = Client::connect(&node.hub, "c1");
    node.hub
        .heartbeat(&group("g"), client.heartbeat(SUBS))
        .await
        .unwrap();
    let node = node.restart().await;
    let after = node.hub.group("g").unwrap();
    assert_eq!((after.id, &after.config), (before.id, &config));
    assert!(node.hub.group_view(&after).is_none());
    assert_eq!(node.hub.topic("%RETRY%g").unwrap().write_queues, 2);
    node.stop().await;
}

#[tokio::test]
async fn queue_locks_belong_to_one_client_and_expire() {
    let node = Node::with(HubConfig {
        lock_expiry: Duration::from_millis(100),
        ..HubConfig::default()
    })
    .await;
    let (t, g) = (node.topic("T", 2).await, node.group("g").await);
    let queues = [t.queue(0).unwrap(), t.queue(1).unwrap()];
    assert_eq!(node.hub.lock_batch(&g, "a", &queues), queues);
    assert!(node.hub.lock_batch(&g, "b", &queues).is_empty());
    assert!(node.hub.has_live_locks(&g));
    node.hub.unlock_batch(&g, "b", &queues);
    assert!(node.hub.lock_batch(&g, "b", &queues).is_empty());
    eventually("the locks expire", || !node.hub.has_live_locks(&g)).await;
    assert_eq!(node.hub.lock_batch(&g, "b", &queues), queues);
    node.stop().await;
}

#[tokio::test]
async fn failures_are_retried_later_and_later_and_end_in_the_dead_letter_topic() {
    let node = Node::start().await;
    let g = node.group("g").await;
    let now = node.hub.now_ms();
    let first = node.hub.plan_retry(&g, 0, 0, None).await.unwrap().unwrap();
    assert_eq!((first.topic.name.as_str(), first.attempt), ("%RETRY%g", 1));
    let delay = first.due_ms.unwrap() - now;
    assert!(
        (10_000..15_000).contains(&delay) && !first.is_dead,
        "{delay}"
    );
    let last = node.hub.plan_retry(&g, 16, 0, None).await.unwrap().unwrap();
    assert_eq!((last.topic.name.as_str(), last.due_ms), ("%DLQ%g", None));
    assert_eq!((last.attempt, last.is_dead), (17, true));
    assert_eq!((last.topic.write_queues, last.topic.perm.0), (1, 6));
    let told = node.hub.plan_retry(&g, 0, -1, None).await.unwrap().unwrap();
    assert!(told.is_dead);
    let limited = node
        .hub
        .plan_retry(&g, 2, 0, Some(2))
        .await
        .unwrap()
        .unwrap();
    assert!(limited.is_dead);
    node.stop().await;
}

#[tokio::test]
async fn a_group_without_retry_queues_drops_what_fails() {
    let node = Node::start().await;
    let config = GroupConfig {
        retry_queues: 0,
        ..GroupConfig::default()
    };
    let g = node.hub.put_group(&group("g"), config).await.unwrap();
    assert!(node.hub.plan_retry(&g, 0, 0, None).await.unwrap().is_none());
    assert!(node.hub.topic("%RETRY%g").is_none());
    node.stop().await;
}

#[tokio::test]
async fn what_an_ordered_consumer_gives_up_is_dead_at_once() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    assert!(node.hub.plan_dead(&g, 16, None).await.unwrap().is_none());
    let dead = node.hub.plan_dead(&g, 17, None).await.unwrap().unwrap();
    assert_eq!(dead.name, topic("%DLQ%g"));
    assert_eq!(
        node.hub.lock_batch(&g, "a", &[t.queue(0).unwrap()]).len(),
        1
    );
    assert!(node.hub.plan_dead(&g, 1, None).await.unwrap().is_some());
    node.stop().await;
}

#[tokio::test]
async fn names_too_long_for_a_group_of_ones_own_are_refused() {
    let node = Node::start().await;
    let long = group(&"g".repeat(121));
    let refused = node.hub.ensure_group(&long).await.unwrap_err();
    assert!(matches!(refused, HubError::Name { what: "group", .. }));
    node.stop().await;
}
