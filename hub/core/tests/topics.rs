//! Topics over a real store: definitions that last, creation that happens once, deletion that leaves nothing.

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use common::{Node, bodies, group, message, topic};
use crossdock_hub::{
    AttributeEdit, Edit, Edits, ErrorKind, HubConfig, HubError, Perm, QueueChoice, TEMPLATE_TOPIC,
    TopicSpec,
};

#[tokio::test]
async fn a_hub_has_its_own_topics_from_the_start() {
    let node = Node::start().await;
    for (name, queues, perm) in [
        ("TBW102", 8, 7),
        ("DefaultCluster", 16, 7),
        ("crossdock", 1, 7),
        ("SELF_TEST_TOPIC", 1, 6),
        ("OFFSET_MOVED_EVENT", 1, 6),
        ("BenchmarkTest", 1024, 6),
        ("RMQ_SYS_TRACE_TOPIC", 1, 6),
        ("DefaultCluster_REPLY_TOPIC", 1, 6),
    ] {
        let own = node.hub.topic(name).unwrap();
        assert_eq!((own.write_queues, own.perm), (queues, Perm(perm)), "{name}");
        assert!(node.hub.is_system_topic(&own.name));
        let changed = node
            .hub
            .put_topic(TopicSpec::new(own.name.clone(), 2))
            .await;
        assert_eq!(changed.unwrap_err().kind(), ErrorKind::Invalid);
        let deleted = node.hub.delete_topic(&own.name).await;
        assert_eq!(deleted.unwrap_err().kind(), ErrorKind::Invalid);
    }
    node.stop().await;
}

