//! The end of the door: what was begun is finished, clients are told, connections close.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::time::Duration;

use common::{Door, Pulled, pull_header, send_v2, until};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};

#[tokio::test]
async fn draining_answers_what_was_begun_and_then_closes() {
    let mut config = common::config();
    config.drain_grace = Duration::from_secs(1);
    let door = Door::with(config, common::hub_config()).await;
    door.create_topic("T", 1).await;
    let mut holder = door.broker().await;
    let header = PullMessage {
        subscription: Some("*"),
        suspend_timeout_millis: 15_000,
        ..pull_header("g", "T", 0, 0, pull_flag::SUBSCRIPTION | pull_flag::SUSPEND)
    };
    holder
        .send(Command::request(request::PULL_MESSAGE).with_header(&header))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    let mut sender = door.broker().await;
    sender.publish("T", 0, "x", "").await;
    assert_eq!(Pulled::of(holder.receive().await.unwrap()).bodies(), ["x"]);
    let header_at_end = PullMessage {
        queue_offset: 1,
        ..header
    };
    holder
        .send(Command::request(request::PULL_MESSAGE).with_header(&header_at_end))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;

    door.scope.drain();
    // The held pull is not answered with "nothing there": that would bring its client back at once.
    assert_eq!(holder.receive().await.unwrap().code, 1500);
    holder.version = 475;
    assert_eq!(
        holder
            .ask_with(request::PULL_MESSAGE, &header_at_end)
            .await
            .code,
        14
    );
    // New clients are sent away, old ones served until the connection closes.
    until("draining", || door.scope.is_draining()).await;
    loop {
        let response = sender.ask(send_v2("T", 0, "young", "")).await;
        if response.code == 1500 {
            break;
        }
        assert_eq!(response.code, 0);
    }
    sender.version = 475;
    assert_eq!(sender.ask(send_v2("T", 0, "old", "")).await.code, 0);
    assert!(sender.receive().await.is_none());
    assert!(holder.receive().await.is_none());
    until("the end", || door.scope.active() == 0).await;
}

#[tokio::test]
async fn a_burst_under_way_is_answered_before_the_door_closes() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.version = 317;
    for n in 0..500 {
        client.send(send_v2("T", 0, &n.to_string(), "")).await;
    }
    let first = client.receive().await.unwrap();
    assert_eq!(first.code, 0);
    door.scope.drain();
    let mut answered = 1;
    while let Some(response) = client.receive().await {
        assert_eq!(response.code, 0);
        answered += 1;
    }
    let topic = door.hub.topic("T").unwrap();
    assert_eq!(door.hub.bounds(&topic, 0).unwrap().max, answered);
}
