//! The pop family over raw sockets: what a pop gives, how it is settled, what is refused, and who shares a group.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Client, Door, Message, Pulled, heartbeat, props, records, send_v2, until};
use crossdock_hub::{GroupConfig, Perm, TopicSpec};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::pop::{
    Assignments, BatchAck, BatchAckBody, MessageRequestMode, MessageRequestModes, QueryAssignment,
    SetMessageRequestMode,
};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::group::GetConsumerList;
use crossdock_proto_remoting::header::pop::{
    AckMessage, ChangeInvisibleTime, ChangeInvisibleTimeResponse, Notification,
    NotificationResponse, PeekMessage, PollingInfo, PollingInfoResponse, PopMessage, PopResponse,
};
use crossdock_proto_remoting::header::pull::PullMessage;
use crossdock_proto_remoting::header::send::SendBack;

fn pop_of(topic: &str) -> PopMessage<'_> {
    PopMessage {
        consumer_group: "g",
        topic,
        queue_id: -1,
        max_msg_nums: 32,
        invisible_time: 60_000,
        poll_time: 0,
        born_time: None,
        init_mode: 0,
        ..PopMessage::default()
    }
}

/// A pop response, taken apart.
struct Popped {
    code: i32,
    remark: Option<String>,
    pop_time: i64,
    rest: i64,
    starts: Option<String>,
    offsets: Option<String>,
    counts: Option<String>,
    messages: Vec<Message>,
}

impl Popped {
    fn of(response: &Command) -> Self {
        let header = PopResponse::parse(&response.ext).unwrap_or_default();
        Self {
            code: response.code,
            remark: response.remark.as_ref().map(|text| text.to_string()),
            pop_time: header.pop_time,
            rest: header.rest_num,
            starts: header.start_offset_info.map(str::to_owned),
            offsets: header.msg_offset_info.map(str::to_owned),
            counts: header.order_count_info.map(str::to_owned),
            messages: records(&response.body),
        }
    }

    fn bodies(&self) -> Vec<String> {
        let body = |m: &Message| String::from_utf8(m.body.clone()).unwrap();
        self.messages.iter().map(body).collect()
    }
}

async fn pop(client: &mut Client, header: &PopMessage<'_>) -> Popped {
    Popped::of(&client.ask_with(request::POP_MESSAGE, header).await)
}

fn handle(message: &Message) -> &str {
    message.property("POP_CK").unwrap()
}

/// The topic a client answers to: by the flag in the handle.
fn named(message: &Message) -> String {
    match handle(message).split(' ').nth(4) {
        Some("0") => message.topic.clone(),
        _ => format!("%RETRY%g_{}", message.topic),
    }
}

async fn ack(client: &mut Client, message: &Message) -> i32 {
    let header = AckMessage {
        consumer_group: "g",
        topic: &named(message),
        queue_id: message.head.queue_id,
        extra_info: handle(message),
        offset: message.head.queue_offset,
    };
    client.ask_with(request::ACK_MESSAGE, &header).await.code
}

async fn change(client: &mut Client, message: &Message, ms: i64) -> Command {
    let header = ChangeInvisibleTime {
        consumer_group: "g",
        topic: &named(message),
        queue_id: message.head.queue_id,
        extra_info: handle(message),
        offset: message.head.queue_offset,
        invisible_time: ms,
    };
    client
        .ask_with(request::CHANGE_MESSAGE_INVISIBLETIME, &header)
        .await
}

fn position(door: &Door, topic: &str, queue: u32) -> Option<u64> {
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic(topic).unwrap());
    door.hub.position(&group, &topic, queue).unwrap()
}

#[tokio::test]
async fn a_pop_gives_messages_with_handles_that_settle_them() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    for (queue, body) in [(0, "a"), (0, "b"), (1, "c")] {
        client
            .publish("T", queue, body, &props(&[("KEYS", "k")]))
            .await;
    }
    let popped = pop(&mut client, &pop_of("T")).await;
    assert_eq!((popped.code, popped.messages.len()), (0, 3));
    assert_eq!(popped.starts.as_deref(), Some("0 0 0;0 1 0"));
    assert_eq!(popped.offsets.as_deref(), Some("0 0 0,1;0 1 0"));
    assert_eq!((popped.counts.as_deref(), popped.rest), (None, 0));
    for message in &popped.messages {
        let (queue, offset) = (message.head.queue_id, message.head.queue_offset);
        let pop_time = popped.pop_time;
        let expected = format!("{offset} {pop_time} 60000 1 0 node-a {queue} {offset}");
        assert_eq!(handle(message), expected);
        assert_eq!(
            message.property("1ST_POP_TIME"),
            Some(&*pop_time.to_string())
        );
        assert_eq!(message.property("KEYS"), Some("k"));
        assert_eq!(
            (message.topic.as_str(), message.head.reconsume_times),
            ("T", 0)
        );
    }
    let nothing = pop(&mut client, &pop_of("T")).await;
    assert_eq!((nothing.code, nothing.messages.len()), (210, 0));
    for message in &popped.messages {
        assert_eq!(ack(&mut client, message).await, 0);
        // Twice is once.
        assert_eq!(ack(&mut client, message).await, 0);
    }
    assert_eq!(position(&door, "T", 0), Some(2));
    assert_eq!(position(&door, "T", 1), Some(1));
}

