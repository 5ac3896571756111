//! Traces written by the server, found as stock tools find them.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use bytes::BytesMut;
use common::{Client, Door, hub_config, props, records, send_header, send_v2};
use crossdock_hub::HubConfig;
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::query::QueryMessage;
use crossdock_proto_remoting::record::{BatchElement, Properties};

const TRACES: &str = "RMQ_SYS_TRACE_TOPIC";

async fn tracing_door() -> Door {
    let hub = HubConfig {
        traces_messages: true,
        ..hub_config()
    };
    Door::with(common::config(), hub).await
}

/// The records under a key, fields separated by bars.
async fn traces(client: &mut Client, key: &str) -> Vec<String> {
    let header = QueryMessage {
        topic: TRACES,
        key,
        max_num: 64,
        begin_timestamp: 0,
        end_timestamp: i64::MAX,
        ..QueryMessage::default()
    };
    let answer = client.ask_with(request::QUERY_MESSAGE, &header).await;
    let mut all = Vec::new();
    for message in records(&answer.body) {
        let text = String::from_utf8(message.body).unwrap();
        let texts = text.split('\u{2}').filter(|text| !text.is_empty());
        all.extend(texts.map(|text| text.replace('\u{1}', "|")));
    }
    all.sort();
    all
}

/// Waits for so many records under a key.
async fn await_traces(client: &mut Client, key: &str, count: usize) -> Vec<String> {
    let started = std::time::Instant::now();
    loop {
        let found = traces(client, key).await;
        if found.len() >= count {
            return found;
        }
        assert!(started.elapsed() < common::SOON, "{key}: {found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn sends_and_deliveries_are_recorded_for_clients_that_record_nothing() {
    let door = tracing_door().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let text = props(&[("UNIQ_KEY", "ID-1"), ("KEYS", "k1 k2"), ("TAGS", "A")]);
    let sent = client.publish("T", 0, "hello", &text).await;
    assert_eq!(client.pull("g", "T", 0, 0).await.bodies(), ["hello"]);
    let found = await_traces(&mut client, "k2", 2).await;
    let [published, delivered] = &found[..] else {
        panic!("{found:?}");
    };
    let fields: Vec<&str> = published.split('|').collect();
    let place = sent.msg_id.as_str();
    let server = door.running.broker.unwrap().to_string();
    let from = client.local.to_string();
    assert_eq!(fields.len(), 15);
    assert_eq!(fields[0], "Pub");
    assert_eq!(
        fields[2..10],
        [
            "DefaultRegion",
            "pg",
            "T",
            "ID-1",
            "A",
            "k1 k2",
            &server,
            "5"
        ]
    );
    assert_eq!(fields[11..], ["0", place, "true", &from]);
    let fields: Vec<&str> = delivered.split('|').collect();
    assert_eq!((fields[0], fields[3]), ("SubBefore", "g"));
    assert_eq!(fields[5..], ["ID-1", "0", "k1 k2"]);
    assert_eq!(await_traces(&mut client, "ID-1", 2).await, found);
    // The traces themselves are found and leave none.
    let pulled = client.pull("g", TRACES, 0, 0).await;
    let id = pulled.messages[0].property("UNIQ_KEY").unwrap();
    let own = traces(&mut client, id).await;
    assert!(!own.is_empty() && own.iter().all(|text| !text.contains(id)));
}

#[tokio::test]
async fn one_way_delayed_and_batched_sends_are_recorded() {
    let door = tracing_door().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let one_way = send_v2("T", 0, "x", &props(&[("UNIQ_KEY", "ID-1")]));
    client.send(one_way.oneway()).await;
    let later = props(&[("UNIQ_KEY", "ID-2"), ("TIMER_DELAY_SEC", "3600")]);
    client.publish("T", 0, "x", &later).await;
    let mut body = BytesMut::new();
    for id in ["ID-3", "ID-4"] {
        let text = props(&[("UNIQ_KEY", id)]);
        let element = BatchElement {
            flag: 0,
            body: b"abc",
            properties: Properties::new(&text),
        };
        element.write(&mut body).unwrap();
    }
    let batch = Command::request(request::SEND_BATCH_MESSAGE)
        .with_header(&send_header("T", 0, ""))
        .with_body(body);
    let ids = client.ask(batch).await;
    let ids = common::Sent::of(&ids).msg_id;
    let places: Vec<&str> = ids.split(',').collect();
    for (id, kind, place) in [
        ("ID-1", "0", "null"),
        ("ID-2", "3", ""),
        ("ID-3", "0", places[0]),
        ("ID-4", "0", places[1]),
    ] {
        let found = await_traces(&mut client, id, 1).await;
        let published = found.iter().find(|text| text.contains(id)).unwrap();
        let fields: Vec<&str> = published.split('|').collect();
        assert_eq!((fields[0], fields[11], fields[13]), ("Pub", kind, "true"));
        assert!(place.is_empty() || fields[12] == place, "{published}");
    }
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_wanted() {
    let door = Door::start().await;
    assert!(door.hub.tracer().is_none());
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.publish("T", 0, "x", "").await;
    let traces = door.hub.topic(TRACES).unwrap();
    assert_eq!(door.hub.bounds(&traces, 0).unwrap().max, 0);
}
