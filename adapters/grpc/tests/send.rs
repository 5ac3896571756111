//! SendMessage: what is stored, what is refused, and with which code.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::io::Write;

use common::{Door, code, message, resource, with};
use crossdock_proto_grpc::v2::{Code, DigestType, Encoding, MessageType, Resource};

#[tokio::test]
async fn a_message_comes_back_as_it_was_sent() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut sent = with(message("T", "ID-1", "hello"), |system| {
        system.tag = Some("A".into());
        system.keys = vec!["k1".into(), "k2".into()];
        system.trace_context = Some("trace".into());
    });
    sent.user_properties.insert("color".into(), "blue".into());
    let answer = client.send(vec![sent.clone()]).await;
    assert_eq!(code(answer.status), Code::Ok);
    assert_eq!(answer.entries.len(), 1);
    assert_eq!(answer.entries[0].message_id, "ID-1");
    assert_eq!(code(answer.entries[0].status.clone()), Code::Ok);

    let read = client.pull_all("T", 4).await.remove(0);
    assert_eq!(read.body, sent.body);
    assert_eq!(read.user_properties, sent.user_properties);
    let (was, is) = (
        sent.system_properties.unwrap(),
        read.system_properties.unwrap(),
    );
    assert_eq!(
        (is.tag, is.keys, is.message_id),
        (was.tag, was.keys, was.message_id)
    );
    assert_eq!(
        (is.born_timestamp, is.born_host),
        (was.born_timestamp, was.born_host)
    );
    assert_eq!(is.trace_context, was.trace_context);
    assert_eq!(is.body_encoding, i32::from(Encoding::Identity));
    assert_eq!(is.message_type, i32::from(MessageType::Normal));
    let digest = is.body_digest.unwrap();
    assert_eq!(digest.r#type, i32::from(DigestType::Md5));
    assert_eq!(digest.checksum, "5D41402ABC4B2A76B9719D911017C592");
    assert_eq!((is.delivery_attempt, is.queue_offset), (Some(1), Some(0)));
    assert!(is.store_timestamp.is_some() && !is.store_host.is_empty());
    assert!(door.close().await);
}

#[tokio::test]
async fn messages_of_a_group_keep_one_queue_and_their_order() {
    let door = Door::start().await;
    let client = door.client().await;
    for number in 0..12 {
        let group = format!("group-{}", number % 3);
        let message = with(message("T", &format!("ID-{number}"), "x"), |system| {
            system.message_group = Some(group);
            system.message_type = MessageType::Fifo.into();
        });
        assert_eq!(client.send_code(message).await, Code::Ok);
    }
    let mut queue_of_group = std::collections::HashMap::new();
    let mut last = std::collections::HashMap::new();
    for message in client.pull_all("T", 4).await {
        let system = message.system_properties.unwrap();
        let group = system.message_group.unwrap();
        let queue = *queue_of_group
            .entry(group.clone())
            .or_insert(system.queue_id);
        assert_eq!(queue, system.queue_id);
        let number: i32 = system.message_id[3..].parse().unwrap();
        assert!(last.insert(group, number).is_none_or(|last| last < number));
        assert_eq!(system.message_type, i32::from(MessageType::Fifo));
    }
    assert_eq!(queue_of_group.len(), 3);
}

#[tokio::test]
async fn a_delayed_message_appears_when_it_is_due() {
    let door = Door::start().await;
    let client = door.client().await;
    let due_ms = door.hub.now_ms() + 300;
    let due = prost_types::Timestamp {
        seconds: due_ms / 1000,
        nanos: (due_ms % 1000) as i32 * 1_000_000,
    };
    let delayed = with(message("T", "ID", "x"), |system| {
        system.delivery_timestamp = Some(due);
    });
    assert_eq!(client.send_code(delayed).await, Code::Ok);
    assert_eq!(door.stored("T").iter().sum::<u64>(), 0);
    common::until("delivery", || door.stored("T").iter().sum::<u64>() == 1).await;
    assert!(door.hub.now_ms() >= due_ms);
    let read = client
        .pull_all("T", 4)
        .await
        .remove(0)
        .system_properties
        .unwrap();
    assert_eq!(read.delivery_timestamp, Some(due));
    assert_eq!(read.message_type, i32::from(MessageType::Delay));
}

#[tokio::test]
async fn a_batch_has_one_result_for_each_message() {
    let door = Door::start().await;
    let client = door.client().await;
    let batch = (0..3)
        .map(|n| message("T", &format!("ID-{n}"), "x"))
        .collect();
    let answer = client.send(batch).await;
    assert_eq!(code(answer.status), Code::Ok);
    let ids: Vec<_> = answer
        .entries
        .iter()
        .map(|e| e.message_id.as_str())
        .collect();
    assert_eq!(ids, ["ID-0", "ID-1", "ID-2"]);
    assert_eq!(door.stored("T").iter().sum::<u64>(), 3);
}

