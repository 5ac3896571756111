//! Questions to connected clients over raw sockets: running information, direct consumption, positions.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, heartbeat, records};
use crossdock_proto_remoting::body::MessageQueue;
use crossdock_proto_remoting::body::stats::ClientOffsets;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::group::{
    ConsumeMessageDirectly, GetConsumerRunningInfo, GetConsumerStatus,
};
use crossdock_proto_remoting::{Command, body};

/// A consumer that is connected as `c1` of group `g`.
async fn consumer(door: &Door) -> Client {
    let mut client = door.broker().await;
    let opaque = client.send(heartbeat("c1", "g", "T", "*", 1)).await;
    client.answer_to(opaque).await;
    client
}

/// The next request of the broker to a client, whatever notices came before.
async fn question(client: &mut Client, code: i32) -> Command {
    loop {
        let received = client.receive().await.unwrap();
        if !received.is_response() && received.code == code {
            assert!(!received.is_oneway());
            return received;
        }
    }
}

async fn answer(client: &mut Client, question: &Command, code: i32, body: &'static [u8]) {
    let response = question.response(code).with_body(body);
    let mut frame = bytes::BytesMut::new();
    response.encode(&mut frame).unwrap();
    client.write(&frame).await;
}

fn running_info(client_id: &str) -> Command {
    let header = GetConsumerRunningInfo {
        consumer_group: "g",
        client_id,
        jstack_enable: Some(true),
    };
    Command::request(request::GET_CONSUMER_RUNNING_INFO).with_header(&header)
}

#[tokio::test]
async fn running_information_is_asked_of_the_client_and_passed_on() {
    let door = Door::start().await;
    let mut member = consumer(&door).await;
    let mut tool = door.broker().await;
    let opaque = tool.send(running_info("c1")).await;
    let asked = question(&mut member, request::GET_CONSUMER_RUNNING_INFO).await;
    let header = GetConsumerRunningInfo::parse(&asked.ext).unwrap();
    assert_eq!(header.consumer_group, "g");
    assert_eq!((header.client_id, header.jstack_enable), ("c1", Some(true)));
    answer(&mut member, &asked, 0, b"{\"jstack\":\"x\"}").await;
    let response = tool.answer_to(opaque).await;
    assert_eq!(
        (response.code, &response.body[..]),
        (0, &b"{\"jstack\":\"x\"}"[..])
    );
    // A second answer to the same question is nobody's.
    answer(&mut member, &asked, 0, b"again").await;
    let stats = || door.running.stats.snapshot().unmatched_responses;
    common::until("the second answer is dropped", || stats() == 1).await;
}

#[tokio::test]
async fn a_client_that_is_not_there_or_goes_away_is_not_waited_for() {
    let door = Door::start().await;
    let mut tool = door.broker().await;
    let missing = tool.ask(running_info("c1")).await;
    assert_eq!(missing.code, 1);
    assert!(missing.remark.unwrap().contains("not online"));
    let mut member = consumer(&door).await;
    let opaque = tool.send(running_info("c1")).await;
    question(&mut member, request::GET_CONSUMER_RUNNING_INFO).await;
    drop(member);
    let gone = tool.answer_to(opaque).await;
    assert_eq!(gone.code, 1);
    assert!(gone.remark.unwrap().contains("not online"));
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_a_timeout() {
    let door = Door::start().await;
    let mut member = consumer(&door).await;
    let mut tool = door.broker().await;
    let opaque = tool.send(running_info("c1")).await;
    let asked = question(&mut member, request::GET_CONSUMER_RUNNING_INFO).await;
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(tool.answer_to(opaque).await.code, 207);
    // Its late answer is not taken for another one.
    answer(&mut member, &asked, 0, b"late").await;
    let opaque = tool.send(running_info("c1")).await;
    let asked = question(&mut member, request::GET_CONSUMER_RUNNING_INFO).await;
    answer(&mut member, &asked, 0, b"timely").await;
    assert_eq!(&tool.answer_to(opaque).await.body[..], b"timely");
}

#[tokio::test]
async fn a_message_is_consumed_directly_by_the_named_client() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut member = consumer(&door).await;
    let mut tool = door.broker().await;
    let sent = tool.publish("T", 0, "the body", "").await;
    let header = ConsumeMessageDirectly {
        consumer_group: "g",
        client_id: Some("c1"),
        msg_id: Some(&sent.msg_id),
        ..ConsumeMessageDirectly::default()
    };
    let code = request::CONSUME_MESSAGE_DIRECTLY;
    let opaque = tool.send(Command::request(code).with_header(&header)).await;
    let asked = question(&mut member, code).await;
    let told = ConsumeMessageDirectly::parse(&asked.ext).unwrap();
    assert_eq!((told.broker_name, told.topic), (Some("node-a"), Some("T")));
    let message = &records(&asked.body)[0];
    assert_eq!(
        (&message.body[..], message.topic.as_str()),
        (&b"the body"[..], "T")
    );
    answer(
        &mut member,
        &asked,
        0,
        b"{\"consumeResult\":\"CR_SUCCESS\"}",
    )
    .await;
    assert_eq!(
        &tool.answer_to(opaque).await.body[..],
        b"{\"consumeResult\":\"CR_SUCCESS\"}"
    );
    for (client_id, msg_id) in [
        (Some("nobody"), Some(sent.msg_id.as_str())),
        (Some("c1"), Some("7F00000100002A9F7FFFFFFFFFFFFFFF")),
        (Some("c1"), Some("no id")),
    ] {
        let header = ConsumeMessageDirectly {
            client_id,
            msg_id,
            ..header.clone()
        };
        assert_eq!(tool.ask_with(code, &header).await.code, 1);
    }
    for (client_id, msg_id) in [(None, Some(sent.msg_id.as_str())), (Some("c1"), None)] {
        let header = ConsumeMessageDirectly {
            client_id,
            msg_id,
            ..header.clone()
        };
        assert_eq!(tool.ask_with(code, &header).await.code, 29);
    }
}

#[tokio::test]
async fn clients_are_asked_where_they_stand() {
    let door = Door::start().await;
    let mut member = consumer(&door).await;
    let mut tool = door.broker().await;
    let header = GetConsumerStatus {
        topic: "T",
        group: "g",
        client_addr: None,
    };
    let code = request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS;
    let opaque = tool.send(Command::request(code).with_header(&header)).await;
    let asked = question(&mut member, request::GET_CONSUMER_STATUS_FROM_CLIENT).await;
    let queue = MessageQueue {
        broker_name: "node-a".into(),
        queue_id: 0,
        topic: "T".into(),
    };
    let offsets = ClientOffsets {
        message_queue_table: vec![(queue, 7)],
    };
    let response = asked.response(0).with_body(offsets.to_json().unwrap());
    let mut frame = bytes::BytesMut::new();
    response.encode(&mut frame).unwrap();
    member.write(&frame).await;
    let response = tool.answer_to(opaque).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    let standard = body::to_standard(&response.body).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&standard).unwrap();
    let table = document["consumerTable"]["c1"].as_object().unwrap();
    assert_eq!(table.values().next().unwrap(), 7);
    let header = GetConsumerStatus {
        group: "nobody",
        ..header
    };
    assert_eq!(tool.ask_with(code, &header).await.code, 1);
}
