//! Consumption by lease, through the hub and over restarts.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{DEADLINE, Node, eventually};
use crossdock_hub::{
    Acquire, Delivered, Group, GroupConfig, HubError, LeaseError, LeaseTerm, Message, StartAt,
    TagFilter, Topic,
};
use tokio::time::Instant;

const MINUTE: LeaseTerm = LeaseTerm::For(Duration::from_secs(60));

fn all(_: &Message) -> bool {
    true
}

fn wanted<'a>(group: &'a Group, topic: &'a Arc<Topic>, term: LeaseTerm) -> Acquire<'a> {
    Acquire {
        group,
        topic,
        queues: &[],
        filter: &TagFilter::All,
        accept: &all,
        max: 10,
        bytes: 1 << 20,
        term,
        is_ordered: group.config.is_ordered,
        start: StartAt::First,
    }
}

fn bodies(delivered: &[Delivered]) -> Vec<String> {
    let body = |d: &Delivered| String::from_utf8(d.message.record.tail.to_vec()).unwrap();
    delivered.iter().map(body).collect()
}

fn settle(node: &Node, group: &Group, topic: &Topic, d: &Delivered) -> Result<(), HubError> {
    node.hub
        .settle(group, topic, d.queue, d.message.offset, Some(d.attempt))
}

#[tokio::test]
async fn a_message_is_given_to_one_caller_and_settling_moves_the_position() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for body in ["a", "b", "c"] {
        node.send(&t, body).await;
    }
    let first = Acquire {
        max: 2,
        ..wanted(&g, &t, MINUTE)
    };
    let given = node.hub.acquire(&first).await.unwrap();
    assert_eq!(bodies(&given), ["a", "b"]);
    let rest = node.hub.acquire(&first).await.unwrap();
    assert_eq!(bodies(&rest), ["c"]);
    assert!(node.hub.acquire(&first).await.unwrap().is_empty());
    assert_eq!(node.hub.outstanding(&g, &t, 0).unwrap(), 3);

    settle(&node, &g, &t, &given[1]).unwrap();
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(0));
    settle(&node, &g, &t, &given[0]).unwrap();
    settle(&node, &g, &t, &given[0]).unwrap();
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(2));
    let written = || node.store.group_position(g.id, t.queue(0).unwrap()) == Some(2);
    eventually("the position is written", written).await;
    node.stop().await;
}

#[tokio::test]
async fn a_released_message_is_given_again_first_and_late_answers_are_refused() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.send(&t, "a").await;
    let want = wanted(&g, &t, MINUTE);
    let given = node.hub.acquire(&want).await.unwrap().remove(0);
    node.send(&t, "b").await;
    let now = LeaseTerm::For(Duration::ZERO);
    node.hub.renew(&g, &t, 0, 0, Some(1), now).unwrap();
    let again = node.hub.acquire(&want).await.unwrap();
    assert_eq!(bodies(&again), ["a", "b"]);
    assert_eq!((again[0].attempt, again[1].attempt), (2, 1));
    assert_eq!(
        settle(&node, &g, &t, &given),
        Err(HubError::Lease(LeaseError::Stale))
    );
    settle(&node, &g, &t, &again[0]).unwrap();
    let never = node.hub.settle(&g, &t, 0, 7, None);
    assert_eq!(never, Err(HubError::Lease(LeaseError::Unknown)));
    node.stop().await;
}

#[tokio::test]
async fn who_waits_is_woken_by_a_message_a_release_and_the_end_of_a_lease() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 4).await, node.group("g").await);
    let short = LeaseTerm::For(Duration::from_millis(50));
    let wait = |term| {
        let (hub, t, g) = (node.hub.clone(), Arc::clone(&t), Arc::clone(&g));
        tokio::spawn(async move {
            let deadline = Instant::now() + DEADLINE;
            hub.acquire_wait(&wanted(&g, &t, term), deadline).await
        })
    };
    let waiting = wait(MINUTE);
    eventually("it waits", || node.hub.waiting(g.id, t.id).unwrap() == 1).await;
    node.send(&t, "a").await;
    let given = waiting.await.unwrap().unwrap();
    assert_eq!(bodies(&given), ["a"]);

    let waiting = wait(short);
    eventually("it waits", || node.hub.waiting(g.id, t.id).unwrap() == 1).await;
    let now = LeaseTerm::For(Duration::ZERO);
    node.hub.renew(&g, &t, 0, 0, None, now).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap()[0].attempt, 2);

    let given = wait(MINUTE).await.unwrap().unwrap();
    assert_eq!(given[0].attempt, 3, "the short lease has ended");
    let past = Instant::now();
    let none = node.hub.acquire_wait(&wanted(&g, &t, MINUTE), past).await;
    assert!(none.unwrap().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_queue_of_an_ordered_group_is_held_until_everything_given_is_settled() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let config = GroupConfig {
        is_ordered: true,
        ..GroupConfig::default()
    };
    let g = node
        .hub
        .put_group(&common::group("g"), config)
        .await
        .unwrap();
    for body in ["a", "b", "c"] {
        node.send(&t, body).await;
    }
    let two = Acquire {
        max: 2,
        ..wanted(&g, &t, MINUTE)
    };
    let given = node.hub.acquire(&two).await.unwrap();
    assert_eq!(bodies(&given), ["a", "b"]);
    settle(&node, &g, &t, &given[0]).unwrap();
    assert!(node.hub.acquire(&two).await.unwrap().is_empty());
    let waiting = {
        let (hub, t, g) = (node.hub.clone(), Arc::clone(&t), Arc::clone(&g));
        tokio::spawn(async move {
            let want = wanted(&g, &t, MINUTE);
            hub.acquire_wait(&want, Instant::now() + DEADLINE).await
        })
    };
    eventually("it waits", || node.hub.waiting(g.id, t.id).unwrap() == 1).await;
    settle(&node, &g, &t, &given[1]).unwrap();
    assert_eq!(bodies(&waiting.await.unwrap().unwrap()), ["c"]);
    node.stop().await;
}