#[tokio::test]
async fn what_is_not_settled_comes_again_at_its_offset_and_the_old_handle_is_refused() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.publish("T", 0, "a", "").await;
    let short = PopMessage {
        invisible_time: 50,
        ..pop_of("T")
    };
    let first = pop(&mut client, &short).await.messages.remove(0);
    let waiting = PopMessage {
        poll_time: 10_000,
        ..pop_of("T")
    };
    let again = pop(&mut client, &waiting).await.messages.remove(0);
    assert_eq!(again.head.queue_offset, 0);
    assert_eq!(again.head.reconsume_times, 1);
    assert_eq!(again.property("1ST_POP_TIME"), None);
    assert_eq!(ack(&mut client, &first).await, 208);
    assert_eq!(change(&mut client, &first, 1000).await.code, 208);
    assert_eq!(ack(&mut client, &again).await, 0);
    assert_eq!(change(&mut client, &again, 1000).await.code, 208);
}

#[tokio::test]
async fn a_changed_time_counts_from_now_and_keeps_the_delivery() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.publish("T", 0, "a", "").await;
    let first = pop(&mut client, &pop_of("T")).await.messages.remove(0);
    let changed = change(&mut client, &first, 0).await;
    let header = ChangeInvisibleTimeResponse::parse(&changed.ext).unwrap();
    assert_eq!(
        (changed.code, header.invisible_time, header.revive_qid),
        (0, 0, 1)
    );
    let again = pop(&mut client, &pop_of("T")).await.messages.remove(0);
    assert_eq!(again.head.reconsume_times, 1);
    assert_eq!(change(&mut client, &again, -1).await.code, 29);
    assert_eq!(change(&mut client, &again, i64::MAX).await.code, 29);
    let changed = change(&mut client, &again, 30_000).await;
    let header = ChangeInvisibleTimeResponse::parse(&changed.ext).unwrap();
    assert_eq!((header.invisible_time, header.revive_qid), (30_000, 2));
    // As clients put the next handle together.
    let rebuilt = format!(
        "0 {} {} {} 0 node-a 0 0",
        header.pop_time, header.invisible_time, header.revive_qid
    );
    let header = AckMessage {
        consumer_group: "g",
        topic: "T",
        queue_id: 0,
        extra_info: &rebuilt,
        offset: 0,
    };
    assert_eq!(client.ask_with(request::ACK_MESSAGE, &header).await.code, 0);
}

#[tokio::test]
async fn pops_that_break_a_rule_are_refused_with_their_code() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let off = GroupConfig {
        is_enabled: false,
        ..GroupConfig::default()
    };
    let name = "off".parse().unwrap();
    door.hub.put_group(&name, off).await.unwrap();
    let write_only = TopicSpec {
        perm: Perm::WRITE,
        ..TopicSpec::new("W".parse().unwrap(), 1)
    };
    door.hub.put_topic(write_only).await.unwrap();
    let mut client = door.broker().await;
    client.publish("T", 0, "a", "").await;
    let long = "x".repeat(2000);
    let base = || pop_of("T");
    #[rustfmt::skip]
    let cases = [
        (PopMessage { max_msg_nums: 33, ..base() }, 29),
        (PopMessage { max_msg_nums: 0, ..base() }, 29),
        (PopMessage { invisible_time: 0, ..base() }, 29),
        (PopMessage { invisible_time: -5, ..base() }, 29),
        (PopMessage { invisible_time: i64::MAX, ..base() }, 29),
        (PopMessage { init_mode: 2, ..base() }, 29),
        (PopMessage { queue_id: 1, ..base() }, 29),
        (PopMessage { queue_id: -2, ..base() }, 29),
        (PopMessage { topic: "Missing", ..base() }, 17),
        (PopMessage { topic: "W", ..base() }, 16),
        (PopMessage { consumer_group: "off", ..base() }, 16),
        (PopMessage { consumer_group: "no group!", ..base() }, 29),
        (PopMessage { exp: Some("||"), ..base() }, 23),
        (PopMessage { exp: Some("a > 1"), exp_type: Some("XPATH"), ..base() }, 1),
        (PopMessage { attempt_id: Some(&long), order: Some(true), ..base() }, 13),
    ];
    for (header, code) in cases {
        let refused = pop(&mut client, &header).await;
        assert_eq!(refused.code, code, "{header:?} {:?}", refused.remark);
    }
    let empty = client.ask(Command::request(request::POP_MESSAGE)).await;
    assert_eq!(empty.code, 1);
    // Nothing was taken meanwhile.
    assert_eq!(pop(&mut client, &base()).await.bodies(), ["a"]);
}

