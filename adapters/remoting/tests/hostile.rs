//! Traffic nobody planned for: each gets the documented error or a closed connection, and others
//! are unaffected.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::time::Duration;

use common::{Client, Door, SOON, pull_header, send_v2, until};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// The other client still gets what it asks for.
async fn is_unharmed(door: &Door) {
    let mut client = door.broker().await;
    client.publish("Unharmed", 0, "x", "").await;
}

#[tokio::test]
async fn bytes_that_are_not_frames_close_their_connection_only() {
    let door = Door::start().await;
    let json = |header: &str| {
        let mut frame = (4 + header.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
        frame.extend_from_slice(header.as_bytes());
        frame
    };
    let mut cases: Vec<Vec<u8>> = vec![
        // Two gibibytes announced, a negative length, and one that holds no header.
        vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1],
        vec![0xff, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 3],
        // A header that reaches beyond its frame, and an encoding nobody knows.
        vec![0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0],
        vec![0, 0, 0, 8, 7, 0, 0, 4, 0, 0, 0, 0],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ];
    for header in ["", "x", "[]", "{", r#"{"code":"x"}"#] {
        cases.push(json(header));
    }
    // Deep nesting where a value is expected.
    cases.push(json(&format!(
        "{{\"extFields\":{}",
        "{\"a\":".repeat(100_000)
    )));
    for (listener, case) in cases.iter().enumerate() {
        let mut client = match listener % 3 {
            0 => door.broker().await,
            1 => door.fast().await,
            _ => door.name_server().await,
        };
        client.write(case).await;
        assert!(
            client.receive().await.is_none(),
            "case {listener} was answered"
        );
    }
    let malformed = door.running.stats.snapshot().malformed_frames;
    assert_eq!(malformed, cases.len() as u64);
    is_unharmed(&door).await;
}

#[tokio::test]
async fn a_frame_that_never_gets_complete_is_given_up() {
    let mut config = common::config();
    config.frame_timeout = Duration::from_millis(10);
    let door = Door::with(config, common::hub_config()).await;
    let mut client = door.broker().await;
    client.write(&[0, 0, 0, 200, 0, 0]).await;
    assert!(client.receive().await.is_none());
    assert_eq!(door.running.stats.snapshot().idle_closed, 1);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let mut config = common::config();
    config.idle_timeout = Duration::from_millis(10);
    let door = Door::with(config, common::hub_config()).await;
    let mut client = door.broker().await;
    let response = client
        .ask(Command::request(request::GET_BROKER_CONFIG))
        .await;
    assert_eq!(response.code, 0);
    assert!(client.receive().await.is_none());
    assert_eq!(door.running.stats.snapshot().idle_closed, 1);
}

#[tokio::test]
async fn large_frames_share_a_budget_and_still_all_arrive() {
    let mut config = common::config();
    config.frame_bytes_max = 1024 * 1024;
    config.large_frames_bytes_max = 1024 * 1024;
    let door = Door::with(config, common::hub_config()).await;
    door.create_topic("T", 1).await;
    let body = "x".repeat(700 * 1024);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut client = door.broker().await;
        let command = send_v2("T", 0, &body, "");
        tasks.push(tokio::spawn(async move { client.ask(command).await.code }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody_but_itself() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    client.publish("T", 0, &"x".repeat(200 * 1024), "").await;
    let header = PullMessage {
        subscription: Some("*"),
        ..pull_header("g", "T", 0, 0, pull_flag::SUBSCRIPTION)
    };
    let mut frame = bytes::BytesMut::new();
    Command::request(request::PULL_MESSAGE)
        .with_header(&header)
        .encode(&mut frame)
        .unwrap();
    // It asks for two hundred megabytes and takes nothing; soon it is no longer listened to.
    let mut deaf = door.broker().await;
    let pulls = || {
        let requests = door.running.stats.snapshot().requests;
        requests.get(&request::PULL_MESSAGE).copied().unwrap_or(0)
    };
    let asking = async {
        for _ in 0..200_000 {
            if deaf.stream.write_all(&frame).await.is_err() {
                break;
            }
        }
    };
    assert!(timeout(Duration::from_millis(1500), asking).await.is_err());
    assert!((1..200).contains(&pulls()), "{} pulls were served", pulls());
    is_unharmed(&door).await;
    drop(deaf);
    // Its connection ends, with everything that was queued for it.
    let open = || door.running.listeners[0].1.snapshot().open;
    until("the end of the deaf connection", || open() <= 1).await;
}

#[tokio::test]
async fn thousands_of_silent_connections_leave_room_for_others() {
    let door = Door::start().await;
    let mut silent = Vec::new();
    for _ in 0..2000 {
        let stream = tokio::net::TcpStream::connect(door.running.broker.unwrap())
            .await
            .unwrap();
        silent.push(stream);
    }
    // Half of them have begun a frame.
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(&[0, 0, 1]).await.unwrap();
    }
    is_unharmed(&door).await;
}

#[tokio::test]
async fn responses_without_a_question_are_counted_and_dropped() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let request = Command::request(7);
    for _ in 0..3 {
        client.reply(&request, 0).await;
    }
    let response = client
        .ask(Command::request(request::GET_BROKER_CONFIG))
        .await;
    assert_eq!(response.code, 0);
    assert_eq!(door.running.stats.snapshot().unmatched_responses, 3);
}

#[tokio::test]
async fn header_fields_of_the_wrong_kind_are_refused_in_every_family() {
    let door = Door::start().await;
    let wrong = [
        ("topic", "T"),
        ("queueId", "one"),
        ("consumerGroup", "g"),
        ("offset", ""),
        ("a", "x"),
        ("e", "99999999999999999999"),
        ("brokerId", "zero"),
        ("maxNum", "many"),
        ("perm", "rw"),
    ];
    let codes = [
        10, 310, 320, 11, 361, 12, 14, 15, 17, 29, 30, 31, 32, 33, 36,
    ];
    let mut client = door.broker().await;
    for code in codes {
        let command = Command::request(code).with_ext(wrong.into_iter().collect());
        let response = client.ask(command).await;
        assert_eq!(response.code, 1, "request {code}: {:?}", response.remark);
    }
    let mut client: Client = door.name_server().await;
    for code in [100, 101, 102, 103, 104, 205, 216, 219, 322, 327] {
        let command = Command::request(code).with_ext(wrong.into_iter().collect());
        let answer = timeout(SOON, client.ask(command)).await.unwrap();
        // Deleting needs no more than a topic.
        let expected = if code == 216 { 0 } else { 1 };
        assert_eq!(answer.code, expected, "request {code}: {:?}", answer.remark);
    }
}
