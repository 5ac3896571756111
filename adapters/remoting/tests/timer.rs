//! Timer messages and their recall over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, hub_config, props, send_v2};
use crossdock_kit::Tls;
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::send::{RecallMessage, RecallResponse, SendResponse};
use crossdock_proto_remoting::record::RecallHandle;

const YEAR_MS: i64 = 365 * 86_400_000;

/// Sends a message with one timer property; its handle and its id.
async fn schedule(
    client: &mut Client,
    key: &str,
    timer: (&str, i64),
) -> (Option<String>, common::Sent) {
    let due = timer.1.to_string();
    let text = props(&[("UNIQ_KEY", key), (timer.0, &due)]);
    let response = client.ask(send_v2("T", 0, key, &text)).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    let header = SendResponse::parse(&response.ext).unwrap();
    let handle = header.recall_handle.map(str::to_owned);
    (handle, common::Sent::of(&response))
}

async fn recall(client: &mut Client, topic: &str, handle: &str) -> Command {
    let header = RecallMessage {
        producer_group: Some("pg"),
        topic,
        recall_handle: handle,
    };
    client.ask_with(request::RECALL_MESSAGE, &header).await
}

#[tokio::test]
async fn timers_are_kept_to_the_millisecond_and_show_what_was_asked_for() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let due = door.hub.now_ms() + 777;
    schedule(&mut client, "at", ("TIMER_DELIVER_MS", due)).await;
    schedule(&mut client, "after", ("TIMER_DELAY_MS", 333)).await;
    schedule(&mut client, "seconds", ("TIMER_DELAY_SEC", 1)).await;
    schedule(&mut client, "past", ("TIMER_DELIVER_MS", due - 10_000)).await;
    let topic = door.hub.topic("T").unwrap();
    common::until("all deliveries", || {
        door.hub.bounds(&topic, 0).unwrap().max == 4
    })
    .await;
    let pulled = client.pull("g", "T", 0, 0).await;
    assert_eq!(pulled.bodies(), ["past", "after", "at", "seconds"]);
    let at = &pulled.messages[2];
    assert!(at.head.store_timestamp >= due);
    for (name, value) in [
        ("TIMER_DELIVER_MS", due.to_string().as_str()),
        ("TIMER_OUT_MS", due.to_string().as_str()),
        ("REAL_TOPIC", "T"),
        ("REAL_QID", "0"),
        ("UNIQ_KEY", "at"),
    ] {
        assert_eq!(at.property(name), Some(value), "{name}");
    }
    let after = &pulled.messages[1];
    let out: i64 = after.property("TIMER_OUT_MS").unwrap().parse().unwrap();
    assert!(after.head.store_timestamp >= out);
    assert_eq!(after.property("TIMER_DELAY_MS"), Some("333"));
    assert_eq!(pulled.messages[0].property("TIMER_OUT_MS"), None);
}