#[tokio::test]
async fn groups_are_created_by_a_pop_if_they_may_be() {
    let hub = crossdock_hub::HubConfig {
        auto_create_groups: false,
        ..common::hub_config()
    };
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    assert_eq!(pop(&mut client, &pop_of("T")).await.code, 26);
}

#[tokio::test]
async fn handles_that_are_no_handles_of_the_message_are_refused() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    for body in ["a", "b"] {
        client.publish("T", 0, body, "").await;
    }
    let one = PopMessage {
        max_msg_nums: 1,
        ..pop_of("T")
    };
    let message = pop(&mut client, &one).await.messages.remove(0);
    let good = handle(&message).to_owned();
    let swap = |at: usize, token: &str| {
        let mut tokens: Vec<&str> = good.split(' ').collect();
        tokens[at] = token;
        tokens.join(" ")
    };
    let cases = [
        (String::new(), 0, 0, 13),
        ("nonsense".into(), 0, 0, 13),
        (good.replace(' ', "\u{1}"), 0, 0, 13),
        (swap(1, "yesterday"), 0, 0, 13),
        (swap(4, "7"), 0, 0, 13),
        (swap(5, "another"), 0, 0, 13),
        (swap(6, "1"), 0, 0, 13),
        (swap(7, "1"), 0, 0, 13),
        // The right form, and never given.
        (swap(3, "2"), 0, 0, 208),
        (swap(7, "1"), 0, 1, 208),
        (good.clone(), 0, 9, 208),
        (good.clone(), 0, -1, 208),
        (good.clone(), 2, 0, 29),
        (good.clone(), -1, 0, 29),
    ];
    for (extra_info, queue_id, offset, code) in cases {
        let header = AckMessage {
            consumer_group: "g",
            topic: "T",
            queue_id,
            extra_info: &extra_info,
            offset,
        };
        let answer = client.ask_with(request::ACK_MESSAGE, &header).await;
        assert_eq!(answer.code, code, "{header:?} {:?}", answer.remark);
    }
    for (group, topic, code) in [("nobody", "T", 26), ("g", "Missing", 17)] {
        let header = AckMessage {
            consumer_group: group,
            topic,
            queue_id: 0,
            extra_info: &good,
            offset: 0,
        };
        let answer = client.ask_with(request::ACK_MESSAGE, &header).await;
        assert_eq!(answer.code, code);
    }
    assert_eq!(position(&door, "T", 0), Some(0));
    assert_eq!(ack(&mut client, &message).await, 0);
}

