//! Filters over message properties, over raw sockets: which messages a pull gets, how it passes over the others, and
//! what clients hear of filters that cannot be evaluated.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, Pulled, props, pull_header, until};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};
use crossdock_proto_remoting::header::send::SendBack;

const INLINE: i32 = pull_flag::SUBSCRIPTION;
const HOLD: i32 = pull_flag::SUSPEND | pull_flag::SUBSCRIPTION;

fn sql<'a>(topic: &'a str, text: &'a str, offset: i64, flags: i32) -> PullMessage<'a> {
    PullMessage {
        subscription: Some(text),
        expression_type: Some("SQL92"),
        suspend_timeout_millis: 15_000,
        ..pull_header("g", topic, 0, offset, flags)
    }
}

async fn pull(client: &mut Client, header: &PullMessage<'_>) -> Pulled {
    Pulled::of(client.ask_with(request::PULL_MESSAGE, header).await)
}

async fn publish(client: &mut Client, body: &str, properties: &[(&str, &str)]) {
    client.publish("T", 0, body, &props(properties)).await;
}

/// Ten messages with `n` from 0 to 9, the odd ones blue.
async fn ten(client: &mut Client) {
    for n in 0..10 {
        let number = n.to_string();
        let colour = if n % 2 == 1 { "blue" } else { "red" };
        publish(client, &number, &[("n", &number), ("colour", colour)]).await;
    }
}

/// A heartbeat whose one subscription is a filter.
fn heartbeat(language: &str, text: &str, version: i64) -> Command {
    let text = format!(
        r#"{{"clientID":"c","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",
        "consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING",
        "subscriptionDataSet":[{{"expressionType":"{language}","subString":"{text}",
        "subVersion":{version},"topic":"T"}}]}}]}}"#
    );
    Command::request(request::HEART_BEAT).with_body(text.into_bytes())
}

fn check(language: &str, text: &str) -> Command {
    let text = format!(
        r#"{{"clientId":"c","group":"g","subscriptionData":{{"topic":"T","subString":"{text}",
        "expressionType":"{language}"}}}}"#
    );
    Command::request(request::CHECK_CLIENT_CONFIG).with_body(text.into_bytes())
}

#[tokio::test]
async fn a_pull_gets_what_its_filter_wants_and_goes_on_behind_the_rest() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    ten(&mut client).await;
    let text = "n > 2 AND colour = 'blue'";
    let found = pull(&mut client, &sql("T", text, 0, INLINE)).await;
    assert_eq!((found.code, found.next()), (0, 10));
    assert_eq!(found.bodies(), ["3", "5", "7", "9"]);
    // The next wanted message that had no room is where the next pull begins.
    let header = PullMessage {
        max_msg_nums: 2,
        ..sql("T", text, 0, INLINE)
    };
    let first = pull(&mut client, &header).await;
    assert_eq!(
        (first.bodies(), first.next()),
        (vec!["3".into(), "5".into()], 7)
    );
    let none = pull(&mut client, &sql("T", "n > 9", 0, INLINE)).await;
    assert_eq!((none.code, none.next()), (20, 10));
    let end = pull(&mut client, &sql("T", text, 10, INLINE)).await;
    assert_eq!((end.code, end.next()), (19, 10));
    let beyond = pull(&mut client, &sql("T", text, 11, INLINE)).await;
    assert_eq!((beyond.code, beyond.next()), (21, 10));
}

#[tokio::test]
async fn an_answer_with_a_filter_is_bounded_in_messages_and_bytes() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for n in 0..80 {
        let even = if n % 2 == 0 { "TRUE" } else { "FALSE" };
        publish(&mut client, &n.to_string(), &[("even", even)]).await;
    }
    let big = "x".repeat(200 * 1024);
    for _ in 0..2 {
        publish(&mut client, &big, &[("even", "true")]).await;
    }
    let header = PullMessage {
        max_msg_nums: 1000,
        ..sql("T", "even = TRUE", 0, INLINE)
    };
    let found = pull(&mut client, &header).await;
    assert_eq!((found.messages.len(), found.next()), (32, 64));
    let rest = PullMessage {
        queue_offset: 64,
        ..header
    };
    let found = pull(&mut client, &rest).await;
    assert_eq!((found.messages.len(), found.next()), (9, 81));
}

