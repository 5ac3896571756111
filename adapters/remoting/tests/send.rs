//! Sends over raw sockets: both header forms, both encodings, batches, creation of topics, limits.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::collections::HashSet;

use bytes::BytesMut;
use common::{Client, Door, Pulled, Sent, props, send_header, send_v2};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::send::SendMessage;
use crossdock_proto_remoting::record::{BatchElement, MessageId, Properties};
use crossdock_proto_remoting::{Command, Encoding, ExtBuilder};
use crossdock_remoting::RemotingConfig;
use crossdock_store::options::Options;

async fn sends_and_pulls(client: &mut Client, command: Command) -> (Sent, Pulled) {
    let response = client.ask(command).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    let sent = Sent::of(&response);
    let pulled = client.pull("g", "T", sent.queue, sent.offset).await;
    (sent, pulled)
}

#[tokio::test]
async fn both_header_forms_and_both_encodings_store_the_same_message() {
    let door = Door::start().await;
    door.create_topic("T", 4).await;
    let text = props(&[
        ("TAGS", "A"),
        ("KEYS", "k1 k2"),
        ("UNIQ_KEY", "U"),
        ("own", "x"),
    ]);
    let mut v1 = ExtBuilder::new();
    send_header("T", 2, &text).write_v1(&mut v1);
    let long = Command::request(request::SEND_MESSAGE)
        .with_ext(v1.build())
        .with_body("hello");
    for encoding in [Encoding::Json, Encoding::Binary] {
        let mut client = door.broker().await;
        client.encoding = encoding;
        for command in [send_v2("T", 2, "hello", &text), long.clone()] {
            let (sent, pulled) = sends_and_pulls(&mut client, command).await;
            assert_eq!(sent.queue, 2);
            assert_eq!(sent.transaction_id.as_deref(), Some("U"));
            assert_eq!(sent.region.as_deref(), Some("DefaultRegion"));
            assert_eq!(sent.trace_on, Some(true));
            let [message] = &pulled.messages[..] else {
                panic!("{pulled:?}");
            };
            assert_eq!(
                (message.topic.as_str(), &message.body[..]),
                ("T", &b"hello"[..])
            );
            assert_eq!(message.head.queue_id, 2);
            assert_eq!(message.head.queue_offset, sent.offset);
            assert_eq!(message.head.flag, 7);
            assert_eq!(message.head.born_timestamp, 1_700_000_000_000);
            assert_eq!(message.head.born_host, client.local);
            assert_eq!(message.head.physical_offset, sent.position());
            for (name, value) in [
                ("TAGS", "A"),
                ("KEYS", "k1 k2"),
                ("own", "x"),
                ("CLUSTER", "DefaultCluster"),
                ("MSG_REGION", "DefaultRegion"),
                ("TRACE_ON", "true"),
            ] {
                assert_eq!(message.property(name), Some(value));
            }
        }
    }
}

#[tokio::test]
async fn the_message_id_names_the_address_the_client_dialled_also_over_the_second_port() {
    let door = Door::start().await;
    let broker = door.running.broker.unwrap();
    let mut client = door.fast().await;
    let sent = client.publish("T", 0, "x", "").await;
    let id: MessageId = sent.msg_id.parse().unwrap();
    assert_eq!(id.host, broker);
    let pulled = client.pull("g", "T", 0, 0).await;
    assert_eq!(pulled.messages[0].head.store_host, broker);
}

#[tokio::test]
async fn a_missing_unique_key_is_made_and_a_pop_handle_is_dropped() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    // Without its last separator, which is tolerated.
    let (sent, pulled) = sends_and_pulls(&mut client, send_v2("T", 0, "a", "p\u{1}q")).await;
    let message = &pulled.messages[0];
    let key = message.property("UNIQ_KEY").unwrap();
    assert_eq!(Some(key), sent.transaction_id.as_deref());
    assert_eq!((key.len(), message.property("p")), (32, Some("q")));
    let text = props(&[("POP_CK", "x"), ("CLUSTER", "forged"), ("UNIQ_KEY", "U")]);
    let (_, pulled) = sends_and_pulls(&mut client, send_v2("T", 0, "b", &text)).await;
    let message = &pulled.messages[0];
    assert_eq!(message.property("POP_CK"), None);
    assert_eq!(message.property("CLUSTER"), Some("DefaultCluster"));
    assert_eq!(message.property("UNIQ_KEY"), Some("U"));
}

#[tokio::test]
async fn an_unknown_topic_is_created_from_the_template_with_the_queues_asked_for() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    client.publish("Young", 3, "x", "").await;
    let topic = door.hub.topic("Young").unwrap();
    assert_eq!(
        (topic.read_queues, topic.write_queues, topic.perm.0),
        (4, 4, 6)
    );
}