#[tokio::test]
async fn a_batch_settles_the_bits_that_are_set() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for n in 0..12 {
        client.publish("T", 0, &n.to_string(), "").await;
    }
    assert_eq!(pop(&mut client, &pop_of("T")).await.messages.len(), 12);
    let entry = |start, bits: &[u8]| BatchAck {
        consumer_group: "g".into(),
        topic: "T".into(),
        retry: "0".into(),
        start_offset: start,
        revive_queue_id: 1,
        bits: Some(STANDARD.encode(bits)),
        ..BatchAck::default()
    };
    let request = |acks: Vec<BatchAck>| {
        let body = BatchAckBody {
            broker_name: "node-a".into(),
            acks,
        };
        Command::request(request::BATCH_ACK_MESSAGE).with_body(body::write(&body).unwrap())
    };
    // Offsets beyond what was given are passed over.
    let batch = request(vec![entry(0, &[0b0000_0111]), entry(4, &[0xff, 0xff])]);
    assert_eq!(client.ask(batch).await.code, 0);
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    assert_eq!(position(&door, "T", 0), Some(3));
    assert_eq!(door.hub.outstanding(&group, &topic, 0).unwrap(), 1);
    // So are deliveries that are not current.
    let stale = BatchAck {
        revive_queue_id: 2,
        ..entry(3, &[1])
    };
    assert_eq!(client.ask(request(vec![stale])).await.code, 0);
    assert_eq!(door.hub.outstanding(&group, &topic, 0).unwrap(), 1);
    #[rustfmt::skip]
    let wrong = [
        (vec![], 13),
        (vec![BatchAck { bits: Some("*".into()), ..entry(0, &[]) }], 13),
        (vec![BatchAck { retry: "9".into(), ..entry(0, &[1]) }], 13),
        (vec![BatchAck { revive_queue_id: -1, ..entry(0, &[1]) }], 13),
        (vec![entry(-1, &[1])], 13),
        (vec![entry(0, &[1; 20_000])], 13),
        (vec![BatchAck { queue_id: 5, ..entry(0, &[1]) }], 29),
        (vec![BatchAck { topic: "Missing".into(), ..entry(0, &[1]) }], 17),
        // The first is good, and nothing of it is done.
        (vec![entry(3, &[1]), BatchAck { consumer_group: "nobody".into(), ..entry(0, &[1]) }], 26),
    ];
    for (acks, code) in wrong {
        let answer = client.ask(request(acks)).await;
        assert_eq!(answer.code, code, "{:?}", answer.remark);
    }
    assert_eq!(door.hub.outstanding(&group, &topic, 0).unwrap(), 1);
    let garbage = Command::request(request::BATCH_ACK_MESSAGE).with_body(b"{".to_vec());
    assert_eq!(client.ask(garbage).await.code, 1);
}

#[tokio::test]
async fn tags_are_compared_and_not_only_their_hashes() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    // "Aa" and "BB" have one hash.
    for tag in ["Aa", "BB", "C"] {
        client.publish("T", 0, tag, &props(&[("TAGS", tag)])).await;
    }
    client.publish("T", 0, "none", "").await;
    let tagged = PopMessage {
        exp: Some("BB || D"),
        exp_type: Some("TAG"),
        ..pop_of("T")
    };
    let popped = pop(&mut client, &tagged).await;
    assert_eq!(popped.bodies(), ["BB"]);
    assert_eq!(ack(&mut client, &popped.messages[0]).await, 0);
    // What is not wanted is passed over.
    assert_eq!(position(&door, "T", 0), Some(4));
}

#[tokio::test]
async fn a_pop_selects_by_properties() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for price in ["5", "15", "25"] {
        let text = props(&[("price", price)]);
        client.publish("T", 0, price, &text).await;
    }
    let selected = PopMessage {
        exp: Some("price > 10"),
        exp_type: Some("SQL92"),
        ..pop_of("T")
    };
    let popped = pop(&mut client, &selected).await;
    assert_eq!(popped.bodies(), ["15", "25"]);
    for message in &popped.messages {
        assert_eq!(ack(&mut client, message).await, 0);
    }
    assert_eq!(position(&door, "T", 0), Some(3));
    let faulty = PopMessage {
        exp: Some("price >"),
        exp_type: Some("SQL92"),
        ..pop_of("T")
    };
    assert_eq!(pop(&mut client, &faulty).await.code, 23);
}

#[tokio::test]
async fn a_pop_waits_for_a_message_and_gives_up_when_its_time_is_up() {
    let door = Door::start().await;
    door.create_topic("T", 4).await;
    let (mut consumer, mut producer) = (door.broker().await, door.broker().await);
    let waiting = |ms| PopMessage {
        poll_time: ms,
        ..pop_of("T")
    };
    let begun = Instant::now();
    assert_eq!(pop(&mut consumer, &waiting(300)).await.code, 210);
    assert!(begun.elapsed() >= Duration::from_millis(290));
    let opaque = consumer
        .send(Command::request(request::POP_MESSAGE).with_header(&waiting(15_000)))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    let header = PollingInfo {
        consumer_group: "g",
        topic: "T",
        queue_id: 0,
    };
    let waits = async |client: &mut Client| {
        let info = client.ask_with(request::POLLING_INFO, &header).await;
        PollingInfoResponse::parse(&info.ext).unwrap().polling_num
    };
    let mut seen = waits(&mut producer).await;
    while seen != 1 {
        seen = waits(&mut producer).await;
    }
    producer.publish("T", 3, "news", "").await;
    let answer = consumer.answer_to(opaque).await;
    assert_eq!(Popped::of(&answer).bodies(), ["news"]);
    until("released", || door.running.stats.snapshot().held_pulls == 0).await;
}