#[tokio::test]
async fn what_an_owner_had_comes_back_when_it_goes() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 2).await, node.group("g").await);
    node.send(&t, "a").await;
    let (one, other) = (node.hub.new_owner(), node.hub.new_owner());
    let want = wanted(&g, &t, LeaseTerm::Owned(one));
    assert_eq!(bodies(&node.hub.acquire(&want).await.unwrap()), ["a"]);
    let want = wanted(&g, &t, LeaseTerm::Owned(other));
    assert!(node.hub.acquire(&want).await.unwrap().is_empty());
    assert_eq!(node.hub.drop_owner(&g, other), 0);
    assert_eq!(node.hub.drop_owner(&g, one), 1);
    let again = node.hub.acquire(&want).await.unwrap();
    assert_eq!((bodies(&again), again[0].attempt), (vec!["a".into()], 2));
    node.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_what_is_settled_and_takes_answers_to_earlier_deliveries() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for body in ["a", "b", "c"] {
        node.send(&t, body).await;
    }
    let given = node.hub.acquire(&wanted(&g, &t, MINUTE)).await.unwrap();
    settle(&node, &g, &t, &given[1]).unwrap();
    let node = node.restart().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    settle(&node, &g, &t, &given[0]).unwrap();
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(2));
    let want = wanted(&g, &t, MINUTE);
    let none = node.hub.acquire(&want).await.unwrap();
    assert!(none.is_empty(), "the lease was written with the answer");
    let now = LeaseTerm::For(Duration::ZERO);
    node.hub.renew(&g, &t, 0, 2, Some(1), now).unwrap();
    let again = node.hub.acquire(&want).await.unwrap();
    assert_eq!((bodies(&again), again[0].attempt), (vec!["c".into()], 2));
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_wanted_is_passed_over() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for body in ["a", "b", "c", "d"] {
        node.send(&t, body).await;
    }
    let even = |message: &Message| message.offset % 2 == 0;
    let want = Acquire {
        accept: &even,
        ..wanted(&g, &t, MINUTE)
    };
    let given = node.hub.acquire(&want).await.unwrap();
    assert_eq!(bodies(&given), ["a", "c"]);
    for delivered in &given {
        settle(&node, &g, &t, delivered).unwrap();
    }
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(4));
    node.stop().await;
}

#[tokio::test]
async fn a_position_moved_from_outside_is_where_the_group_goes_on() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for body in ["a", "b", "c"] {
        node.send(&t, body).await;
    }
    let want = wanted(&g, &t, MINUTE);
    node.hub.commit(&g, &t, 0, 1).unwrap();
    assert_eq!(bodies(&node.hub.acquire(&want).await.unwrap()), ["b", "c"]);
    node.hub.reset_position(&g, &t, 0, 0).await.unwrap();
    assert_eq!(node.hub.take_reset(&g, &t, 0), Some(0));
    let again = node.hub.acquire(&want).await.unwrap();
    assert_eq!(bodies(&again), ["a", "b", "c"]);
    node.hub.commit_durable(&g, &t, 0, 2).await.unwrap();
    assert_eq!(node.hub.outstanding(&g, &t, 0).unwrap(), 1);
    let node = node.restart().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(2));
    node.stop().await;
}

#[tokio::test]
async fn a_new_group_may_begin_with_what_comes_next_and_keeps_that_place() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.send(&t, "old").await;
    let want = Acquire {
        start: StartAt::Next,
        ..wanted(&g, &t, MINUTE)
    };
    assert!(node.hub.acquire(&want).await.unwrap().is_empty());
    let node = node.restart().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.send(&t, "new").await;
    let want = wanted(&g, &t, MINUTE);
    assert_eq!(bodies(&node.hub.acquire(&want).await.unwrap()), ["new"]);
    node.stop().await;
}

#[tokio::test]
async fn nothing_of_a_deleted_group_or_topic_is_left() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.send(&t, "a").await;
    let given = node.hub.acquire(&wanted(&g, &t, MINUTE)).await.unwrap();
    assert!(node.hub.delete_topic(&t.name).await.unwrap());
    assert!(settle(&node, &g, &t, &given[0]).is_err());
    assert!(node.hub.acquire(&wanted(&g, &t, MINUTE)).await.is_err());
    node.stop().await;
}