#[tokio::test]
async fn what_nobody_wants_is_passed_over_in_bounded_portions() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    const MANY: i64 = 2_000;
    for n in 0..MANY {
        publish(&mut client, "no", &[("n", &n.to_string())]).await;
    }
    publish(&mut client, "yes", &[("n", "-1")]).await;
    let mut offset = 0;
    let mut pulls = 0;
    loop {
        let answer = pull(&mut client, &sql("T", "n < 0", offset, HOLD)).await;
        pulls += 1;
        if answer.code == 0 {
            assert_eq!(
                (answer.bodies(), answer.next()),
                (vec!["yes".into()], MANY + 1)
            );
            break;
        }
        assert_eq!(answer.code, 20);
        let portion = answer.next() - offset;
        assert!((1..=1_000).contains(&portion), "{portion} at {offset}");
        offset = answer.next();
    }
    assert!((2..=10).contains(&pulls), "{pulls}");
}

#[tokio::test]
async fn a_held_pull_with_a_filter_sleeps_through_what_it_does_not_want() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut consumer = door.broker().await;
    let mut producer = door.broker().await;
    let header = sql("T", "n >= 5", 0, HOLD);
    let command = Command::request(request::PULL_MESSAGE).with_header(&header);
    let opaque = consumer.send(command).await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    ten(&mut producer).await;
    let answer = consumer.receive().await.unwrap();
    assert_eq!(answer.opaque, opaque);
    let found = Pulled::of(answer);
    assert_eq!(found.bodies().first().map(String::as_str), Some("5"));
    until("released", || door.running.stats.snapshot().held_pulls == 0).await;
}

#[tokio::test]
async fn a_held_pull_whose_time_is_up_takes_its_client_past_what_it_did_not_want() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut consumer = door.broker().await;
    let mut producer = door.broker().await;
    let header = PullMessage {
        suspend_timeout_millis: 1_000,
        ..sql("T", "n > 100", 0, HOLD)
    };
    let command = Command::request(request::PULL_MESSAGE).with_header(&header);
    consumer.send(command).await;
    until("held", || door.running.stats.snapshot().held_pulls == 1).await;
    ten(&mut producer).await;
    let passed = Pulled::of(consumer.receive().await.unwrap());
    assert_eq!((passed.code, passed.next()), (19, 10));
}

#[tokio::test]
async fn the_heartbeats_filter_is_used_and_its_version_counts() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    ten(&mut client).await;
    let header = |version| PullMessage {
        sub_version: version,
        ..pull_header("g", "T", 0, 0, 0)
    };
    let beat = heartbeat("SQL92", "n BETWEEN 3 AND 4", 10);
    assert_eq!(client.ask(beat).await.code, 0);
    assert_eq!(pull(&mut client, &header(10)).await.bodies(), ["3", "4"]);
    assert_eq!(pull(&mut client, &header(9)).await.code, 0);
    assert_eq!(pull(&mut client, &header(11)).await.code, 25);
    // An older version changes nothing, a newer one does.
    client.ask(heartbeat("SQL92", "n = 1", 9)).await;
    assert_eq!(pull(&mut client, &header(10)).await.bodies(), ["3", "4"]);
    client.ask(heartbeat("SQL92", "n IN ('1')", 11)).await;
    assert_eq!(pull(&mut client, &header(11)).await.bodies(), ["1"]);
    // From a filter to tags and back.
    client.ask(heartbeat("TAG", "*", 12)).await;
    assert_eq!(pull(&mut client, &header(12)).await.messages.len(), 10);
    client.ask(heartbeat("SQL92", "colour = 'blue'", 13)).await;
    assert_eq!(pull(&mut client, &header(13)).await.messages.len(), 5);
}