#[tokio::test]
async fn waiting_pops_are_bounded_and_take_nothing_with_them_when_they_go() {
    let mut config = common::config();
    config.held_pulls_per_connection_max = 2;
    let door = Door::with(config, common::hub_config()).await;
    door.create_topic("T", 1).await;
    let (mut gone, mut client) = (door.broker().await, door.broker().await);
    let waiting = PopMessage {
        poll_time: 15_000,
        ..pop_of("T")
    };
    for _ in 0..2 {
        gone.send(Command::request(request::POP_MESSAGE).with_header(&waiting))
            .await;
    }
    until("held", || door.running.stats.snapshot().held_pulls == 2).await;
    assert_eq!(pop(&mut gone, &waiting).await.code, 209);
    let notice = Notification {
        consumer_group: "g",
        topic: "T",
        queue_id: -1,
        poll_time: 15_000,
        born_time: 0,
        ..Notification::default()
    };
    let told = gone.ask_with(request::NOTIFICATION, &notice).await;
    let header = NotificationResponse::parse(&told.ext).unwrap();
    assert_eq!((header.has_msg, header.polling_full), (false, Some(true)));
    drop(gone);
    until("released", || door.running.stats.snapshot().held_pulls == 0).await;
    client.publish("T", 0, "a", "").await;
    let popped = pop(&mut client, &pop_of("T")).await;
    assert_eq!(popped.bodies(), ["a"]);
    assert_eq!(popped.messages[0].head.reconsume_times, 0);
}

#[tokio::test]
async fn waiting_pops_are_answered_when_the_door_drains() {
    for (version, code) in [(479, 1500), (400, 14)] {
        let door = Door::start().await;
        door.create_topic("T", 1).await;
        let mut client = door.broker().await;
        client.version = version;
        let waiting = PopMessage {
            poll_time: 15_000,
            ..pop_of("T")
        };
        let opaque = client
            .send(Command::request(request::POP_MESSAGE).with_header(&waiting))
            .await;
        until("held", || door.running.stats.snapshot().held_pulls == 1).await;
        let closing = tokio::spawn(door.close());
        assert_eq!(client.answer_to(opaque).await.code, code);
        closing.await.unwrap();
    }
}

#[tokio::test]
async fn an_ordered_pop_holds_its_queue_and_an_attempt_can_be_repeated() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for body in ["a", "b", "c"] {
        client.publish("T", 0, body, "").await;
    }
    let ordered = |attempt_id| PopMessage {
        max_msg_nums: 2,
        order: Some(true),
        attempt_id,
        ..pop_of("T")
    };
    let first = pop(&mut client, &ordered(Some("one"))).await;
    assert_eq!(first.bodies(), ["a", "b"]);
    let counts = first.counts.as_deref();
    assert_eq!(counts, Some("0 0 0;0 qo0%0 0;0 qo0%1 0"));
    assert_eq!(pop(&mut client, &ordered(Some("two"))).await.code, 210);
    assert_eq!(pop(&mut client, &ordered(None)).await.code, 210);
    let repeated = pop(&mut client, &ordered(Some("one"))).await;
    assert_eq!(repeated.bodies(), ["a", "b"]);
    assert_eq!(repeated.messages[0].head.reconsume_times, 0);
    // The answer that was thought lost is as good.
    assert_eq!(ack(&mut client, &first.messages[0]).await, 0);
    let failed = change(&mut client, &repeated.messages[1], 50).await;
    assert_eq!(failed.code, 0);
    let waiting = PopMessage {
        poll_time: 10_000,
        ..ordered(Some("three"))
    };
    let next = pop(&mut client, &waiting).await;
    assert_eq!(next.bodies(), ["b", "c"]);
    assert_eq!(next.messages[0].head.reconsume_times, 1);
    let counts = next.counts.as_deref();
    assert_eq!(counts, Some("0 0 0;0 qo0%1 1;0 qo0%2 0"));
    // Who waits is let in by the last answer.
    let mut other = door.broker().await;
    other.publish("T", 0, "d", "").await;
    let opaque = other
        .send(
            Command::request(request::POP_MESSAGE).with_header(&PopMessage {
                attempt_id: None,
                ..waiting
            }),
        )
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    for message in &next.messages {
        assert_eq!(ack(&mut client, message).await, 0);
    }
    assert_eq!(Popped::of(&other.answer_to(opaque).await).bodies(), ["d"]);
}

async fn send_back(client: &mut Client, topic: &str, message: &Message) {
    let header = SendBack {
        offset: message.head.physical_offset,
        group: "g",
        delay_level: 1,
        origin_topic: Some(topic),
        ..SendBack::default()
    };
    let answer = client
        .ask_with(request::CONSUMER_SEND_MSG_BACK, &header)
        .await;
    assert_eq!(answer.code, 0, "{:?}", answer.remark);
}

