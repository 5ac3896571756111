//! Taking back scheduled messages: what is cancelled is never delivered, and what is delivered was not cancelled.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Node, bodies, eventually, message};
use crossdock_hub::{Durability, Position, Publish, QueueChoice, Topic, key_hash};
use crossdock_store::engine::timer;
use crossdock_store::view::Timer;
use smallvec::smallvec;

const HOUR_MS: i64 = 3_600_000;

async fn schedule(node: &Node, topic: &Arc<Topic>, key: &str, due_ms: i64) -> Position {
    let publish = Publish {
        queue: QueueChoice::Number(0),
        keys: smallvec![key_hash(topic.name.as_str(), key)],
        due_ms: Some(due_ms),
        ..message(topic, "later")
    };
    node.hub.publish_wait(publish).await.unwrap().1[0].position
}

async fn pending(node: &Node, topic: &Topic, key: &str) -> Vec<Position> {
    let found = node.hub.pending_by_key(topic, key, 10).await.unwrap();
    found.iter().map(|m| m.record.position).collect()
}

#[tokio::test]
async fn a_waiting_message_is_found_by_its_key_and_cancelled_once() {
    let node = Node::start().await;
    let (t, other) = (node.topic("T", 1).await, node.topic("O", 1).await);
    let due = node.hub.now_ms() + HOUR_MS;
    let first = schedule(&node, &t, "k", due).await;
    let second = schedule(&node, &t, "k", due + 1).await;
    schedule(&node, &other, "k", due).await;
    assert_eq!(pending(&node, &t, "k").await, [second, first]);
    assert!(pending(&node, &t, "unknown").await.is_empty());
    assert_eq!(node.hub.cancel(first).await, Ok(true));
    assert_eq!(node.hub.cancel(first).await, Ok(false));
    assert_eq!(pending(&node, &t, "k").await, [second]);
    let node = node.restart().await;
    let t = node.hub.topic("T").unwrap();
    assert_eq!(node.hub.cancel(first).await, Ok(false));
    assert_eq!(pending(&node, &t, "k").await, [second]);
    assert_eq!(node.hub.cancel(second).await, Ok(true));
    assert!(pending(&node, &t, "k").await.is_empty());
    assert_eq!(node.store.pending_timers(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_message_that_was_moved_on_in_the_log_is_cancelled_by_its_old_place() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let due = node.hub.now_ms() + HOUR_MS;
    let old = schedule(&node, &t, "k", due).await;
    let scheduled = node.store.read_at(old).await.unwrap();
    let timer = Timer {
        due_ms: due,
        position: old,
        bytes: scheduled.record.bytes,
        target: scheduled.record.target().unwrap(),
    };
    let copy = smallvec![timer::copy(&timer, &scheduled).unwrap()];
    let copied = node.store.append(copy, Durability::Durable).await.unwrap();
    assert_eq!(pending(&node, &t, "k").await, [copied[0].position]);
    assert_eq!(node.hub.cancel(old).await, Ok(true));
    assert_eq!(node.hub.cancel(old).await, Ok(false));
    assert_eq!(node.store.pending_timers(), 0);
    node.stop().await;
}

#[tokio::test]
async fn what_does_not_wait_cannot_be_cancelled() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let publish = Publish {
        queue: QueueChoice::Number(0),
        ..message(&t, "now")
    };
    let at_once = node.hub.publish_wait(publish).await.unwrap().1[0].position;
    assert_eq!(node.hub.cancel(at_once).await, Ok(false));
    assert_eq!(node.hub.cancel(Position(u64::MAX)).await, Ok(false));
    assert_eq!(node.hub.cancel(Position(at_once.0 + 1)).await, Ok(false));
    let fired = schedule(&node, &t, "k", node.hub.now_ms() + 50).await;
    eventually("delivery", || node.hub.bounds(&t, 0).unwrap().max == 2).await;
    assert_eq!(node.hub.cancel(fired).await, Ok(false));
    assert!(pending(&node, &t, "k").await.is_empty());
    assert_eq!(bodies(&node.hub, &t, 0, 0).await.len(), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_that_race_with_the_delivery_tell_the_truth() {
    const MESSAGES: i64 = 400;
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let start = node.hub.now_ms() + 200;
    let mut waiting = BTreeSet::new();
    for n in 0..MESSAGES {
        waiting.insert(schedule(&node, &t, "k", start + n / 4).await);
    }
    let mut cancels = Vec::new();
    for position in waiting.iter().rev().copied() {
        let hub = node.hub.clone();
        let cancel = async move { (position, hub.cancel(position).await.unwrap()) };
        cancels.push(tokio::spawn(async move {
            // Spread over the time in which the messages become due.
            let wait = position.0 % 97;
            tokio::time::sleep(std::time::Duration::from_millis(200 + wait)).await;
            cancel.await
        }));
    }
    let mut cancelled = 0;
    for cancel in cancels {
        let (_, is_cancelled) = cancel.await.unwrap();
        cancelled += u64::from(is_cancelled);
    }
    assert_eq!(node.store.pending_timers(), 0);
    let delivered = node.hub.bounds(&t, 0).unwrap().max;
    assert_eq!(delivered + cancelled, MESSAGES as u64);
    node.stop().await;
}
