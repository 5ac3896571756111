//! Pulls over raw sockets: the checks, the offset rules, tag filters, long polling.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Client, Door, Pulled, heartbeat, props, pull_header, send_v2, until};
use crossdock_hub::{GroupConfig, Perm, TopicSpec};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};

const INLINE: i32 = pull_flag::SUBSCRIPTION;
const HOLD: i32 = pull_flag::SUSPEND | pull_flag::SUBSCRIPTION;

async fn pull(client: &mut Client, header: &PullMessage<'_>) -> Pulled {
    Pulled::of(client.ask_with(request::PULL_MESSAGE, header).await)
}

fn held(topic: &str, offset: i64, ms: i64) -> PullMessage<'_> {
    PullMessage {
        subscription: Some("*"),
        suspend_timeout_millis: ms,
        ..pull_header("g", topic, 0, offset, HOLD)
    }
}

#[tokio::test]
async fn offsets_outside_the_queue_are_corrected_and_the_end_is_no_fault() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let empty = client.pull("g", "T", 0, 0).await;
    assert_eq!((empty.code, empty.next()), (19, 0));
    let beyond = client.pull("g", "T", 0, 5).await;
    assert_eq!((beyond.code, beyond.next()), (21, 0));
    for n in 0..3 {
        client.publish("T", 0, &n.to_string(), "").await;
    }
    let found = client.pull("g", "T", 0, 1).await;
    assert_eq!((found.code, found.next()), (0, 3));
    assert_eq!(found.bodies(), ["1", "2"]);
    let header = found.header.as_ref().unwrap();
    assert_eq!((header.min_offset, header.max_offset), (0, 3));
    assert_eq!(header.suggest_which_broker_id, 0);
    assert_eq!(found.remark.as_deref(), Some("FOUND"));
    let end = client.pull("g", "T", 0, 3).await;
    assert_eq!((end.code, end.next()), (19, 3));
    let beyond = client.pull("g", "T", 0, 4).await;
    assert_eq!((beyond.code, beyond.next()), (21, 3));
    let below = client.pull("g", "T", 0, -1).await;
    assert_eq!((below.code, below.next()), (21, 0));
}

#[tokio::test]
async fn an_answer_is_bounded_in_messages_and_bytes() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    for n in 0..40 {
        client.publish("T", 0, &n.to_string(), "").await;
    }
    let header = PullMessage {
        max_msg_nums: 1000,
        subscription: Some("*"),
        ..pull_header("g", "T", 0, 0, INLINE)
    };
    assert_eq!(pull(&mut client, &header).await.messages.len(), 32);
    let header = PullMessage {
        max_msg_nums: 3,
        ..header
    };
    assert_eq!(pull(&mut client, &header).await.messages.len(), 3);
    let big = "x".repeat(200 * 1024);
    for _ in 0..3 {
        client.publish("T", 1, &big, "").await;
    }
    assert_eq!(client.pull("g", "T", 1, 0).await.messages.len(), 1);
    let huge = "x".repeat(1024 * 1024);
    client.publish("T", 1, &huge, "").await;
    assert_eq!(
        client.pull("g", "T", 1, 3).await.messages[0].body.len(),
        1024 * 1024
    );
}

#[tokio::test]
async fn pulls_that_break_a_rule_are_refused_with_their_code() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_group("g").await;
    let off = GroupConfig {
        is_enabled: false,
        ..GroupConfig::default()
    };
    door.hub
        .put_group(&"off".parse().unwrap(), off)
        .await
        .unwrap();
    let write_only = TopicSpec {
        perm: Perm::WRITE,
        ..TopicSpec::new("W".parse().unwrap(), 1)
    };
    door.hub.put_topic(write_only).await.unwrap();
    let mut client = door.broker().await;
    let inline = |group, topic, queue, text| PullMessage {
        subscription: Some(text),
        ..pull_header(group, topic, queue, 0, INLINE)
    };
    let sql = PullMessage {
        expression_type: Some("SQL92"),
        ..inline("g", "T", 0, "a > ")
    };
    let cases = [
        (pull_header("nobody", "T", 0, 0, 0), 26),
        (inline("off", "T", 0, "*"), 16),
        (inline("g", "Missing", 0, "*"), 17),
        (inline("g", "W", 0, "*"), 16),
        (inline("g", "T", 1, "*"), 29),
        (inline("g", "T", -1, "*"), 29),
        (inline("g", "T", 0, "||"), 23),
        (sql, 23),
        // The group has no member, so nothing is known of its subscription.
        (pull_header("g", "T", 0, 0, 0), 24),
    ];
    for (header, code) in cases {
        let refused = pull(&mut client, &header).await;
        assert_eq!(refused.code, code, "{:?}", refused.remark);
        assert!(refused.messages.is_empty());
    }
    assert_eq!(
        client
            .ask(Command::request(request::PULL_MESSAGE))
            .await
            .code,
        1
    );
}