#[tokio::test]
async fn what_was_sent_back_is_popped_under_the_topic_it_came_from_and_no_other() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_topic("U", 1).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    for topic in ["T", "U"] {
        client
            .publish(topic, 0, topic, &props(&[("TAGS", "x")]))
            .await;
        let pulled = client.pull("g", topic, 0, 0).await;
        send_back(&mut client, topic, &pulled.messages[0]).await;
        // As members that pull, whose position goes past it.
        let (group, known) = (door.hub.group("g").unwrap(), door.hub.topic(topic).unwrap());
        door.hub.commit(&group, &known, 0, 1).unwrap();
    }
    let retry = door.hub.topic("%RETRY%g").unwrap();
    until("both are due", || {
        door.hub.bounds(&retry, 0).unwrap().max == 2
    })
    .await;
    for topic in ["T", "U"] {
        let header = PopMessage {
            poll_time: 10_000,
            ..pop_of(topic)
        };
        let popped = pop(&mut client, &header).await;
        assert_eq!(popped.bodies(), [topic]);
        let message = &popped.messages[0];
        assert_eq!(
            (message.topic.as_str(), message.head.reconsume_times),
            (topic, 1)
        );
        assert_eq!(message.property("RETRY_TOPIC"), Some(topic));
        assert_eq!(message.property("TAGS"), Some("x"));
        let flag = handle(message).split(' ').nth(4);
        assert_eq!(flag, Some("1"));
        assert!(popped.starts.as_deref().unwrap().starts_with("1 0 "));
        assert_eq!(change(&mut client, message, 0).await.code, 0);
        let again = pop(&mut client, &header).await;
        assert_eq!(again.bodies(), [topic]);
        assert_eq!(again.messages[0].head.reconsume_times, 2);
        assert_eq!(ack(&mut client, &again.messages[0]).await, 0);
    }
    assert_eq!(position(&door, "%RETRY%g", 0), Some(2));
}

#[tokio::test]
async fn handles_are_good_after_a_restart() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for body in ["a", "b", "c"] {
        client.publish("T", 0, body, "").await;
    }
    let popped = pop(&mut client, &pop_of("T")).await;
    assert_eq!(ack(&mut client, &popped.messages[1]).await, 0);
    let folder = door.close().await.unwrap();
    let tls = crossdock_kit::Tls::off();
    let door = Door::open(folder.path(), common::config(), common::hub_config(), tls).await;
    let mut client = door.broker().await;
    assert_eq!(ack(&mut client, &popped.messages[0]).await, 0);
    assert_eq!(position(&door, "T", 0), Some(2));
    assert_eq!(change(&mut client, &popped.messages[2], 0).await.code, 0);
    let again = pop(&mut client, &pop_of("T")).await;
    assert_eq!(again.bodies(), ["c"]);
    assert_eq!(ack(&mut client, &popped.messages[2]).await, 208);
    assert_eq!(ack(&mut client, &again.messages[0]).await, 0);
}

#[tokio::test]
async fn new_groups_begin_where_they_want_to_except_in_young_queues() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    client.publish("T", 0, "old", "").await;
    let last = PopMessage {
        init_mode: 1,
        ..pop_of("T")
    };
    // As members that read by position: the first message is still at hand.
    assert_eq!(pop(&mut client, &last).await.bodies(), ["old"]);
    client.publish("T", 1, "new", "").await;
    assert_eq!(pop(&mut client, &last).await.bodies(), ["new"]);
}

#[tokio::test]
async fn a_notice_tells_of_messages_and_takes_none() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    let notice = |ms| Notification {
        consumer_group: "g",
        topic: "T",
        queue_id: -1,
        poll_time: ms,
        born_time: 0,
        ..Notification::default()
    };
    let has = |answer: Command| {
        assert_eq!(answer.code, 0, "{:?}", answer.remark);
        NotificationResponse::parse(&answer.ext).unwrap().has_msg
    };
    assert!(!has(client
        .ask_with(request::NOTIFICATION, &notice(0))
        .await));
    let opaque = client
        .send(Command::request(request::NOTIFICATION).with_header(&notice(15_000)))
        .await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    let mut producer = door.broker().await;
    producer.publish("T", 1, "a", "").await;
    assert!(has(client.answer_to(opaque).await));
    assert!(has(client
        .ask_with(request::NOTIFICATION, &notice(0))
        .await));
    assert_eq!(pop(&mut client, &pop_of("T")).await.bodies(), ["a"]);
    assert!(!has(client
        .ask_with(request::NOTIFICATION, &notice(0))
        .await));
    let missing = Notification {
        topic: "Missing",
        ..notice(0)
    };
    assert_eq!(
        client.ask_with(request::NOTIFICATION, &missing).await.code,
        17
    );
}

