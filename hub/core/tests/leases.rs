//! Consumption by lease, through the hub and over restarts.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Client, DEADLINE, Node, eventually};
use crossdock_hub::{
    Acquire, ConsumeKind, ConsumeModel, Delivered, Group, GroupConfig, Heartbeat, HubError,
    LeaseError, LeaseTerm, Message, Part, QueueChoice, StartAt, TagFilter, Topic,
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
        attempt_id: None,
        part: None,
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
    let even = |message: &Message| message.offset.is_multiple_of(2);
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
    let again = node.hub.acquire(&want).await.unwrap();
    assert_eq!(bodies(&again), ["a", "b", "c"]);
    assert_eq!(node.hub.take_reset(&g, &t, 0), None);
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

async fn ordered(node: &Node) -> Arc<Group> {
    let config = GroupConfig {
        is_ordered: true,
        ..GroupConfig::default()
    };
    let name = common::group("g");
    node.hub.put_group(&name, config).await.unwrap()
}

#[tokio::test]
async fn an_attempt_that_is_repeated_is_given_the_same_again_and_another_is_not() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, ordered(&node).await);
    for body in ["a", "b", "c"] {
        node.send(&t, body).await;
    }
    let attempt = |id| Acquire {
        max: 2,
        attempt_id: id,
        ..wanted(&g, &t, MINUTE)
    };
    let given = node.hub.acquire(&attempt(Some("one"))).await.unwrap();
    assert_eq!(bodies(&given), ["a", "b"]);
    for other in [None, Some("two")] {
        assert!(node.hub.acquire(&attempt(other)).await.unwrap().is_empty());
    }
    let again = node.hub.acquire(&attempt(Some("one"))).await.unwrap();
    assert_eq!(bodies(&again), ["a", "b"]);
    assert_eq!((again[0].attempt, again[1].attempt), (1, 1));
    settle(&node, &g, &t, &given[0]).unwrap();
    let rest = node.hub.acquire(&attempt(Some("one"))).await.unwrap();
    assert_eq!(bodies(&rest), ["b", "c"]);
    let long = "x".repeat(2000);
    assert!(node.hub.acquire(&attempt(Some(&long))).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn what_is_taken_back_counts_as_never_given() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 2).await, node.group("g").await);
    for body in ["a", "b"] {
        node.send(&t, body).await;
    }
    let want = wanted(&g, &t, MINUTE);
    let given = node.hub.acquire(&want).await.unwrap();
    settle(&node, &g, &t, &given[1]).unwrap();
    node.hub.take_back(&g, &t, &given);
    let unknown = node.hub.settle(&g, &t, 0, 0, None);
    assert_eq!(unknown, Err(HubError::Lease(LeaseError::Unknown)));
    let again = node.hub.acquire(&want).await.unwrap();
    assert_eq!((bodies(&again), again[0].attempt), (vec!["a".into()], 1));
    node.stop().await;
}

/// The part of a message is its first byte.
fn first_byte(message: &Message) -> u64 {
    message.record.tail.first().copied().unwrap_or(0).into()
}

fn part<'a>(group: &'a Group, topic: &'a Arc<Topic>, wanted_part: u8) -> Acquire<'a> {
    Acquire {
        part: Some(Part {
            of: &first_byte,
            wanted: wanted_part.into(),
        }),
        ..wanted(group, topic, MINUTE)
    }
}

#[tokio::test]
async fn parts_of_a_topic_stay_for_those_who_ask_for_them() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for body in ["x1", "y1", "x2", "y2"] {
        node.send(&t, body).await;
    }
    let given = node.hub.acquire(&part(&g, &t, b'x')).await.unwrap();
    assert_eq!(bodies(&given), ["x1", "x2"]);
    assert!(
        node.hub
            .acquire(&part(&g, &t, b'x'))
            .await
            .unwrap()
            .is_empty()
    );
    // What was set aside was given to nobody, so nobody can settle it.
    let early = node.hub.settle(&g, &t, 0, 1, None);
    assert_eq!(early, Err(HubError::Lease(LeaseError::Unknown)));
    let others = node.hub.acquire(&part(&g, &t, b'y')).await.unwrap();
    assert_eq!(bodies(&others), ["y1", "y2"]);
    assert!(others.iter().all(|d| d.attempt == 1));
    for delivered in given.iter().chain(&others[..1]) {
        settle(&node, &g, &t, delivered).unwrap();
    }
    // Given again, it is somebody else's once more.
    let now = LeaseTerm::For(Duration::ZERO);
    node.hub.renew(&g, &t, 0, 3, Some(1), now).unwrap();
    assert!(
        node.hub
            .acquire(&part(&g, &t, b'x'))
            .await
            .unwrap()
            .is_empty()
    );
    let again = node.hub.acquire(&part(&g, &t, b'y')).await.unwrap();
    assert_eq!((bodies(&again), again[0].attempt), (vec!["y2".into()], 2));
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(3));
    node.stop().await;
}