#[tokio::test]
async fn the_heartbeats_subscription_filters_and_its_version_counts() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for tag in ["A", "B", "A", "C"] {
        client.publish("T", 0, tag, &props(&[("TAGS", tag)])).await;
    }
    client.publish("T", 0, "none", "").await;
    assert_eq!(
        client.ask(heartbeat("c1", "g", "T", "A||C", 10)).await.code,
        0
    );
    let header = |version| PullMessage {
        sub_version: version,
        ..pull_header("g", "T", 0, 0, 0)
    };
    let found = pull(&mut client, &header(10)).await;
    assert_eq!(found.bodies(), ["A", "A", "C"]);
    // Older is fine, newer has not arrived yet.
    assert_eq!(pull(&mut client, &header(9)).await.code, 0);
    assert_eq!(pull(&mut client, &header(11)).await.code, 25);
    let other = PullMessage {
        sub_version: 10,
        ..pull_header("g", "TBW102", 0, 0, 0)
    };
    assert_eq!(pull(&mut client, &other).await.code, 24);
    // The retry topic is subscribed with everything.
    let retry = PullMessage {
        sub_version: 10,
        ..pull_header("g", "%RETRY%g", 0, 0, 0)
    };
    assert_eq!(pull(&mut client, &retry).await.code, 19);
    assert_eq!(client.ask(heartbeat("c1", "g", "T", "B", 11)).await.code, 0);
    assert_eq!(pull(&mut client, &header(11)).await.bodies(), ["B"]);
}

#[tokio::test]
async fn a_range_that_matches_nothing_is_passed_over() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for _ in 0..5 {
        client.publish("T", 0, "x", &props(&[("TAGS", "A")])).await;
    }
    let header = PullMessage {
        subscription: Some("B"),
        ..pull_header("g", "T", 0, 0, INLINE)
    };
    let passed = pull(&mut client, &header).await;
    assert_eq!((passed.code, passed.next()), (20, 5));
}

#[tokio::test]
async fn a_held_pull_is_answered_by_the_message_it_waits_for() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut consumer = door.broker().await;
    let mut producer = door.broker().await;
    let opaque = consumer
        .send(Command::request(request::PULL_MESSAGE).with_header(&held("T", 0, 15_000)))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    let begun = Instant::now();
    producer.publish("T", 0, "news", "").await;
    let answer = consumer.receive().await.unwrap();
    assert_eq!(answer.opaque, opaque);
    assert_eq!(Pulled::of(answer).bodies(), ["news"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    until("released", || door.running.stats.snapshot().held_pulls == 0).await;
    // Answered once: the next thing to come is the answer to the next question.
    let next = consumer.pull("g", "T", 0, 1).await;
    assert_eq!(next.code, 19);
}

#[tokio::test]
async fn a_held_pull_is_answered_with_nothing_when_its_time_is_up() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let begun = Instant::now();
    let nothing = pull(&mut client, &held("T", 0, 300)).await;
    assert_eq!((nothing.code, nothing.next()), (19, 0));
    assert!(begun.elapsed() >= Duration::from_millis(290));
}

#[tokio::test]
async fn a_held_pull_passes_over_what_it_does_not_want_when_its_time_is_up() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut consumer = door.broker().await;
    let mut producer = door.broker().await;
    let header = PullMessage {
        subscription: Some("B"),
        ..held("T", 0, 1000)
    };
    consumer
        .send(Command::request(request::PULL_MESSAGE).with_header(&header))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    producer
        .publish("T", 0, "a", &props(&[("TAGS", "A")]))
        .await;
    let passed = Pulled::of(consumer.receive().await.unwrap());
    assert_eq!((passed.code, passed.next()), (20, 1));
}

