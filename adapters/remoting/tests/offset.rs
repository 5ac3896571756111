//! Offsets over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::offset::{
    EarliestStoreTime, MaxOffset, MinOffset, OffsetResponse, QueryConsumerOffset, SearchOffset,
    StoreTimeResponse, UpdateConsumerOffset,
};

async fn query(client: &mut Client, group: &str, queue: i32, zero: Option<bool>) -> (i32, i64) {
    let header = QueryConsumerOffset {
        consumer_group: group,
        topic: "T",
        queue_id: queue,
        set_zero_if_not_found: zero,
    };
    let response = client
        .ask_with(request::QUERY_CONSUMER_OFFSET, &header)
        .await;
    let offset = OffsetResponse::parse(&response.ext).map_or(-1, |header| header.offset);
    (response.code, offset)
}

fn update<'a>(group: &'a str, topic: &'a str, queue: i32, offset: i64) -> Command {
    let header = UpdateConsumerOffset {
        consumer_group: group,
        topic,
        queue_id: queue,
        commit_offset: offset,
    };
    Command::request(request::UPDATE_CONSUMER_OFFSET).with_header(&header)
}

async fn offset(client: &mut Client, command: Command) -> i64 {
    let response = client.ask(command).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    OffsetResponse::parse(&response.ext).unwrap().offset
}

#[tokio::test]
async fn a_new_group_starts_at_zero_on_a_young_queue_unless_it_asks_for_the_truth() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    assert_eq!(query(&mut client, "g", 0, None).await, (0, 0));
    client.publish("T", 0, "x", "").await;
    assert_eq!(query(&mut client, "g", 0, None).await, (0, 0));
    assert_eq!(query(&mut client, "g", 0, Some(true)).await, (0, 0));
    assert_eq!(query(&mut client, "g", 0, Some(false)).await.0, 22);
    assert_eq!(query(&mut client, "nobody", 0, None).await.0, 22);
    assert_eq!(query(&mut client, "g", 9, None).await.0, 22);
}

#[tokio::test]
async fn commits_are_visible_at_once_and_survive_a_restart() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    for _ in 0..5 {
        client.publish("T", 0, "x", "").await;
    }
    client.send(update("g", "T", 0, 3).oneway()).await;
    assert_eq!(query(&mut client, "g", 0, Some(false)).await, (0, 3));
    assert_eq!(client.ask(update("g", "T", 1, 1)).await.code, 0);
    drop(client);
    let folder = door.close().await.unwrap();
    let tls = crossdock_kit::Tls::off();
    let door = Door::open(folder.path(), common::config(), common::hub_config(), tls).await;
    let mut client = door.broker().await;
    assert_eq!(query(&mut client, "g", 0, Some(false)).await, (0, 3));
    assert_eq!(query(&mut client, "g", 1, Some(false)).await, (0, 1));
}

#[tokio::test]
async fn commits_that_break_a_rule_are_refused_with_their_code() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    for (command, code) in [
        (update("nobody", "T", 0, 1), 26),
        (update("g", "Missing", 0, 1), 17),
        (update("g", "T", 2, 1), 29),
        (update("g", "T", -1, 1), 29),
        (update("g", "T", 0, -1), 29),
        (Command::request(request::UPDATE_CONSUMER_OFFSET), 1),
    ] {
        assert_eq!(client.ask(command).await.code, code);
    }
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    door.hub.reset_position(&group, &topic, 0, 0).await.unwrap();
    let response = client.ask(update("g", "T", 0, 1)).await;
    assert_eq!(response.code, 0);
    assert!(response.remark.unwrap().contains("previously reset"));
    assert_eq!(query(&mut client, "g", 0, None).await, (0, 0));
}

#[tokio::test]
async fn bounds_and_times_of_a_queue() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    let max = |topic, queue| {
        Command::request(request::GET_MAX_OFFSET).with_header(&MaxOffset {
            topic,
            queue_id: queue,
            committed: None,
        })
    };
    let min = |topic, queue| {
        Command::request(request::GET_MIN_OFFSET).with_header(&MinOffset {
            topic,
            queue_id: queue,
        })
    };
    let earliest = |queue| {
        Command::request(request::GET_EARLIEST_MSG_STORETIME).with_header(&EarliestStoreTime {
            topic: "T",
            queue_id: queue,
        })
    };
    for n in 0..3 {
        client.publish("T", 0, &n.to_string(), "").await;
    }
    assert_eq!(offset(&mut client, max("T", 0)).await, 3);
    assert_eq!(offset(&mut client, min("T", 0)).await, 0);
    assert_eq!(offset(&mut client, max("T", 1)).await, 0);
    assert_eq!(offset(&mut client, max("Missing", 0)).await, 0);
    assert_eq!(offset(&mut client, min("T", 77)).await, 0);
    let messages = client.pull("g", "T", 0, 0).await.messages;
    let first = messages[0].head.store_timestamp;
    let response = client.ask(earliest(0)).await;
    assert_eq!(
        StoreTimeResponse::parse(&response.ext).unwrap().timestamp,
        first
    );
    let response = client.ask(earliest(1)).await;
    assert_eq!(
        StoreTimeResponse::parse(&response.ext).unwrap().timestamp,
        -1
    );

    let by_time = |ms, boundary| {
        Command::request(request::SEARCH_OFFSET_BY_TIMESTAMP).with_header(&SearchOffset {
            topic: "T",
            queue_id: 0,
            timestamp: ms,
            boundary_type: boundary,
        })
    };
    let last = messages[2].head.store_timestamp;
    assert_eq!(offset(&mut client, by_time(first, None)).await, 0);
    assert_eq!(offset(&mut client, by_time(last + 1, None)).await, 3);
    assert_eq!(
        offset(&mut client, by_time(last + 1, Some("UPPER"))).await,
        2
    );
    assert_eq!(
        offset(&mut client, by_time(first - 1, Some("LOWER"))).await,
        0
    );
}
