//! Retries over raw sockets: messages sent back, and those clients publish to their retry topic.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, Message, Sent, heartbeat, props, send_header, until};
use crossdock_hub::GroupConfig;
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::body::MessageQueue;
use crossdock_proto_remoting::body::lock::LockBatch;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::send::{SendBack, SendMessage};

async fn start() -> Door {
    let mut hub = common::hub_config();
    hub.delay_levels = "1s 1s 1s 1s".parse().unwrap();
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 1).await;
    door
}

fn back(offset: i64, level: i32, max: Option<i32>) -> SendBack<'static> {
    SendBack {
        offset,
        group: "g",
        delay_level: level,
        origin_msg_id: None,
        origin_topic: Some("T"),
        unit_mode: Some(false),
        max_reconsume_times: max,
    }
}

async fn arrived(door: &Door, client: &mut Client, topic: &str, offset: u64) -> Message {
    until("arrival", || {
        let topic = door.hub.topic(topic);
        topic.is_some_and(|topic| door.hub.bounds(&topic, 0).unwrap().max > offset)
    })
    .await;
    let pulled = client.pull("g", topic, 0, offset as i64).await;
    pulled.messages[0].clone()
}

#[tokio::test]
async fn a_message_sent_back_comes_again_and_in_the_end_is_dead() {
    let door = start().await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    // Both bodies that are copied and bodies that are referred to.
    for size in [5, 4000] {
        let body = "b".repeat(size);
        let first = door
            .hub
            .topic("%RETRY%g")
            .map_or(0, |t| door.hub.bounds(&t, 0).unwrap().max);
        let text = props(&[
            ("TAGS", "A"),
            ("KEYS", "k"),
            ("UNIQ_KEY", "U"),
            ("own", "x"),
        ]);
        let sent = client.publish("T", 0, &body, &text).await;
        let mut position = sent.position();
        for attempt in 1..=2u64 {
            let header = back(position, 0, Some(2));
            let response = client
                .ask_with(request::CONSUMER_SEND_MSG_BACK, &header)
                .await;
            assert_eq!(response.code, 0, "{:?}", response.remark);
            let again = arrived(&door, &mut client, "%RETRY%g", first + attempt - 1).await;
            assert_eq!(again.topic, "%RETRY%g");
            assert_eq!(again.body, body.as_bytes());
            assert_eq!(again.head.reconsume_times as u64, attempt);
            assert_eq!(again.head.flag, 7);
            assert_eq!(again.head.born_timestamp, 1_700_000_000_000);
            assert_eq!(again.head.born_host, client.local);
            let level = (2 + attempt).to_string();
            for (name, value) in [
                ("RETRY_TOPIC", "T"),
                ("ORIGIN_MESSAGE_ID", sent.msg_id.as_str()),
                ("DELAY", level.as_str()),
                ("REAL_TOPIC", "%RETRY%g"),
                ("UNIQ_KEY", "U"),
                ("own", "x"),
            ] {
                assert_eq!(
                    again.property(name),
                    Some(value),
                    "{name} of attempt {attempt}"
                );
            }
            position = again.head.physical_offset;
        }
        let dead_before = door
            .hub
            .topic("%DLQ%g")
            .map_or(0, |t| door.hub.bounds(&t, 0).unwrap().max);
        let response = client
            .ask_with(request::CONSUMER_SEND_MSG_BACK, &back(position, 0, Some(2)))
            .await;
        assert_eq!(response.code, 0);
        let dead = arrived(&door, &mut client, "%DLQ%g", dead_before).await;
        assert_eq!(
            (dead.topic.as_str(), &dead.body[..]),
            ("%DLQ%g", body.as_bytes())
        );
        assert_eq!(dead.head.reconsume_times, 3);
        assert_eq!(
            (dead.property("DELAY"), dead.property("RETRY_TOPIC")),
            (None, Some("T"))
        );
    }
}

#[tokio::test]
async fn a_negative_level_is_the_end_at_once() {
    let door = start().await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    let sent = client.publish("T", 0, "x", "").await;
    let header = back(sent.position(), -1, None);
    assert_eq!(
        client
            .ask_with(request::CONSUMER_SEND_MSG_BACK, &header)
            .await
            .code,
        0
    );
    assert_eq!(arrived(&door, &mut client, "%DLQ%g", 0).await.body, b"x");
}

#[tokio::test]
async fn what_cannot_be_sent_back_is_refused_with_its_code() {
    let door = start().await;
    let mut client = door.broker().await;
    let sent = client.publish("T", 0, "x", "").await;
    let header = back(sent.position(), 0, None);
    assert_eq!(
        client
            .ask_with(request::CONSUMER_SEND_MSG_BACK, &header)
            .await
            .code,
        26
    );
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    for offset in [-1, sent.position() + 8, i64::MAX] {
        let header = back(offset, 0, None);
        assert_eq!(
            client
                .ask_with(request::CONSUMER_SEND_MSG_BACK, &header)
                .await
                .code,
            1
        );
    }
    let none = GroupConfig {
        retry_queues: 0,
        ..GroupConfig::default()
    };
    door.hub
        .put_group(&"g".parse().unwrap(), none)
        .await
        .unwrap();
    let before = door.hub.log_bounds().1;
    let header = back(sent.position(), 0, None);
    assert_eq!(
        client
            .ask_with(request::CONSUMER_SEND_MSG_BACK, &header)
            .await
            .code,
        0
    );
    assert_eq!(door.hub.log_bounds().1, before);
}

fn retry<'a>(properties: &'a str, times: i32, max: Option<i32>) -> SendMessage<'a> {
    SendMessage {
        reconsume_times: Some(times),
        max_reconsume_times: max,
        ..send_header("%RETRY%g", 0, properties)
    }
}

#[tokio::test]
async fn a_retry_the_client_publishes_is_delayed_until_it_was_tried_too_often() {
    let door = start().await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    let text = props(&[("RETRY_TOPIC", "T"), ("DELAY", "1")]);
    let command = |header: &SendMessage<'_>| {
        Command::request(request::SEND_MESSAGE_V2)
            .with_header(header)
            .with_body("again")
    };
    let response = client.ask(command(&retry(&text, 2, Some(2)))).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    assert!(Sent::of(&response).region.is_some());
    let again = arrived(&door, &mut client, "%RETRY%g", 0).await;
    assert_eq!(
        (&again.body[..], again.head.reconsume_times),
        (&b"again"[..], 2)
    );
    let response = client.ask(command(&retry(&text, 3, Some(2)))).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    let dead = arrived(&door, &mut client, "%DLQ%g", 0).await;
    assert_eq!(
        (dead.topic.as_str(), dead.property("DELAY")),
        ("%DLQ%g", None)
    );
}

#[tokio::test]
async fn retries_of_a_group_that_consumes_in_order_are_dead_at_once() {
    let door = start().await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    let batch = LockBatch {
        client_id: "c1".to_owned(),
        consumer_group: "g".to_owned(),
        mq_set: vec![MessageQueue {
            broker_name: "node-a".to_owned(),
            queue_id: 0,
            topic: "T".to_owned(),
        }],
        only_this_broker: false,
    };
    let body = crossdock_proto_remoting::body::write(&batch).unwrap();
    client
        .ask(Command::request(request::LOCK_BATCH_MQ).with_body(body))
        .await;
    let command = Command::request(request::SEND_MESSAGE_V2)
        .with_header(&retry("", 1, Some(16)))
        .with_body("x");
    assert_eq!(client.ask(command).await.code, 0);
    assert_eq!(arrived(&door, &mut client, "%DLQ%g", 0).await.body, b"x");
}
