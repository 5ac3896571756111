//! Prepared messages, through the hub and over restarts.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Client, Node, bodies, eventually, message};
use crossdock_hub::{
    Decider, HubConfig, HubError, Position, Publish, QueueChoice, Resolution, Topic,
};

const COMMIT: Resolution = Resolution::Commit { sys_flags: 8 };
const QUICK: Duration = Duration::from_millis(10);

fn quick() -> HubConfig {
    HubConfig {
        transaction_timeout: QUICK,
        transaction_interval: QUICK,
        transaction_scan: QUICK,
        transaction_checks_max: 3,
        ..HubConfig::default()
    }
}

async fn prepare(node: &Node, topic: &Arc<Topic>, body: &'static str) -> Position {
    let publish = Publish {
        queue: QueueChoice::Number(0),
        decider: Some(Decider {
            group: Bytes::from_static(b"p"),
            patience: None,
        }),
        ..message(topic, body)
    };
    node.hub.publish_wait(publish).await.unwrap().1[0].position
}

#[tokio::test]
async fn a_prepared_message_is_delivered_when_it_is_committed_and_only_then() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let (kept, dropped) = (prepare(&node, &t, "a").await, prepare(&node, &t, "b").await);
    node.send(&t, "plain").await;
    assert_eq!(bodies(&node.hub, &t, 0, 0).await, ["plain"]);
    assert_eq!(node.hub.undecided(None).await.unwrap().0.len(), 2);

    let stranger = node.hub.decide(kept, "other", COMMIT).await;
    assert_eq!(stranger, Err(HubError::NotPrepared));
    let receipt = node.hub.decide(kept, "p", COMMIT).await.unwrap().unwrap();
    assert_eq!(receipt[0].offset, 1);
    let none = node.hub.decide(dropped, "p", Resolution::Rollback).await;
    assert_eq!(none, Ok(None));
    assert_eq!(bodies(&node.hub, &t, 0, 0).await, ["plain", "a"]);
    for position in [kept, dropped, Position(8)] {
        let again = node.hub.decide(position, "p", COMMIT).await;
        assert_eq!(again, Err(HubError::NotPrepared));
    }
    assert!(node.hub.undecided(None).await.unwrap().0.is_empty());
    let delivered = node.hub.view(receipt[0].position).await.unwrap();
    assert_eq!(
        (delivered.record.sys_flags, delivered.record.fires()),
        (8, Some(kept))
    );
    node.stop().await;
}

#[tokio::test]
async fn many_decide_at_once_and_one_of_them_does() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let position = prepare(&node, &t, "a").await;
    let deciding: Vec<_> = (0..16)
        .map(|_| {
            let hub = node.hub.clone();
            tokio::spawn(async move { hub.decide(position, "p", COMMIT).await })
        })
        .collect();
    let mut committed = 0;
    for one in deciding {
        committed += usize::from(one.await.unwrap().is_ok());
    }
    assert_eq!(committed, 1);
    assert_eq!(bodies(&node.hub, &t, 0, 0).await, ["a"]);
    node.stop().await;
}

#[tokio::test]
async fn an_undecided_message_outlives_a_restart_and_its_group_is_asked() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let position = prepare(&node, &t, "a").await;
    let node = node.restart_with(quick()).await;
    let producer = Client::connect(&node.hub, "c");
    node.hub
        .producer_heartbeat(&common::group("p"), producer.member.clone())
        .unwrap();
    eventually("it is asked", || !producer.channel.questions().is_empty()).await;
    let asked = producer.channel.questions().remove(0);
    assert_eq!(asked.message.record.position, position);
    assert_eq!((&*asked.topic.name.to_string(), asked.queue), ("T", 0));
    node.hub.decide(position, "p", COMMIT).await.unwrap();
    let t = node.hub.topic("T").unwrap();
    assert_eq!(bodies(&node.hub, &t, 0, 0).await, ["a"]);
    node.stop().await;
}

#[tokio::test]
async fn who_is_gone_is_not_asked_and_nothing_is_given_up_for_it() {
    let node = Node::with(quick()).await;
    let t = node.topic("T", 1).await;
    let position = prepare(&node, &t, "a").await;
    let (gone, there) = (
        Client::connect(&node.hub, "a"),
        Client::connect(&node.hub, "b"),
    );
    gone.channel.close();
    node.hub
        .producer_heartbeat(&common::group("p"), gone.member.clone())
        .unwrap();
    // Many rounds of looking, without anybody to ask.
    tokio::time::sleep(20 * QUICK).await;
    assert!(node.hub.undecided_at(position).await.is_ok());
    node.hub
        .producer_heartbeat(&common::group("p"), there.member.clone())
        .unwrap();
    eventually("the other is asked", || {
        !there.channel.questions().is_empty()
    })
    .await;
    assert!(gone.channel.questions().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn what_nobody_decides_goes_where_operators_find_it() {
    let node = Node::with(quick()).await;
    let t = node.topic("T", 1).await;
    let position = prepare(&node, &t, "a").await;
    let producer = Client::connect(&node.hub, "c");
    node.hub
        .producer_heartbeat(&common::group("p"), producer.member.clone())
        .unwrap();
    let hub = node.hub.clone();
    let lost = || hub.topic("TRANS_CHECK_MAX_TIME_TOPIC").is_some();
    eventually("it is given up", lost).await;
    let lost = node.hub.topic("TRANS_CHECK_MAX_TIME_TOPIC").unwrap();
    let arrived = || node.hub.bounds(&lost, 0).unwrap().max == 1;
    eventually("it is there", arrived).await;
    assert_eq!(bodies(&node.hub, &lost, 0, 0).await, ["a"]);
    assert_eq!(producer.channel.questions().len(), 3);
    let late = node.hub.decide(position, "p", COMMIT).await;
    assert_eq!(late, Err(HubError::NotPrepared));
    assert!(bodies(&node.hub, &t, 0, 0).await.is_empty());
    node.stop().await;
}
