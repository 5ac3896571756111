//! Reading with a condition: what is kept, where a reader goes on, and how much one call looks at.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Node, message};
use crossdock_hub::{Message, Publish, ReadLimits, ReadOutcome, ReadStatus, Topic};
use smallvec::smallvec;

const LIMITS: ReadLimits = ReadLimits {
    records: 4,
    bytes: 64 * 1024,
    scanned: 300,
};

async fn send(node: &Node, topic: &Arc<Topic>, body: String) {
    let publish = Publish {
        tail: smallvec![Bytes::from(body)],
        ..message(topic, "")
    };
    node.hub.publish_wait(publish).await.unwrap();
}

/// Messages `0` to `count - 1`.
async fn numbers(node: &Node, topic: &Arc<Topic>, count: u32) {
    for n in 0..count {
        send(node, topic, n.to_string()).await;
    }
}

fn number(message: &Message) -> u64 {
    let text = std::str::from_utf8(&message.record.tail).unwrap();
    text.parse().unwrap()
}

fn found(outcome: &ReadOutcome) -> Vec<u64> {
    outcome.messages.iter().map(number).collect()
}

#[tokio::test]
async fn wanted_messages_come_in_order_until_there_is_no_room() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    numbers(&node, &t, 50).await;
    let wants = |message: &Message| number(message).is_multiple_of(10);
    let read = node.hub.read_where(&t, 0, 1, LIMITS, wants).await.unwrap();
    assert_eq!(found(&read), [10, 20, 30, 40]);
    assert_eq!((read.status, read.next), (ReadStatus::Found, 50));
    // What is wanted next but has no room is where the next call begins.
    let tried = node.hub.try_read_where(&t, 0, 0, LIMITS, wants).unwrap();
    let tried = tried.unwrap();
    assert_eq!((found(&tried), tried.next), (vec![0, 10, 20, 30], 40));
    for (from, status) in [(50, ReadStatus::AtEnd), (51, ReadStatus::TooLarge)] {
        let read = node.hub.read_where(&t, 0, from, LIMITS, wants).await;
        let read = read.unwrap();
        assert_eq!((read.status, read.messages.len()), (status, 0));
    }
    assert!(node.hub.read_where(&t, 1, 0, LIMITS, wants).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn one_call_looks_at_no_more_than_it_may() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    numbers(&node, &t, 400).await;
    let mut looked_at = 0;
    let nothing = |_: &Message| {
        looked_at += 1;
        false
    };
    let read = node.hub.read_where(&t, 0, 0, LIMITS, nothing).await;
    let read = read.unwrap();
    assert_eq!((read.status, read.next), (ReadStatus::NoMatch, 300));
    assert_eq!(looked_at, 300);
    // The rest holds nothing either, and is passed over to the end.
    let read = node.hub.read_where(&t, 0, 300, LIMITS, |_| false).await;
    let read = read.unwrap();
    assert_eq!((read.status, read.next), (ReadStatus::NoMatch, 400));
    // From memory it is one step.
    let tried = node.hub.try_read_where(&t, 0, 0, LIMITS, |_| false);
    let next = tried.unwrap().unwrap().next;
    assert!((1..300).contains(&next), "{next}");
    node.stop().await;
}

#[tokio::test]
async fn bytes_are_bounded_in_what_is_kept_and_in_what_is_looked_at() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    for _ in 0..60 {
        send(&node, &t, "x".repeat(30 * 1024)).await;
    }
    let kept = node.hub.read_where(&t, 0, 0, LIMITS, |_| true).await;
    let kept = kept.unwrap();
    assert_eq!((kept.messages.len(), kept.next), (2, 2));
    let passed = node.hub.read_where(&t, 0, 0, LIMITS, |_| false).await;
    let passed = passed.unwrap();
    assert_eq!(passed.status, ReadStatus::NoMatch);
    assert!((16..=20).contains(&passed.next), "{}", passed.next);
    // A message that is too large for an answer still is one.
    let small = ReadLimits {
        bytes: 1024,
        ..LIMITS
    };
    let one = node
        .hub
        .read_where(&t, 0, 5, small, |_| true)
        .await
        .unwrap();
    assert_eq!((one.messages.len(), one.next), (1, 6));
    node.stop().await;
}

#[tokio::test]
async fn one_text_is_one_filter() {
    let node = Node::start().await;
    let first = node.hub.compile_filter("a > 1").unwrap();
    let second = node.hub.compile_filter("a > 1").unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_ne!(first, node.hub.compile_filter("a > 2").unwrap());
    assert!(node.hub.compile_filter("a >").is_err());
    node.stop().await;
}