#[tokio::test]
async fn a_held_pull_sleeps_through_messages_its_filter_does_not_want() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut consumer = door.broker().await;
    let mut producer = door.broker().await;
    let header = PullMessage {
        subscription: Some("B"),
        ..held("T", 0, 15_000)
    };
    consumer
        .send(Command::request(request::PULL_MESSAGE).with_header(&header))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    for _ in 0..3 {
        producer
            .publish("T", 0, "a", &props(&[("TAGS", "A")]))
            .await;
    }
    producer
        .publish("T", 0, "b", &props(&[("TAGS", "B")]))
        .await;
    let found = Pulled::of(consumer.receive().await.unwrap());
    assert_eq!((found.bodies(), found.next()), (vec!["b".to_owned()], 4));
}

#[tokio::test]
async fn held_pulls_are_bounded_per_connection_and_go_with_it() {
    let mut config = common::config();
    config.held_pulls_per_connection_max = 2;
    let door = Door::with(config, common::hub_config()).await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for _ in 0..2 {
        client
            .send(Command::request(request::PULL_MESSAGE).with_header(&held("T", 0, 15_000)))
            .await;
    }
    assert_eq!(pull(&mut client, &held("T", 0, 15_000)).await.code, 2);
    assert_eq!(door.running.stats.snapshot().held_pulls, 2);
    drop(client);
    until("released", || door.running.stats.snapshot().held_pulls == 0).await;
}

#[tokio::test]
async fn a_held_pull_ends_with_its_topic_and_holds_up_nobody() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut consumer = door.broker().await;
    consumer
        .send(Command::request(request::PULL_MESSAGE).with_header(&held("T", 0, 15_000)))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    door.hub.delete_topic(&"T".parse().unwrap()).await.unwrap();
    assert_eq!(consumer.receive().await.unwrap().code, 17);
    // A topic of the same name is another topic.
    door.create_topic("T", 1).await;
    consumer.publish("T", 0, "new", "").await;
    assert_eq!(consumer.pull("g", "T", 0, 0).await.bodies(), ["new"]);
}

#[tokio::test]
async fn a_pull_carries_a_commit() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    client.publish("T", 0, "x", "").await;
    let header = PullMessage {
        subscription: Some("*"),
        commit_offset: 1,
        ..pull_header("g", "T", 0, 0, INLINE | pull_flag::COMMIT_OFFSET)
    };
    assert_eq!(pull(&mut client, &header).await.code, 0);
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    assert_eq!(door.hub.position(&group, &topic, 0).unwrap(), Some(1));
}

#[tokio::test]
async fn a_reset_from_outside_is_told_once_and_wins_over_commits() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    for n in 0..5 {
        client.publish("T", 0, &n.to_string(), "").await;
    }
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    door.hub.reset_position(&group, &topic, 0, 2).await.unwrap();
    let header = PullMessage {
        subscription: Some("*"),
        commit_offset: 4,
        ..pull_header("g", "T", 0, 4, INLINE | pull_flag::COMMIT_OFFSET)
    };
    let reset = pull(&mut client, &header).await;
    assert_eq!((reset.code, reset.next()), (21, 2));
    assert_eq!(door.hub.position(&group, &topic, 0).unwrap(), Some(2));
    assert_eq!(client.pull("g", "T", 0, 2).await.bodies(), ["2", "3", "4"]);
}

#[tokio::test]
async fn lite_pull_is_a_pull() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.publish("T", 0, "x", "").await;
    let header = PullMessage {
        subscription: Some("*"),
        ..pull_header("g", "T", 0, 0, INLINE | pull_flag::LITE_PULL)
    };
    let response = client.ask_with(request::LITE_PULL_MESSAGE, &header).await;
    assert_eq!(Pulled::of(response).bodies(), ["x"]);
}

#[tokio::test]
async fn one_client_can_hold_many_pulls_and_still_send() {
    let door = Door::start().await;
    door.create_topic("T", 64).await;
    let mut client = door.broker().await;
    for queue in 0..64 {
        let header = PullMessage {
            queue_id: queue,
            ..held("T", 0, 15_000)
        };
        client
            .send(Command::request(request::PULL_MESSAGE).with_header(&header))
            .await;
    }
    until("held", || door.running.stats.snapshot().held_pulls == 64).await;
    let sent = client.send(send_v2("T", 63, "x", "")).await;
    let (mut stored, mut delivered) = (false, false);
    while !(stored && delivered) {
        let received = client.receive().await.unwrap();
        if received.opaque == sent {
            stored = true;
        } else {
            assert_eq!(Pulled::of(received).bodies(), ["x"]);
            delivered = true;
        }
    }
}
