//! Finding messages over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, Message, props, records};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::query::{QueryMessage, QueryMessageResponse, ViewMessage};

async fn view(client: &mut Client, offset: i64) -> (i32, Vec<Message>) {
    let header = ViewMessage {
        topic: Some("T"),
        offset,
    };
    let response = client.ask_with(request::VIEW_MESSAGE_BY_ID, &header).await;
    (response.code, records(&response.body))
}

async fn query(
    client: &mut Client,
    key: &str,
    range: (i64, i64),
    unique: Option<bool>,
) -> Vec<String> {
    let header = QueryMessage {
        topic: "T",
        key,
        max_num: 10,
        begin_timestamp: range.0,
        end_timestamp: range.1,
        unique_key_query: unique,
    };
    let response = client.ask_with(request::QUERY_MESSAGE, &header).await;
    if response.code == 22 {
        return Vec::new();
    }
    assert_eq!(response.code, 0, "{:?}", response.remark);
    QueryMessageResponse::parse(&response.ext).unwrap();
    let mut bodies: Vec<String> = records(&response.body)
        .into_iter()
        .map(|message| String::from_utf8(message.body).unwrap())
        .collect();
    bodies.sort();
    bodies
}

#[tokio::test]
async fn a_message_is_viewed_by_the_position_in_its_id() {
    let door = Door::start().await;
    door.create_topic("T", 4).await;
    let mut client = door.broker().await;
    client.publish("T", 3, "first", "").await;
    let sent = client.publish("T", 3, "second", "").await;
    let (code, found) = view(&mut client, sent.position()).await;
    assert_eq!((code, found.len()), (0, 1));
    assert_eq!(found[0].body, b"second");
    assert_eq!((found[0].head.queue_id, found[0].head.queue_offset), (3, 1));
    assert_eq!(found[0].head.physical_offset, sent.position());
    for nowhere in [0, -1, sent.position() + 1, sent.position() + 8, i64::MAX] {
        assert_eq!(view(&mut client, nowhere).await.0, 1, "{nowhere}");
    }
    // One that waits for its time can be viewed as well.
    let sent = client
        .publish("T", 2, "later", &props(&[("DELAY", "18")]))
        .await;
    let (_, found) = view(&mut client, sent.position()).await;
    assert_eq!(
        (&found[0].body[..], found[0].head.queue_id),
        (&b"later"[..], 2)
    );
}

#[tokio::test]
async fn messages_are_found_by_each_of_their_keys_within_a_time() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for (body, keys, uniq) in [
        ("a", "k1 k2", "U1"),
        ("b", "k2", "U2"),
        ("c", "other", "U3"),
    ] {
        client
            .publish("T", 0, body, &props(&[("KEYS", keys), ("UNIQ_KEY", uniq)]))
            .await;
    }
    let ever = (0, i64::MAX);
    assert_eq!(query(&mut client, "k1", ever, None).await, ["a"]);
    assert_eq!(query(&mut client, "k2", ever, None).await, ["a", "b"]);
    assert_eq!(query(&mut client, "U2", ever, Some(true)).await, ["b"]);
    assert!(query(&mut client, "k2", ever, Some(true)).await.is_empty());
    assert!(query(&mut client, "k", ever, None).await.is_empty());
    let stored: Vec<i64> = client
        .pull("g", "T", 0, 0)
        .await
        .messages
        .iter()
        .map(|message| message.head.store_timestamp)
        .collect();
    assert!(
        query(&mut client, "k2", (0, stored[0] - 1), None)
            .await
            .is_empty()
    );
    assert!(
        query(&mut client, "k2", (stored[2] + 1, i64::MAX), None)
            .await
            .is_empty()
    );
    assert_eq!(
        query(&mut client, "k2", (stored[0], stored[1]), None).await,
        ["a", "b"]
    );
    let header = QueryMessage {
        topic: "Missing",
        key: "k1",
        max_num: 10,
        end_timestamp: i64::MAX,
        ..QueryMessage::default()
    };
    assert_eq!(
        client.ask_with(request::QUERY_MESSAGE, &header).await.code,
        22
    );
    assert_eq!(
        client
            .ask(Command::request(request::QUERY_MESSAGE))
            .await
            .code,
        1
    );
}