#[tokio::test]
async fn filters_that_cannot_be_evaluated_are_named_and_deliver_nothing() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    ten(&mut client).await;
    for (language, text) in [
        ("SQL92", ""),
        ("SQL92", "n >"),
        ("SQL92", "n > 'x'"),
        ("SQL92", "n LIKE '1%'"),
        ("SQL92", "n > 1 AND"),
        ("XPATH", "//n"),
    ] {
        let refused = client.ask(check(language, text)).await;
        assert_eq!(refused.code, 23, "{text}");
        assert!(refused.remark.is_some_and(|remark| !remark.is_empty()));
        let header = PullMessage {
            expression_type: Some(language),
            ..sql("T", text, 0, INLINE)
        };
        let refused = pull(&mut client, &header).await;
        assert_eq!((refused.code, refused.messages.len()), (23, 0), "{text}");
    }
    assert_eq!(client.ask(check("SQL92", "n > 1")).await.code, 0);
    // Heartbeats pass, so that the other subscriptions of the group do.
    for (version, language, text) in [(1, "SQL92", "n >"), (2, "XPATH", "//n")] {
        assert_eq!(client.ask(heartbeat(language, text, version)).await.code, 0);
        let refused = pull(&mut client, &pull_header("g", "T", 0, 0, 0)).await;
        assert_eq!((refused.code, refused.messages.len()), (27, 0), "{text}");
    }
    client.ask(heartbeat("SQL92", "n > 8", 3)).await;
    let found = pull(&mut client, &pull_header("g", "T", 0, 0, 0)).await;
    assert_eq!(found.bodies(), ["9"]);
}

#[tokio::test]
async fn every_stored_property_is_visible() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let own = [
        ("TAGS", "created"),
        ("KEYS", "k1 k2"),
        ("UNIQ_KEY", "U"),
        ("colour", "blaugrün"),
        ("DELAY", "1"),
    ];
    publish(&mut client, "m", &own).await;
    let topic = door.hub.topic("T").unwrap();
    until("due", || door.hub.bounds(&topic, 0).unwrap().max == 1).await;
    let seen = client.pull("g", "T", 0, 0).await.messages[0]
        .properties
        .clone();
    assert!(seen.len() > own.len(), "the broker adds its own: {seen:?}");
    for (name, value) in &seen {
        let text = format!("{name} = '{value}'");
        let found = pull(&mut client, &sql("T", &text, 0, INLINE)).await;
        assert_eq!(found.messages.len(), 1, "{text}");
        let found = pull(
            &mut client,
            &sql("T", &format!("{name} IS NULL"), 0, INLINE),
        )
        .await;
        assert_eq!(found.code, 20, "{name}");
    }
}

#[tokio::test]
async fn messages_that_refer_to_an_earlier_record_are_filtered_by_their_own_properties() {
    let mut hub = common::hub_config();
    hub.delay_levels = "1s 1s 1s 1s".parse().unwrap();
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.ask(common::heartbeat("c", "g", "T", "*", 1)).await;
    // Both bodies that are copied and bodies that are referred to.
    for size in [5, 4000] {
        let text = props(&[("size", &size.to_string())]);
        let sent = client.publish("T", 0, &"b".repeat(size), &text).await;
        let back = SendBack {
            offset: sent.position(),
            group: "g",
            delay_level: 1,
            origin_msg_id: None,
            origin_topic: Some("T"),
            unit_mode: Some(false),
            max_reconsume_times: None,
        };
        let response = client
            .ask_with(request::CONSUMER_SEND_MSG_BACK, &back)
            .await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
    }
    until("retries", || {
        let topic = door.hub.topic("%RETRY%g");
        topic.is_some_and(|topic| door.hub.bounds(&topic, 0).unwrap().max == 2)
    })
    .await;
    for (size, other) in [(5, 4000), (4000, 5)] {
        let text = format!("RETRY_TOPIC = 'T' AND size = {size} AND size <> {other}");
        let found = pull(&mut client, &sql("%RETRY%g", &text, 0, INLINE)).await;
        assert_eq!(found.messages.len(), 1, "{text}");
        assert_eq!(found.messages[0].body.len(), size);
    }
}