#[tokio::test]
async fn a_delay_level_wins_and_leaves_no_timer_property() {
    let mut hub = hub_config();
    hub.delay_levels = "1s".parse().unwrap();
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let year = YEAR_MS.to_string();
    let text = props(&[
        ("DELAY", "1"),
        ("TIMER_DELAY_SEC", "9999"),
        ("TIMER_DELAY_MS", "99"),
        ("TIMER_DELIVER_MS", &year),
    ]);
    let response = client.ask(send_v2("T", 0, "x", &text)).await;
    assert_eq!(response.code, 0);
    let header = SendResponse::parse(&response.ext).unwrap();
    assert_eq!(header.recall_handle, None);
    let topic = door.hub.topic("T").unwrap();
    common::until("delivery", || door.hub.bounds(&topic, 0).unwrap().max == 1).await;
    let pulled = client.pull("g", "T", 0, 0).await;
    let [message] = &pulled.messages[..] else {
        panic!("{pulled:?}");
    };
    assert_eq!(message.property("DELAY"), Some("1"));
    for name in [
        "TIMER_DELAY_SEC",
        "TIMER_DELAY_MS",
        "TIMER_DELIVER_MS",
        "TIMER_OUT_MS",
    ] {
        assert_eq!(message.property(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_timer_of_many_years_is_taken_and_recalled_by_its_handle_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Door::open(folder.path(), common::config(), hub_config(), Tls::off());
    let door = open().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let due = door.hub.now_ms() + 20 * YEAR_MS;
    let (handle, _) = schedule(&mut client, "KEY", ("TIMER_DELIVER_MS", due)).await;
    let handle = handle.unwrap();
    assert_eq!(handle, RecallHandle::encode("T", "node-a", due, "KEY"));
    schedule(&mut client, "KEPT", ("TIMER_DELIVER_MS", due)).await;
    door.close().await;
    let door = open().await;
    let mut client = door.broker().await;
    let answer = recall(&mut client, "T", &handle).await;
    assert_eq!(answer.code, 0, "{:?}", answer.remark);
    assert_eq!(RecallResponse::parse(&answer.ext).unwrap().msg_id, "KEY");
    let again = recall(&mut client, "T", &handle).await;
    assert_eq!(again.code, response::ILLEGAL_OPERATION);
    let topic = door.hub.topic("T").unwrap();
    let pending = door.hub.pending_by_key(&topic, "KEPT", 9).await.unwrap();
    assert_eq!(pending.len(), 1);
    door.close().await;
}

#[tokio::test]
async fn a_recalled_message_is_not_delivered_and_a_delivered_one_not_recalled() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let (gone, _) = schedule(&mut client, "gone", ("TIMER_DELAY_MS", 400)).await;
    let (kept, _) = schedule(&mut client, "kept", ("TIMER_DELAY_MS", 401)).await;
    assert_eq!(recall(&mut client, "T", &gone.unwrap()).await.code, 0);
    let topic = door.hub.topic("T").unwrap();
    common::until("delivery", || door.hub.bounds(&topic, 0).unwrap().max == 1).await;
    let late = recall(&mut client, "T", &kept.unwrap()).await;
    assert_eq!(late.code, response::ILLEGAL_OPERATION);
    assert_eq!(client.pull("g", "T", 0, 0).await.bodies(), ["kept"]);
}

#[tokio::test]
async fn a_message_is_recalled_by_its_id_as_well() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_topic("U", 1).await;
    let mut client = door.broker().await;
    let (_, sent) = schedule(&mut client, "KEY", ("TIMER_DELAY_SEC", 3_600)).await;
    let elsewhere = recall(&mut client, "U", &sent.msg_id).await;
    assert_eq!(elsewhere.code, response::ILLEGAL_OPERATION);
    let answer = recall(&mut client, "T", &sent.msg_id).await;
    assert_eq!(answer.code, 0, "{:?}", answer.remark);
    assert_eq!(RecallResponse::parse(&answer.ext).unwrap().msg_id, "KEY");
    let again = recall(&mut client, "T", &sent.msg_id).await;
    assert_eq!(again.code, response::ILLEGAL_OPERATION);
    let plain = client.publish("T", 0, "plain", "").await;
    let never = recall(&mut client, "T", &plain.msg_id).await;
    assert_eq!(never.code, response::ILLEGAL_OPERATION);
}

#[tokio::test]
async fn handles_that_name_nothing_here_are_refused() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let due = door.hub.now_ms() + YEAR_MS;
    let (real, _) = schedule(&mut client, "KEY", ("TIMER_DELIVER_MS", due)).await;
    let handle = |topic, node, due, key| RecallHandle::encode(topic, node, due, key);
    for (what, wrong) in [
        ("another topic", handle("U", "node-a", due, "KEY")),
        ("another broker", handle("T", "node-b", due, "KEY")),
        ("a past time", handle("T", "node-a", 1, "KEY")),
        ("another time", handle("T", "node-a", due + 1, "KEY")),
        ("another key", handle("T", "node-a", due, "YEK")),
        ("rubbish", "rubbish".to_owned()),
        ("much rubbish", "A".repeat(30_000)),
    ] {
        let answer = recall(&mut client, "T", &wrong).await;
        assert_eq!(answer.code, response::ILLEGAL_OPERATION, "{what}");
    }
    let missing = recall(&mut client, "nowhere", &real.clone().unwrap()).await;
    assert_eq!(missing.code, response::TOPIC_NOT_EXIST);
    assert_eq!(recall(&mut client, "T", &real.unwrap()).await.code, 0);
}
