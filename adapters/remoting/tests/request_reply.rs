//! Replies to requests between clients, over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, Sent, props, send_header};
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::send::ReplyMessage;
use crossdock_proto_remoting::record::Properties;
use crossdock_proto_remoting::{Command, Encoding, ExtBuilder};

const TOPIC: &str = "DefaultCluster_REPLY_TOPIC";

/// Makes a client known as a producer.
async fn join(client: &mut Client, id: &str) {
    let body = format!(
        r#"{{"clientID":"{id}","consumerDataSet":[],"producerDataSet":[{{"groupName":"pg"}}],
        "heartbeatFingerprint":0,"withoutSub":false}}"#
    );
    let beat = Command::request(request::HEART_BEAT).with_body(body.into_bytes());
    assert_eq!(client.ask(beat).await.code, 0);
}

fn reply(code: i32, to: Option<&str>, body: &str) -> Command {
    let mut pairs = vec![("MSG_TYPE", "reply"), ("CORRELATION_ID", "c-1")];
    if let Some(to) = to {
        pairs.push(("REPLY_TO_CLIENT", to));
    }
    let text = props(&pairs);
    let header = send_header(TOPIC, 0, &text);
    let mut ext = ExtBuilder::new();
    if code == request::SEND_REPLY_MESSAGE {
        header.write_v1(&mut ext);
    } else {
        header.write_v2(&mut ext);
    }
    let command = Command::request(code).with_ext(ext.build());
    command.with_body(body.as_bytes().to_vec())
}

#[tokio::test]
async fn a_reply_is_pushed_to_the_client_that_asked_and_stored() {
    let door = Door::start().await;
    for (encoding, code) in [
        (Encoding::Json, request::SEND_REPLY_MESSAGE),
        (Encoding::Binary, request::SEND_REPLY_MESSAGE_V2),
    ] {
        let (mut asker, mut answerer) = (door.broker().await, door.broker().await);
        let id = format!("asker-{code}");
        join(&mut asker, &id).await;
        answerer.encoding = encoding;
        let response = answerer.ask(reply(code, Some(&id), "the answer")).await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
        let sent = Sent::of(&response);
        assert_eq!(sent.region.as_deref(), Some("DefaultRegion"));
        let pushed = asker.receive().await.unwrap();
        assert_eq!(pushed.code, request::PUSH_REPLY_MESSAGE_TO_CLIENT);
        assert!(pushed.is_oneway() && !pushed.is_response());
        assert_eq!(&pushed.body[..], b"the answer");
        let header = ReplyMessage::parse(&pushed.ext).unwrap();
        assert_eq!((header.topic, header.producer_group), (TOPIC, "pg"));
        assert_eq!((header.queue_id, header.flag), (0, 7));
        assert_eq!(header.born_host, answerer.local.to_string());
        let properties = Properties::new(header.properties.unwrap());
        assert_eq!(properties.get("CORRELATION_ID"), Some("c-1"));
        assert_eq!(properties.get("REPLY_TO_CLIENT"), Some(id.as_str()));
        let pushed_ms: i64 = properties.get("PUSH_REPLY_TIME").unwrap().parse().unwrap();
        assert_eq!(pushed_ms, header.store_timestamp);
        let stored = answerer.pull("g", TOPIC, 0, sent.offset).await;
        assert_eq!(stored.bodies(), ["the answer"]);
        assert_eq!(stored.messages[0].property("CORRELATION_ID"), Some("c-1"));
        assert_eq!(
            stored.messages[0].head.physical_offset,
            sent.position(),
            "the id in the answer names the stored reply"
        );
    }
}

#[tokio::test]
async fn a_reply_nobody_waits_for_is_stored_and_said_to_be_lost() {
    let door = Door::start().await;
    let mut answerer = door.broker().await;
    let v2 = request::SEND_REPLY_MESSAGE_V2;
    let response = answerer.ask(reply(v2, Some("nobody"), "1")).await;
    assert_eq!(response.code, response::SYSTEM_ERROR);
    let remark = response.remark.as_ref().unwrap().to_string();
    assert!(remark.contains("channel of <nobody> not found"), "{remark}");
    let response = answerer.ask(reply(v2, None, "2")).await;
    assert_eq!(response.code, response::SYSTEM_ERROR);
    let remark = response.remark.as_ref().unwrap().to_string();
    assert!(remark.contains("REPLY_TO_CLIENT"), "{remark}");
    let mut asker = door.broker().await;
    join(&mut asker, "asker").await;
    drop(asker);
    common::until("the asker is gone", || {
        door.hub.producer_by_client("asker").is_none()
    })
    .await;
    let response = answerer.ask(reply(v2, Some("asker"), "3")).await;
    assert_eq!(response.code, response::SYSTEM_ERROR);
    let stored = answerer.pull("g", TOPIC, 0, 0).await;
    assert_eq!(stored.bodies(), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_client_that_reconnected_gets_the_reply_on_its_new_connection() {
    let door = Door::start().await;
    let (mut old, mut new) = (door.broker().await, door.broker().await);
    join(&mut old, "asker").await;
    join(&mut new, "asker").await;
    let mut answerer = door.broker().await;
    let command = reply(request::SEND_REPLY_MESSAGE_V2, Some("asker"), "x");
    assert_eq!(answerer.ask(command).await.code, 0);
    let pushed = new.receive().await.unwrap();
    assert_eq!(pushed.code, request::PUSH_REPLY_MESSAGE_TO_CLIENT);
}

#[tokio::test]
async fn replies_to_topics_that_take_none_are_refused() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    for (topic, code) in [
        ("%RETRY%g", response::INVALID_PARAMETER),
        ("SELF_TEST_TOPIC", response::NO_PERMISSION),
        ("not legal", response::INVALID_PARAMETER),
    ] {
        let header = send_header(topic, 0, "");
        let answer = client
            .ask_with(request::SEND_REPLY_MESSAGE_V2, &header)
            .await;
        assert_eq!(answer.code, code, "{topic}: {:?}", answer.remark);
    }
}