#[tokio::test]
async fn definitions_and_numbers_survive_a_restart() {
    let node = Node::start().await;
    let spec = TopicSpec {
        perm: Perm::READ,
        is_order: true,
        write_queues: 2,
        attributes: AttributeEdit::parse_list("+message.type=FIFO").unwrap(),
        ..TopicSpec::new(topic("T"), 4)
    };
    let before = node.hub.put_topic(spec).await.unwrap();
    let node = node.restart().await;
    let after = node.hub.topic("T").unwrap();
    assert_eq!(after.id, before.id);
    assert_eq!((after.read_queues, after.write_queues), (4, 2));
    assert!(after.is_order && after.perm == Perm::READ);
    assert_eq!(
        after.attributes().collect::<Vec<_>>(),
        [("message.type", "FIFO")]
    );
    // Numbers go on where they were reserved to, never below.
    assert!(node.topic("U", 1).await.id > before.id);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_publish_to_a_new_topic_create_it_once() {
    let node = Node::start().await;
    let version = node.hub.topics_version();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let hub = node.hub.clone();
            tokio::spawn(async move { hub.ensure_topic(&topic("new"), TEMPLATE_TOPIC, 4).await })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        let created = task.await.unwrap().unwrap();
        assert_eq!((created.write_queues, created.perm), (4, Perm::READ_WRITE));
        ids.insert(created.id);
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(node.hub.topics_version().counter, version.counter + 1);
    node.stop().await;
}

#[tokio::test]
async fn a_new_topic_takes_the_smaller_number_of_queues() {
    let node = Node::start().await;
    let many = node
        .hub
        .ensure_topic(&topic("many"), TEMPLATE_TOPIC, 99)
        .await
        .unwrap();
    assert_eq!(many.write_queues, 8);
    let one = node
        .hub
        .ensure_topic(&topic("one"), TEMPLATE_TOPIC, 1)
        .await
        .unwrap();
    assert_eq!(one.write_queues, 1);
    node.stop().await;
}

#[tokio::test]
async fn nothing_is_created_without_leave() {
    let node = Node::start().await;
    node.topic("plain", 4).await;
    for template in ["plain", "missing"] {
        let refused = node.hub.ensure_topic(&topic("new"), template, 4).await;
        assert_eq!(refused.unwrap_err(), HubError::NoTopic("new".into()));
    }
    let config = HubConfig {
        auto_create_topics: false,
        auto_create_groups: false,
        ..HubConfig::default()
    };
    let node = node.restart_with(config).await;
    let refused = node
        .hub
        .ensure_topic(&topic("new"), TEMPLATE_TOPIC, 4)
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    // Clients must not find a template to inherit from either.
    assert!(
        !node
            .hub
            .topic(TEMPLATE_TOPIC)
            .unwrap()
            .perm
            .has(Perm::INHERIT)
    );
    let refused = node.hub.ensure_group(&group("g")).await;
    assert_eq!(refused.unwrap_err(), HubError::NoGroup("g".into()));
    node.stop().await;
}

#[tokio::test]
async fn a_topic_created_anew_has_nothing_of_the_old_one() {
    let node = Node::start().await;
    let old = node.topic("T", 2).await;
    let readers = node.group("g").await;
    node.send(&old, "one").await;
    node.hub.commit_durable(&readers, &old, 0, 1).await.unwrap();
    assert!(node.hub.delete_topic(&old.name).await.unwrap());
    assert!(!node.hub.delete_topic(&old.name).await.unwrap());
    assert!(node.hub.topic("T").is_none());

    // Handles taken earlier are of no use any more.
    let refused = node.hub.prepare(message(&old, "late"));
    assert_eq!(refused.unwrap_err(), HubError::NoTopic("T".into()));
    let refused = node.hub.commit(&readers, &old, 0, 9);
    assert_eq!(refused.unwrap_err(), HubError::NoTopic("T".into()));

    // Nothing of it is left below either.
    assert_eq!(node.store.group_positions(readers.id), []);
    let bounds = node.store.bounds(old.queue(0).unwrap()).unwrap();
    assert_eq!(bounds.min, bounds.max);

    let new = node.topic("T", 2).await;
    assert_ne!(new.id, old.id);
    assert_eq!(node.hub.position(&readers, &new, 0).unwrap(), None);
    assert_eq!(node.send(&new, "first").await, 0);
    let node = node.restart().await;
    let (new, readers) = (node.hub.topic("T").unwrap(), node.group("g").await);
    assert_eq!(node.hub.position(&readers, &new, 0).unwrap(), None);
    assert_eq!(bodies(&node.hub, &new, 0, 0).await, ["first"]);
    node.stop().await;
}

#[tokio::test]
async fn a_handle_of_a_changed_topic_publishes_by_the_new_definition() {
    let node = Node::start().await;
    let old = node.topic("T", 1).await;
    let new = node.topic("T", 4).await;
    assert_eq!(old.id, new.id);
    let publish = crossdock_hub::Publish {
        queue: QueueChoice::Number(3),
        ..message(&old, "x")
    };
    node.hub.publish_wait(publish).await.unwrap();
    assert_eq!(node.hub.bounds(&new, 3).unwrap().max, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_list_with_one_bad_topic_creates_none() {
    let node = Node::start().await;
    let good = || TopicSpec::new(topic("good"), 1);
    let bad = [
        TopicSpec::new(topic("bad"), 0),
        TopicSpec::new(topic("bad"), 100_000),
        TopicSpec::new(topic("good"), 1),
        TopicSpec::new(topic("TBW102"), 1),
        TopicSpec {
            perm: Perm(16),
            ..TopicSpec::new(topic("bad"), 1)
        },
        TopicSpec {
            attributes: AttributeEdit::parse_list("+queue.type=BatchCQ").unwrap(),
            ..TopicSpec::new(topic("bad"), 1)
        },
    ];
    for spec in bad {
        let refused = node.hub.put_topics(vec![good(), spec]).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(node.hub.topic("good").is_none());
    }
    let both = vec![good(), TopicSpec::new(topic("other"), 1)];
    assert_eq!(node.hub.put_topics(both).await.unwrap().len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn watchers_hear_of_every_change() {
    let node = Node::start().await;
    let mut watch = node.hub.watch_topics();
    let seen = watch.borrow_and_update().counter;
    let created = node.topic("T", 1).await;
    watch.changed().await.unwrap();
    node.hub.delete_topic(&created.name).await.unwrap();
    watch.changed().await.unwrap();
    let (version, edits) = node.hub.topics_since(seen);
    assert_eq!(version.counter, seen + 2);
    let Edits::Known(edits) = edits else {
        panic!("two edits are remembered");
    };
    assert!(matches!(&edits[0], Edit::Put(put) if Arc::ptr_eq(put, &created)));
    assert!(matches!(&edits[1], Edit::Removed(gone) if gone.id == created.id));
    node.stop().await;
}

#[tokio::test]
async fn a_bound_on_topics_holds() {
    let node = Node::with(HubConfig {
        topics_max: 12,
        ..HubConfig::default()
    })
    .await;
    let room = 12 - node.hub.topic_count();
    for n in 0..room {
        node.topic(&format!("t{n}"), 1).await;
    }
    let refused = node.hub.put_topic(TopicSpec::new(topic("more"), 1)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Full);
    // Changing what exists needs no room.
    node.topic("t0", 2).await;
    node.stop().await;
}