#[tokio::test]
async fn a_peek_shows_what_comes_next_and_takes_nothing() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    let peek = PeekMessage {
        consumer_group: "g",
        topic: "T",
        queue_id: -1,
        max_msg_nums: 2,
    };
    assert_eq!(client.ask_with(request::PEEK_MESSAGE, &peek).await.code, 19);
    for (queue, body) in [(0, "a"), (0, "b"), (1, "c")] {
        client.publish("T", queue, body, "").await;
    }
    for _ in 0..2 {
        let seen = Popped::of(&client.ask_with(request::PEEK_MESSAGE, &peek).await);
        assert_eq!((seen.code, seen.rest), (0, 1));
        assert_eq!(seen.bodies(), ["a", "b"]);
    }
    let one = PopMessage {
        queue_id: 0,
        max_msg_nums: 1,
        ..pop_of("T")
    };
    assert_eq!(pop(&mut client, &one).await.bodies(), ["a"]);
    let seen = Popped::of(&client.ask_with(request::PEEK_MESSAGE, &peek).await);
    assert_eq!(seen.bodies(), ["b", "c"]);
    #[rustfmt::skip]
    let wrong = [
        (PeekMessage { max_msg_nums: 33, ..peek.clone() }, 29),
        (PeekMessage { queue_id: 2, ..peek.clone() }, 29),
        (PeekMessage { topic: "Missing", ..peek.clone() }, 17),
        (PeekMessage { consumer_group: "nobody", ..peek.clone() }, 26),
    ];
    for (header, code) in wrong {
        let answer = client.ask_with(request::PEEK_MESSAGE, &header).await;
        assert_eq!(answer.code, code, "{header:?}");
    }
}

fn set_mode(topic: &str, mode: MessageRequestMode, share: i32) -> Command {
    let body = SetMessageRequestMode {
        topic: topic.into(),
        consumer_group: "g".into(),
        mode,
        pop_share_queue_num: share,
    };
    Command::request(request::SET_MESSAGE_REQUEST_MODE).with_body(body::write(&body).unwrap())
}

async fn assigned(
    client: &mut Client,
    id: &str,
    topic: &str,
    strategy: &str,
) -> Option<Vec<(MessageRequestMode, i32)>> {
    let body = QueryAssignment {
        topic: topic.into(),
        consumer_group: "g".into(),
        client_id: id.into(),
        strategy_name: Some(strategy.into()),
        message_model: None,
    };
    let command =
        Command::request(request::QUERY_ASSIGNMENT).with_body(body::write(&body).unwrap());
    let answer: Assignments = common::parse_body(&client.ask(command).await);
    let list = answer.message_queue_assignments?;
    let mut all: Vec<_> = list
        .iter()
        .inspect(|a| assert_eq!(a.message_queue.broker_name, "node-a"))
        .map(|a| (a.mode, a.message_queue.queue_id))
        .collect();
    all.sort_by_key(|(_, queue)| *queue);
    Some(all)
}