#[tokio::test]
async fn one_bad_message_keeps_the_whole_batch_out() {
    let door = Door::start().await;
    door.topic("T", "").await;
    let client = door.client().await;
    let bad = with(message("T", "ID-2", "x"), |system| {
        system.tag = Some("a|b".into());
    });
    let answer = client.send(vec![message("T", "ID-1", "x"), bad]).await;
    assert_eq!(code(answer.status), Code::IllegalMessageTag);
    assert!(answer.entries.is_empty());
    let mixed = client
        .send(vec![message("T", "1", "x"), message("U", "2", "x")])
        .await;
    assert_eq!(code(mixed.status), Code::MessageCorrupted);
    assert_eq!(
        code(client.send(Vec::new()).await.status),
        Code::MessageCorrupted
    );
    assert_eq!(door.stored("T").iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn topics_take_the_kinds_they_are_meant_for() {
    let door = Door::start().await;
    let client = door.client().await;
    door.topic("fifo", "+message.type=FIFO").await;
    door.topic("normal", "+message.type=NORMAL").await;
    let conflict = Code::MessagePropertyConflictWithType;
    assert_eq!(client.send_code(message("fifo", "1", "x")).await, conflict);
    let grouped = |topic| {
        with(message(topic, "1", "x"), |s| {
            s.message_group = Some("g".into());
        })
    };
    assert_eq!(client.send_code(grouped("fifo")).await, Code::Ok);
    assert_eq!(client.send_code(grouped("normal")).await, conflict);
    let lite = with(message("normal", "1", "x"), |s| {
        s.lite_topic = Some("l".into());
    });
    assert_eq!(client.send_code(lite).await, conflict);
    let priority = with(message("any", "1", "x"), |s| s.priority = Some(3));
    assert_eq!(client.send_code(priority).await, conflict);
}

#[tokio::test]
async fn unknown_enum_values_are_judged_by_what_they_change() {
    let door = Door::start().await;
    let client = door.client().await;
    // The kind follows from what the message carries; an unknown one says nothing.
    let kind = with(message("T", "1", "x"), |system| system.message_type = 4711);
    assert_eq!(client.send_code(kind).await, Code::Ok);
    // An unknown encoding or digest would make the body unreadable.
    let encoding = with(message("T", "2", "x"), |system| system.body_encoding = 4711);
    assert_eq!(client.send_code(encoding).await, Code::BadRequest);
    let digest = with(message("T", "3", "x"), |system| {
        system.body_digest = Some(crossdock_proto_grpc::v2::Digest {
            r#type: -1,
            checksum: String::new(),
        });
    });
    assert_eq!(client.send_code(digest).await, Code::BadRequest);
    assert_eq!(door.stored("T").iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn names_that_cannot_be_used_are_refused() {
    let door = Door::start().await;
    let client = door.client().await;
    for name in [
        "",
        "a b",
        "TBW102",
        "SCHEDULE_TOPIC_XXXX",
        "%RETRY%g",
        "%DLQ%g",
    ] {
        let code = client.send_code(message(name, "1", "x")).await;
        assert_eq!(code, Code::IllegalTopic, "{name}");
    }
    let mut nameless = message("T", "1", "x");
    nameless.topic = None;
    assert_eq!(client.send_code(nameless).await, Code::IllegalTopic);
}

#[tokio::test]
async fn a_namespace_is_part_of_the_topic_wherever_it_is_said() {
    let door = Door::start().await;
    let client = door.client().await.header("x-mq-namespace", "ns");
    assert_eq!(client.send_code(message("T", "1", "x")).await, Code::Ok);
    let mut own = message("T", "2", "x");
    own.topic = Some(Resource {
        resource_namespace: "ns".into(),
        ..resource("T")
    });
    let elsewhere = door.client().await;
    assert_eq!(elsewhere.send_code(own).await, Code::Ok);
    assert_eq!(door.stored("ns%T").iter().sum::<u64>(), 2);
    assert!(door.hub.topic("T").is_none());
}

#[tokio::test]
async fn without_automatic_creation_an_unknown_topic_is_not_found() {
    let mut hub = common::hub_config();
    hub.auto_create_topics = false;
    let door = Door::with(common::config(), hub).await;
    let client = door.client().await;
    assert_eq!(
        client.send_code(message("T", "1", "x")).await,
        Code::TopicNotFound
    );
    assert_eq!(code(client.route("T").await.status), Code::TopicNotFound);
}

#[tokio::test]
async fn compressed_bodies_are_stored_for_both_generations() {
    let door = Door::start().await;
    let client = door.client().await;
    let plain = "hello ".repeat(1000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain.as_bytes()).unwrap();
    let mut sent = with(message("T", "1", ""), |system| {
        system.body_encoding = Encoding::Gzip.into();
    });
    sent.body = encoder.finish().unwrap().into();
    assert_eq!(client.send_code(sent).await, Code::Ok);

    let read = client.pull_all("T", 4).await.remove(0);
    let system = read.system_properties.unwrap();
    assert_eq!(system.body_encoding, i32::from(Encoding::Gzip));
    let mut decoded = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&read.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut decoded).unwrap();
    assert_eq!(decoded, plain);

    let topic = door.hub.topic("T").unwrap();
    let mut flags = 0;
    for queue in 0..topic.queues() {
        let limits = crossdock_hub::ReadLimits {
            records: 1,
            bytes: 1,
            scanned: 1,
        };
        let all = crossdock_hub::TagFilter::All;
        let outcome = door.hub.read(&topic, queue, 0, limits, &all).await.unwrap();
        flags |= outcome.messages.first().map_or(0, |m| m.record.sys_flags);
    }
    // Compressed, with zlib: what clients of the older protocol look for.
    assert_eq!(flags, 0x301);
}

#[tokio::test]
async fn transactions_are_refused_and_nothing_is_stored() {
    let door = Door::start().await;
    let client = door.client().await;
    let half = with(message("T", "1", "x"), |s| {
        s.message_type = MessageType::Transaction.into();
    });
    assert_eq!(client.send_code(half).await, Code::NotImplemented);
    assert!(door.hub.topic("T").is_none());
}