#[tokio::test]
async fn sends_that_break_a_rule_are_refused_with_their_code() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    let unknown_template = SendMessage {
        default_topic: "NoSuchTemplate",
        ..send_header("Missing", 0, "")
    };
    let cases = [
        (send_v2("T", 2, "x", ""), 29),
        (send_v2("bad name", 0, "x", ""), 29),
        (send_v2("", 0, "x", ""), 29),
        (send_v2(&"t".repeat(128), 0, "x", ""), 29),
        (send_v2("SCHEDULE_TOPIC_XXXX", 0, "x", ""), 16),
        (send_v2("SELF_TEST_TOPIC", 0, "x", ""), 16),
        (send_v2("RMQ_SYS_TRANS_HALF_TOPIC", 0, "x", ""), 16),
        (
            Command::request(request::SEND_MESSAGE_V2).with_header(&unknown_template),
            17,
        ),
        (send_v2("%RETRY%nobody", 0, "x", ""), 26),
        (send_v2("T", 0, &"x".repeat(4 * 1024 * 1024 + 1), ""), 13),
        (
            send_v2("T", 0, "x", &props(&[("p", &"v".repeat(32_767))])),
            13,
        ),
        (
            send_v2("T", 0, "x", &props(&[("TIMER_DELAY_SEC", "soon")])),
            13,
        ),
        (Command::request(request::SEND_MESSAGE_V2), 1),
    ];
    for (command, code) in cases {
        let response = client.ask(command).await;
        assert_eq!(response.code, code, "{:?}", response.remark);
    }
    // The connection is as good as new.
    client.publish("T", 1, "x", "").await;
}

#[tokio::test]
async fn a_negative_queue_lets_the_broker_choose_among_all() {
    let door = Door::start().await;
    door.create_topic("T", 3).await;
    let mut client = door.broker().await;
    let mut chosen = HashSet::new();
    for _ in 0..3 {
        chosen.insert(client.publish("T", -1, "x", "").await.queue);
    }
    assert_eq!(chosen, HashSet::from([0, 1, 2]));
}

#[tokio::test]
async fn one_way_sends_are_stored_and_never_answered_not_even_with_an_error() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.send(send_v2("T", 0, "silent", "").oneway()).await;
    client.send(send_v2("T", 99, "refused", "").oneway()).await;
    client.send(Command::request(4711).oneway()).await;
    let opaque = client.send(send_v2("T", 0, "loud", "")).await;
    let first = client.receive().await.unwrap();
    assert_eq!((first.opaque, first.code), (opaque, 0));
    assert_eq!(
        client.pull("g", "T", 0, 0).await.bodies(),
        ["silent", "loud"]
    );
}

#[tokio::test]
async fn pipelined_sends_keep_their_order_and_each_is_answered_once() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let mut opaques = Vec::new();
    for n in 0..1000 {
        opaques.push(client.send(send_v2("T", 0, &n.to_string(), "")).await);
    }
    let mut answered = HashSet::new();
    for _ in 0..1000 {
        let response = client.receive().await.unwrap();
        assert_eq!(response.code, 0);
        assert!(answered.insert(response.opaque));
        let n = opaques.iter().position(|o| *o == response.opaque).unwrap();
        assert_eq!(Sent::of(&response).offset, n as i64);
    }
    let mut bodies = Vec::new();
    while bodies.len() < 1000 {
        let pulled = client.pull("g", "T", 0, bodies.len() as i64).await;
        bodies.extend(pulled.bodies());
    }
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn more_sends_than_may_be_in_flight_are_all_answered() {
    let mut config = common::config();
    config.sends_in_flight_max = 4;
    let door = Door::with(config, common::hub_config()).await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for n in 0..200 {
        client.send(send_v2("T", 0, &n.to_string(), "")).await;
    }
    for _ in 0..200 {
        assert_eq!(client.receive().await.unwrap().code, 0);
    }
}

fn element(body: &str, properties: &str, out: &mut BytesMut) {
    let element = BatchElement {
        flag: 3,
        body: body.as_bytes(),
        properties: Properties::new(properties),
    };
    element.write(out).unwrap();
}

fn batch(topic: &str, body: BytesMut) -> Command {
    let text = props(&[("UNIQ_KEY", "B")]);
    let header = SendMessage {
        batch: Some(true),
        ..send_header(topic, 1, &text)
    };
    Command::request(request::SEND_BATCH_MESSAGE)
        .with_header(&header)
        .with_body(body.freeze())
}