#[tokio::test]
async fn what_was_set_aside_is_found_after_a_restart() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for body in ["y1", "x1"] {
        node.send(&t, body).await;
    }
    let given = node.hub.acquire(&part(&g, &t, b'x')).await.unwrap();
    settle(&node, &g, &t, &given[0]).unwrap();
    let node = node.restart().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    let others = node.hub.acquire(&part(&g, &t, b'y')).await.unwrap();
    assert_eq!((bodies(&others), others[0].attempt), (vec!["y1".into()], 1));
    node.stop().await;
}

#[tokio::test]
async fn who_waits_for_a_part_is_woken_when_somebody_sets_it_aside() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    let wait = |of: u8| {
        let (hub, t, g) = (node.hub.clone(), Arc::clone(&t), Arc::clone(&g));
        tokio::spawn(async move {
            hub.acquire_wait(&part(&g, &t, of), Instant::now() + DEADLINE)
                .await
        })
    };
    let (x, y) = (wait(b'x'), wait(b'y'));
    eventually("both wait", || node.hub.waiting(g.id, t.id).unwrap() == 2).await;
    node.send(&t, "y").await;
    assert_eq!(bodies(&y.await.unwrap().unwrap()), ["y"]);
    node.send(&t, "x").await;
    assert_eq!(bodies(&x.await.unwrap().unwrap()), ["x"]);
    node.stop().await;
}

fn beat(client: &Client, kind: ConsumeKind) -> Heartbeat {
    Heartbeat {
        kind,
        ..client.heartbeat(&[("T", "*", 1)])
    }
}

async fn send_to_each(node: &Node, topic: &Arc<Topic>, queues: u32) {
    for queue in 0..queues {
        let publish = crossdock_hub::Publish {
            queue: QueueChoice::Number(queue),
            ..common::message(topic, "m")
        };
        node.hub.publish_wait(publish).await.unwrap();
    }
}

fn queues(delivered: &[Delivered]) -> Vec<u32> {
    let mut queues: Vec<u32> = delivered.iter().map(|d| d.queue).collect();
    queues.sort_unstable();
    queues
}

#[tokio::test]
async fn queues_that_a_member_reads_are_not_leased_and_the_others_are() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 4).await, node.group("g").await);
    let (reader, leaser) = (
        Client::connect(&node.hub, "a"),
        Client::connect(&node.hub, "b"),
    );
    let name = common::group("g");
    let join = async |client: &Client, kind| {
        node.hub.heartbeat(&name, beat(client, kind)).await.unwrap();
    };
    join(&reader, ConsumeKind::Passively).await;
    join(&leaser, ConsumeKind::Leased).await;
    send_to_each(&node, &t, 4).await;
    // By name the reader is first: its share of four queues among two clients is the first half.
    let want = wanted(&g, &t, MINUTE);
    let given = node.hub.acquire(&want).await.unwrap();
    assert_eq!(queues(&given), [2, 3]);
    let named = Acquire {
        queues: &[1],
        ..wanted(&g, &t, MINUTE)
    };
    assert!(node.hub.acquire(&named).await.unwrap().is_empty());
    assert!(!node.hub.is_available(&want).unwrap());

    // It goes, and who waits is given what was its share.
    let waiting = {
        let (hub, t, g) = (node.hub.clone(), Arc::clone(&t), Arc::clone(&g));
        tokio::spawn(async move {
            let want = wanted(&g, &t, MINUTE);
            hub.acquire_wait(&want, Instant::now() + DEADLINE).await
        })
    };
    eventually("it waits", || node.hub.waiting(g.id, t.id).unwrap() == 1).await;
    reader.channel.close();
    node.hub.connection_closed(reader.member.connection);
    assert_eq!(queues(&waiting.await.unwrap().unwrap()), [0, 1]);
    node.stop().await;
}

