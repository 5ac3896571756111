//! Publishing and reading over a real store.

mod common;

use common::{LIMITS, Node, bodies, eventually, message};
use crossdock_hub::{
    Bounds, Done, Durability, ErrorKind, HubConfig, Perm, Publish, QueueChoice, ReadStatus,
    Subscription, TagFilter, TopicSpec, key_hash, tag_hash,
};
use crossdock_store::options::Options;
use smallvec::smallvec;

#[tokio::test]
async fn what_is_published_is_read_in_order() {
    let node = Node::start().await;
    let t = node.topic("T", 2).await;
    for (offset, body) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(node.send(&t, body).await, offset as u64);
    }
    assert_eq!(bodies(&node.hub, &t, 0, 1).await, ["b", "c"]);
    assert_eq!(node.hub.bounds(&t, 0).unwrap(), Bounds { min: 0, max: 3 });
    assert_eq!(node.hub.bounds(&t, 1).unwrap(), Bounds { min: 0, max: 0 });
    assert!(node.hub.bounds(&t, 2).is_err());
    let node = node.restart().await;
    let t = node.hub.topic("T").unwrap();
    assert_eq!(bodies(&node.hub, &t, 0, 0).await, ["a", "b", "c"]);
    node.stop().await;
}

#[tokio::test]
async fn messages_for_any_queue_take_turns() {
    let node = Node::start().await;
    let t = node.topic("T", 4).await;
    for _ in 0..8 {
        node.hub.publish_wait(message(&t, "x")).await.unwrap();
    }
    for queue in 0..4 {
        assert_eq!(node.hub.bounds(&t, queue).unwrap().max, 2);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_batch_takes_neighbouring_offsets() {
    let node = Node::start().await;
    let t = node.topic("T", 2).await;
    let batch = ["a", "b", "c"].map(|body| Publish {
        queue: QueueChoice::Number(1),
        ..message(&t, body)
    });
    let ready = node.hub.prepare_batch(batch).unwrap();
    assert_eq!(ready.queues(), [1, 1, 1]);
    let receipt = node.hub.submit_wait(ready).await.unwrap();
    let offsets: Vec<u64> = receipt.iter().map(|placed| placed.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(bodies(&node.hub, &t, 1, 0).await, ["a", "b", "c"]);
    let none = node.hub.prepare_batch([]);
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
    node.stop().await;
}

#[tokio::test]
async fn a_full_log_gives_back_what_it_has_no_room_for() {
    let narrow = Options {
        inbox_bytes: 1,
        ..Options::default()
    };
    let node = Node::on(HubConfig::default(), narrow).await;
    let t = node.topic("T", 1).await;
    let ready = || node.hub.prepare(message(&t, "x")).unwrap();
    assert!(node.hub.submit(ready(), Done::Ignore).is_ok());
    let unsent = node.hub.submit(ready(), Done::Ignore).unwrap_err();
    assert!(unsent.wants_room());
    assert_eq!((unsent.ready.count(), unsent.ready.queues()), (1, &[0][..]));
    assert!(matches!(unsent.done, Done::Ignore));
    node.hub.drive();
    node.hub.room(unsent.ready.bytes()).await;
    let receipt = node.hub.submit_wait(unsent.ready).await.unwrap();
    assert_eq!(receipt[0].offset, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_subscription_passes_its_tags_only_and_makes_progress() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    for (tag, body) in [("a", "1"), ("b", "2"), ("", "3"), ("a", "4"), ("b", "5")] {
        let publish = Publish {
            tag_hash: tag_hash(tag),
            ..message(&t, body)
        };
        node.hub.publish_wait(publish).await.unwrap();
    }
    let wanted = Subscription::parse(t.name.clone(), "a || c", 1).unwrap();
    let outcome = node
        .hub
        .read(&t, 0, 0, LIMITS, &wanted.filter)
        .await
        .unwrap();
    let offsets: Vec<u64> = outcome.messages.iter().map(|m| m.offset).collect();
    assert_eq!((outcome.status, offsets), (ReadStatus::Found, vec![0, 3]));
    assert_eq!(outcome.next, 5);
    let nothing = Subscription::parse(t.name.clone(), "z", 1).unwrap();
    let outcome = node
        .hub
        .read(&t, 0, 0, LIMITS, &nothing.filter)
        .await
        .unwrap();
    assert_eq!((outcome.status, outcome.next), (ReadStatus::NoMatch, 5));
    node.stop().await;
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_what_it_wants() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let filter = TagFilter::Any(smallvec![tag_hash("a")]);
    let hub = node.hub.clone();
    let (topic, wanted) = (t.clone(), filter.clone());
    let waiter = tokio::spawn(async move { hub.arrival(&topic, 0, 0, &wanted).await });
    let publish = Publish {
        tag_hash: tag_hash("a"),
        ..message(&t, "x")
    };
    node.hub.publish_wait(publish).await.unwrap();
    tokio::time::timeout(common::DEADLINE, waiter)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_delayed_message_appears_when_it_is_due_and_not_before() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let due = node.hub.now_ms() + 300;
    let delayed = Publish {
        due_ms: Some(due),
        ..message(&t, "later")
    };
    let (_, receipt) = node.hub.publish_wait(delayed).await.unwrap();
    assert_eq!(node.hub.bounds(&t, 0).unwrap().max, 0);
    // It can be looked at while it waits, and knows where it will go.
    let waiting = node.hub.view(receipt[0].position).await.unwrap();
    let (target, _) = node.hub.topic_of(waiting.record.target().unwrap()).unwrap();
    assert_eq!(target.name.as_str(), "T");
    let past = Publish {
        due_ms: Some(due - 10_000),
        ..message(&t, "now")
    };
    node.hub.publish_wait(past).await.unwrap();
    assert_eq!(bodies(&node.hub, &t, 0, 0).await, ["now"]);
    let arrival = node.hub.arrival(&t, 0, 1, &TagFilter::All);
    tokio::time::timeout(common::DEADLINE, arrival)
        .await
        .unwrap()
        .unwrap();
    assert!(node.hub.now_ms() >= due);
    let outcome = node
        .hub
        .read(&t, 0, 1, LIMITS, &TagFilter::All)
        .await
        .unwrap();
    assert_eq!(outcome.messages.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn messages_are_found_by_position_and_by_key_within_their_topic() {
    let node = Node::start().await;
    let (t, other) = (node.topic("T", 1).await, node.topic("U", 1).await);
    let from_ms = node.hub.now_ms();
    for topic in [&t, &other] {
        let publish = Publish {
            keys: smallvec![key_hash(topic.name.as_str(), "order-7")],
            ..message(topic, "x")
        };
        node.hub.publish_wait(publish).await.unwrap();
    }
    let to_ms = node.hub.now_ms() + 1000;
    let found = node
        .hub
        .find_by_key(&t, "order-7", from_ms, to_ms, 10)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        node.hub.topic_of(found[0].queue).unwrap().0.name.as_str(),
        "T"
    );
    let missing = node
        .hub
        .find_by_key(&t, "order-8", from_ms, to_ms, 10)
        .await
        .unwrap();
    assert!(missing.is_empty());
    let seen = node.hub.view(found[0].record.position).await.unwrap();
    assert_eq!(seen.offset, 0);
    node.stop().await;
}

#[tokio::test]
async fn permissions_of_a_topic_hold() {
    let node = Node::start().await;
    for (perm, may_write, may_read) in [
        (Perm::READ, false, true),
        (Perm::WRITE, true, false),
        (Perm::READ_WRITE, true, true),
    ] {
        let spec = TopicSpec {
            perm,
            ..TopicSpec::new(common::topic("T"), 1)
        };
        let t = node.hub.put_topic(spec).await.unwrap();
        assert_eq!(
            node.hub.publish_wait(message(&t, "x")).await.is_ok(),
            may_write
        );
        let read = node.hub.read(&t, 0, 0, LIMITS, &TagFilter::All).await;
        assert_eq!(read.is_ok(), may_read);
    }
    node.stop().await;
}

#[tokio::test]
async fn only_read_queues_are_read_and_only_write_queues_take_turns() {
    let node = Node::start().await;
    let spec = TopicSpec {
        write_queues: 3,
        ..TopicSpec::new(common::topic("T"), 2)
    };
    let t = node.hub.put_topic(spec).await.unwrap();
    for queue in 0..4 {
        let read = node.hub.read(&t, queue, 0, LIMITS, &TagFilter::All).await;
        assert_eq!(read.is_ok(), queue < 2, "{queue}");
        let tried = node.hub.try_read(&t, queue, 0, LIMITS, &TagFilter::All);
        assert_eq!(matches!(tried, Some(Err(_))), queue >= 2, "{queue}");
        let to = Publish {
            queue: QueueChoice::Number(queue),
            ..message(&t, "x")
        };
        assert_eq!(
            node.hub.publish_wait(to).await.is_ok(),
            queue < 3,
            "{queue}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn an_acknowledgement_promises_what_message_topic_or_hub_say() {
    let node = Node::start().await;
    let plain = node.topic("plain", 1).await;
    let spec = TopicSpec {
        attributes: crossdock_hub::AttributeEdit::parse_list("+durability=written").unwrap(),
        ..TopicSpec::new(common::topic("fast"), 1)
    };
    let fast = node.hub.put_topic(spec).await.unwrap();
    let promised = |publish| node.hub.prepare(publish).unwrap().durability();
    assert_eq!(promised(message(&plain, "x")), Durability::Durable);
    assert_eq!(promised(message(&fast, "x")), Durability::Written);
    let safe = Publish {
        durability: Some(Durability::Durable),
        ..message(&fast, "x")
    };
    assert_eq!(promised(safe.clone()), Durability::Durable);
    // Together they are as safe as the safest.
    let batch = node.hub.prepare_batch([message(&fast, "x"), safe]).unwrap();
    assert_eq!(batch.durability(), Durability::Durable);
    node.stop().await;
}

#[tokio::test]
async fn offsets_are_found_by_time() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    assert_eq!(node.hub.earliest_ms(&t, 0).unwrap(), None);
    node.send(&t, "a").await;
    let stored = node.hub.latest_ms(&t, 0).unwrap().unwrap();
    eventually("time passes", || node.hub.now_ms() > stored).await;
    let between = node.hub.now_ms();
    eventually("time passes", || node.hub.now_ms() > between).await;
    node.send(&t, "b").await;
    let lower = crossdock_hub::Boundary::Lower;
    assert_eq!(node.hub.offset_by_time(&t, 0, between, lower).unwrap(), 1);
    assert!(node.hub.earliest_ms(&t, 0).unwrap().unwrap() < between);
    assert!(node.hub.latest_ms(&t, 0).unwrap().unwrap() > between);
    node.stop().await;
}