#[tokio::test]
async fn assignments_follow_the_mode_that_was_set_and_outlive_a_restart() {
    use MessageRequestMode::{Pop, Pull};
    let door = Door::start().await;
    door.create_topic("T", 4).await;
    let mut client = door.broker().await;
    assert_eq!(assigned(&mut client, "a", "T", "AVG").await, None);
    for id in ["a", "b", "c"] {
        assert_eq!(client.ask(heartbeat(id, "g", "T", "*", 1)).await.code, 0);
    }
    let avg = assigned(&mut client, "a", "T", "AVG").await;
    assert_eq!(avg, Some(vec![(Pull, 0), (Pull, 1)]));
    let circle = assigned(&mut client, "a", "T", "AVG_BY_CIRCLE").await;
    assert_eq!(circle, Some(vec![(Pull, 0), (Pull, 3)]));
    assert_eq!(assigned(&mut client, "a", "T", "ROOM").await, None);
    assert_eq!(assigned(&mut client, "x", "T", "AVG").await, None);
    let retry = assigned(&mut client, "a", "%RETRY%g", "AVG").await;
    assert_eq!(retry, Some(vec![(Pull, 0)]));

    for (command, code) in [
        (set_mode("%RETRY%g", Pop, 0), 16),
        (set_mode("Missing", Pop, 0), 17),
        (set_mode("T", Pop, -1), 0),
    ] {
        assert_eq!(client.ask(command).await.code, code);
    }
    let any = assigned(&mut client, "a", "T", "AVG").await;
    assert_eq!(any, Some(vec![(Pop, -1)]));
    // What was sent back comes with the topic, so nobody reads it besides.
    let retry = assigned(&mut client, "a", "%RETRY%g", "AVG").await;
    assert_eq!(retry, Some(Vec::new()));
    assert_eq!(client.ask(set_mode("T", Pop, 1)).await.code, 0);
    let shared = assigned(&mut client, "b", "T", "AVG").await;
    assert_eq!(shared, Some(vec![(Pop, 2), (Pop, 3)]));

    let folder = door.close().await.unwrap();
    let tls = crossdock_kit::Tls::off();
    let door = Door::open(folder.path(), common::config(), common::hub_config(), tls).await;
    let mut client = door.broker().await;
    let command = Command::request(request::GET_ALL_MESSAGE_REQUEST_MODE);
    let modes: MessageRequestModes = common::parse_body(&client.ask(command).await);
    let mode = &modes.message_request_mode_map["T"]["g"];
    assert_eq!((mode.mode, mode.pop_share_queue_num), (Pop, 1));
}

#[tokio::test]
async fn members_that_pop_and_members_that_pull_share_the_queues_of_a_topic() {
    let door = Door::start().await;
    door.create_topic("T", 4).await;
    let (mut puller, mut popper) = (door.broker().await, door.broker().await);
    for (client, id) in [(&mut puller, "a"), (&mut popper, "b")] {
        assert_eq!(client.ask(heartbeat(id, "g", "T", "*", 1)).await.code, 0);
    }
    let mut producer = door.broker().await;
    for queue in 0..4 {
        let body = queue.to_string();
        let sent = producer.ask(send_v2("T", queue, &body, "")).await;
        assert_eq!(sent.code, 0);
    }
    // The one that pulls sees both, and takes the first half.
    let list = GetConsumerList {
        consumer_group: "g",
    };
    let list = puller
        .ask_with(request::GET_CONSUMER_LIST_BY_GROUP, &list)
        .await;
    assert_eq!(&list.body[..], br#"{"consumerIdList":["a","b"]}"#);
    let mut popped = pop(&mut popper, &pop_of("T")).await.bodies();
    popped.sort_unstable();
    assert_eq!(popped, ["2", "3"]);
    assert_eq!(pop(&mut popper, &pop_of("T")).await.code, 210);
    for queue in 0..2 {
        let header = PullMessage {
            sub_version: 1,
            ..common::pull_header("g", "T", queue, 0, 0)
        };
        let pulled = puller.ask_with(request::PULL_MESSAGE, &header).await;
        assert_eq!(Pulled::of(pulled).bodies(), [queue.to_string()]);
    }
    // It goes without having said that it consumed anything: the other takes its share.
    drop(puller);
    let waiting = PopMessage {
        poll_time: 10_000,
        ..pop_of("T")
    };
    let mut rest = Vec::new();
    while rest.len() < 2 {
        rest.extend(pop(&mut popper, &waiting).await.bodies());
    }
    rest.sort_unstable();
    assert_eq!(rest, ["0", "1"]);
}

#[tokio::test]
async fn a_member_that_only_pops_leaves_no_retry_behind_next_to_one_that_pulls() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let (mut puller, mut popper) = (door.broker().await, door.broker().await);
    // By name the one that pops is first, so the only queue of the retry topic is its share.
    for (client, id) in [(&mut popper, "a"), (&mut puller, "b")] {
        assert_eq!(client.ask(heartbeat(id, "g", "T", "*", 1)).await.code, 0);
    }
    assert_eq!(pop(&mut popper, &pop_of("T")).await.code, 210);
    popper.publish("T", 1, "returned", "").await;
    let header = PullMessage {
        sub_version: 1,
        ..common::pull_header("g", "T", 1, 0, 0)
    };
    let pulled = Pulled::of(puller.ask_with(request::PULL_MESSAGE, &header).await);
    send_back(&mut puller, "T", &pulled.messages[0]).await;
    let waiting = PopMessage {
        poll_time: 10_000,
        ..pop_of("T")
    };
    let popped = pop(&mut popper, &waiting).await;
    assert_eq!(popped.bodies(), ["returned"]);
    assert_eq!(popped.messages[0].head.reconsume_times, 1);
}