#[tokio::test]
async fn a_member_is_what_its_door_saw_it_do() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 2).await, node.group("g").await);
    let name = common::group("g");
    let (one, two) = (
        Client::connect(&node.hub, "a"),
        Client::connect(&node.hub, "b"),
    );
    for client in [&one, &two] {
        let beat = beat(client, ConsumeKind::Passively);
        node.hub.heartbeat(&name, beat).await.unwrap();
    }
    send_to_each(&node, &t, 2).await;
    let want = wanted(&g, &t, LeaseTerm::For(Duration::ZERO));
    assert!(node.hub.acquire(&want).await.unwrap().is_empty());
    let mark = |client: &Client, leases| {
        let connection = client.member.connection;
        node.hub.mark_leasing(&g, connection, None, &t, leases);
    };
    mark(&two, true);
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [1]);
    // A heartbeat does not make it forget.
    let beat_again = beat(&two, ConsumeKind::Passively);
    node.hub.heartbeat(&name, beat_again).await.unwrap();
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [1]);
    mark(&one, true);
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [0, 1]);
    mark(&two, false);
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [0]);
    // What was told counts more than what seems to be.
    node.hub.presume_leasing(&g, two.member.connection, &t);
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [0]);
    let third = Client::connect(&node.hub, "0");
    let beat_third = beat(&third, ConsumeKind::Passively);
    node.hub.heartbeat(&name, beat_third).await.unwrap();
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [1]);
    node.hub.presume_leasing(&g, third.member.connection, &t);
    assert_eq!(queues(&node.hub.acquire(&want).await.unwrap()), [0, 1]);
    node.stop().await;
}

#[tokio::test]
async fn members_that_broadcast_read_for_themselves() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    let client = Client::connect(&node.hub, "a");
    let beat = Heartbeat {
        model: ConsumeModel::Broadcasting,
        ..beat(&client, ConsumeKind::Passively)
    };
    node.hub.heartbeat(&common::group("g"), beat).await.unwrap();
    node.send(&t, "m").await;
    let given = node.hub.acquire(&wanted(&g, &t, MINUTE)).await.unwrap();
    assert_eq!(queues(&given), [0]);
    node.stop().await;
}

/// Readers and leasing members of one group, with one reader leaving and coming back: nothing is lost, and what is given
/// twice is what was under way at a change.
#[tokio::test]
async fn both_kinds_of_members_share_a_topic_without_loss_or_steady_duplicates() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 4).await, node.group("g").await);
    let name = common::group("g");
    let (reader, leaser) = (
        Client::connect(&node.hub, "r"),
        Client::connect(&node.hub, "l"),
    );
    node.hub
        .heartbeat(&name, beat(&reader, ConsumeKind::Passively))
        .await
        .unwrap();
    node.hub
        .heartbeat(&name, beat(&leaser, ConsumeKind::Leased))
        .await
        .unwrap();
    let want = wanted(&g, &t, MINUTE);
    let mut seen: std::collections::BTreeMap<(u32, u64), usize> = Default::default();
    // "l" comes before "r": the reader has the second half.
    let read = async |seen: &mut std::collections::BTreeMap<(u32, u64), usize>| {
        for queue in 2..4 {
            let from = node.hub.position(&g, &t, queue).unwrap().unwrap_or(0);
            let all = TagFilter::All;
            let outcome = node
                .hub
                .read(&t, queue, from, common::LIMITS, &all)
                .await
                .unwrap();
            for message in &outcome.messages {
                *seen.entry((queue, message.offset)).or_default() += 1;
            }
            node.hub.commit(&g, &t, queue, outcome.next).unwrap();
        }
    };
    let lease = async |seen: &mut std::collections::BTreeMap<(u32, u64), usize>| {
        let given = node.hub.acquire(&want).await.unwrap();
        for delivered in &given {
            *seen
                .entry((delivered.queue, delivered.message.offset))
                .or_default() += 1;
            settle(&node, &g, &t, delivered).unwrap();
        }
    };
    for round in 0..6 {
        send_to_each(&node, &t, 4).await;
        match round {
            2 => node.hub.leave_group("g", reader.member.connection, "r"),
            4 => {
                let beat = beat(&reader, ConsumeKind::Passively);
                node.hub.heartbeat(&name, beat).await.unwrap();
            }
            _ => {}
        }
        if !(2..4).contains(&round) {
            read(&mut seen).await;
        }
        lease(&mut seen).await;
    }
    assert_eq!(seen.len(), 24);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    node.stop().await;
}