#[tokio::test]
async fn a_batch_goes_to_one_queue_with_neighbouring_offsets_and_untouched_properties() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    client.publish("T", 1, "before", "").await;
    let mut body = BytesMut::new();
    for n in 0..5 {
        let text = props(&[("UNIQ_KEY", &format!("U{n}")), ("TAGS", "t")]);
        element(&format!("m{n}"), &text, &mut body);
    }
    let response = client.ask(batch("T", body)).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    let sent = Sent::of(&response);
    assert_eq!((sent.queue, sent.offset), (1, 1));
    let ids: Vec<MessageId> = sent
        .msg_id
        .split(',')
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(ids.len(), 5);
    let pulled = client.pull("g", "T", 1, 1).await;
    assert_eq!(pulled.bodies(), ["m0", "m1", "m2", "m3", "m4"]);
    for (n, message) in pulled.messages.iter().enumerate() {
        assert_eq!(message.head.physical_offset, ids[n].offset);
        assert_eq!(message.head.flag, 3);
        let key = format!("U{n}");
        assert_eq!(message.properties.len(), 2);
        assert_eq!(message.property("UNIQ_KEY"), Some(key.as_str()));
    }
}

#[tokio::test]
async fn malformed_batches_are_refused_whole() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    let mut good = BytesMut::new();
    element("m", "", &mut good);
    let mut cut = good.clone();
    cut.extend_from_slice(&[0, 0, 0, 99, 1]);
    let mut negative = good.clone();
    negative.extend_from_slice(&(-5i32).to_be_bytes());
    for body in [BytesMut::new(), cut, negative] {
        assert_eq!(client.ask(batch("T", body)).await.code, 13);
    }
    assert_eq!(client.ask(batch("%RETRY%g", good.clone())).await.code, 13);
    let topic = door.hub.topic("T").unwrap();
    assert_eq!(door.hub.bounds(&topic, 1).unwrap().max, 0);
    assert_eq!(client.ask(batch("T", good)).await.code, 0);
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due_and_keeps_its_history() {
    let mut hub = common::hub_config();
    hub.delay_levels = "1s 5s".parse().unwrap();
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    let begun = std::time::Instant::now();
    let text = props(&[("DELAY", "1"), ("TAGS", "A"), ("UNIQ_KEY", "U")]);
    let sent = client.publish("T", 1, "later", &text).await;
    assert_eq!(sent.queue, 1);
    assert!(client.pull("g", "T", 1, 0).await.messages.is_empty());
    let topic = door.hub.topic("T").unwrap();
    common::until("delivery", || door.hub.bounds(&topic, 1).unwrap().max == 1).await;
    assert!(begun.elapsed() >= std::time::Duration::from_millis(900));
    let pulled = client.pull("g", "T", 1, 0).await;
    let message = &pulled.messages[0];
    assert_eq!(
        (message.topic.as_str(), &message.body[..]),
        ("T", &b"later"[..])
    );
    for (name, value) in [
        ("DELAY", "1"),
        ("REAL_TOPIC", "T"),
        ("REAL_QID", "1"),
        ("TAGS", "A"),
    ] {
        assert_eq!(message.property(name), Some(value), "{name}");
    }
    assert_eq!(message.head.born_timestamp, 1_700_000_000_000);
    assert_eq!(message.head.born_host, client.local);
    assert!(message.head.physical_offset > sent.position());
}

#[tokio::test]
async fn messages_survive_a_restart() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for n in 0..50 {
        client.publish("T", 0, &n.to_string(), "").await;
    }
    drop(client);
    let folder = door.close().await.unwrap();
    let tls = crossdock_kit::Tls::off();
    let door = Door::open(folder.path(), common::config(), common::hub_config(), tls).await;
    let mut client = door.broker().await;
    let pulled = client.pull("g", "T", 0, 20).await;
    let expected: Vec<String> = (20..50).map(|n| n.to_string()).collect();
    assert_eq!(pulled.bodies(), expected);
}

#[tokio::test]
async fn sends_the_log_has_no_room_for_wait_and_keep_their_order() {
    // One batch at most waits for the log; with one send in flight, it is its own whole share.
    for in_flight in [1, 4096] {
        let narrow = Options {
            inbox_bytes: 1,
            ..Options::default()
        };
        let config = RemotingConfig {
            sends_in_flight_max: in_flight,
            ..common::config()
        };
        let door = Door::on(narrow, config, common::hub_config()).await;
        door.create_topic("T", 1).await;
        let mut client = door.broker().await;
        for n in 0..200 {
            client.send(send_v2("T", 0, &n.to_string(), "")).await;
        }
        for n in 0..200 {
            let response = client.receive().await.unwrap();
            assert_eq!(response.code, 0, "{:?}", response.remark);
            assert_eq!(Sent::of(&response).offset, n);
        }
        let pulled = client.pull("g", "T", 0, 168).await;
        let expected: Vec<String> = (168..200).map(|n| n.to_string()).collect();
        assert_eq!(pulled.bodies(), expected);
    }
}
