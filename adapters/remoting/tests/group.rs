//! Groups over raw sockets: heartbeats, membership notices, queue locks.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, heartbeat, parse_body};
use crossdock_proto_remoting::body::MessageQueue;
use crossdock_proto_remoting::body::group::{
    ConsumerConnections, ConsumerList, ProducerConnections,
};
use crossdock_proto_remoting::body::lock::{LockBatch, LockBatchResult};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::admin::{GetConsumerConnections, GetProducerConnections};
use crossdock_proto_remoting::header::group::{
    GetConsumerList, HeartbeatResponse, NotifyConsumerIdsChanged, UnregisterClient,
};
use crossdock_proto_remoting::{Command, body};

async fn members(client: &mut Client, group: &str) -> Vec<String> {
    let header = GetConsumerList {
        consumer_group: group,
    };
    let response = client
        .ask_with(request::GET_CONSUMER_LIST_BY_GROUP, &header)
        .await;
    if response.code == 1 {
        return Vec::new();
    }
    parse_body::<ConsumerList>(&response).consumer_id_list
}

async fn notice(client: &mut Client) -> String {
    let received = client.receive().await.unwrap();
    assert_eq!(received.code, request::NOTIFY_CONSUMER_IDS_CHANGED);
    assert!(received.is_oneway() && !received.is_response());
    let header = NotifyConsumerIdsChanged::parse(&received.ext).unwrap();
    header.consumer_group.to_owned()
}

#[tokio::test]
async fn a_heartbeat_makes_a_member_and_creates_the_retry_topic() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    assert!(members(&mut client, "g").await.is_empty());
    let response = client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    assert_eq!((response.code, response.version), (0, 479));
    let header = HeartbeatResponse::parse(&response.ext).unwrap();
    assert_eq!(
        (header.support_v2, header.sub_change),
        (Some(true), Some(true))
    );
    assert_eq!(members(&mut client, "g").await, ["c1"]);
    assert!(door.hub.topic("%RETRY%g").is_some());
}

#[tokio::test]
async fn every_member_hears_of_newcomers_and_of_those_who_go() {
    let door = Door::start().await;
    let mut first = door.broker().await;
    let opaque = first.send(heartbeat("c1", "g", "T", "*", 1)).await;
    // The newcomer itself is told as well.
    assert_eq!(notice(&mut first).await, "g");
    first.answer_to(opaque).await;
    let mut second = door.broker().await;
    second.ask(heartbeat("c2", "g", "T", "*", 1)).await;
    assert_eq!(notice(&mut first).await, "g");
    assert_eq!(members(&mut first, "g").await, ["c1", "c2"]);
    // A heartbeat that changes nothing tells nobody; a closed connection does.
    second.ask(heartbeat("c2", "g", "T", "*", 1)).await;
    drop(second);
    assert_eq!(notice(&mut first).await, "g");
    assert_eq!(members(&mut first, "g").await, ["c1"]);
    let header = UnregisterClient {
        client_id: "c1",
        producer_group: Some("CLIENT_INNER_PRODUCER"),
        consumer_group: Some("g"),
    };
    assert_eq!(
        first
            .ask_with(request::UNREGISTER_CLIENT, &header)
            .await
            .code,
        0
    );
    assert!(members(&mut first, "g").await.is_empty());
}

#[tokio::test]
async fn light_heartbeats_are_taken_once_the_full_one_is_known() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let beat = |fingerprint: i32, light: bool| {
        let full = heartbeat("c1", "g", "T", "*", 1);
        let text = String::from_utf8(full.body.to_vec()).unwrap();
        let mut text = text.replace(
            "\"heartbeatFingerprint\":0",
            &format!("\"heartbeatFingerprint\":{fingerprint}"),
        );
        if light {
            let start = text.find("\"subscriptionDataSet\":[").unwrap();
            let end = text.find("],\"unitMode\"").unwrap();
            text.replace_range(start..end, "\"subscriptionDataSet\":[");
            text = text.replace("\"withoutSub\":false", "\"withoutSub\":true");
        }
        Command::request(request::HEART_BEAT).with_body(text.into_bytes())
    };
    async fn changed(client: &mut Client, command: Command) -> bool {
        let response = client.ask(command).await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
        HeartbeatResponse::parse(&response.ext)
            .unwrap()
            .sub_change
            .unwrap()
    }
    assert!(changed(&mut client, beat(5, true)).await);
    assert!(changed(&mut client, beat(5, false)).await);
    assert!(!changed(&mut client, beat(5, false)).await);
    assert!(!changed(&mut client, beat(5, true)).await);
    assert!(changed(&mut client, beat(6, true)).await);
    // The light ones have not cost the group its subscription.
    let group = door.hub.group("g").unwrap();
    assert_eq!(door.hub.group_view(&group).unwrap().subscriptions.len(), 2);
}

#[tokio::test]
async fn connections_of_both_kinds_are_shown() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "A||B", 9)).await;
    let header = GetConsumerConnections {
        consumer_group: "g",
    };
    let response = client
        .ask_with(request::GET_CONSUMER_CONNECTION_LIST, &header)
        .await;
    let shown: ConsumerConnections = parse_body(&response);
    assert_eq!(shown.connection_set[0].client_id, "c1");
    assert_eq!(
        shown.connection_set[0].client_addr,
        client.local.to_string()
    );
    assert_eq!(
        (
            shown.connection_set[0].language.as_str(),
            shown.connection_set[0].version
        ),
        ("JAVA", 479)
    );
    let sub = &shown.subscription_table["T"];
    assert_eq!((sub.sub_string.as_str(), sub.sub_version), ("A||B", 9));
    assert_eq!(
        (&sub.tags_set[..], &sub.code_set[..]),
        (&["A".to_owned(), "B".to_owned()][..], &[65, 66][..])
    );
    let header = GetConsumerConnections {
        consumer_group: "nobody",
    };
    let response = client
        .ask_with(request::GET_CONSUMER_CONNECTION_LIST, &header)
        .await;
    assert_eq!(response.code, 206);
    let header = GetProducerConnections {
        producer_group: "CLIENT_INNER_PRODUCER",
    };
    let response = client
        .ask_with(request::GET_PRODUCER_CONNECTION_LIST, &header)
        .await;
    assert_eq!(
        parse_body::<ProducerConnections>(&response)
            .connection_set
            .len(),
        1
    );
}

fn queue(id: i32) -> MessageQueue {
    MessageQueue {
        broker_name: "node-a".to_owned(),
        queue_id: id,
        topic: "T".to_owned(),
    }
}

fn lock(code: i32, client: &str, ids: &[i32]) -> Command {
    let batch = LockBatch {
        client_id: client.to_owned(),
        consumer_group: "g".to_owned(),
        mq_set: ids.iter().map(|id| queue(*id)).collect(),
        only_this_broker: false,
    };
    Command::request(code).with_body(body::write(&batch).unwrap())
}

#[tokio::test]
async fn a_queue_is_locked_by_one_client_whatever_connection_it_asks_over() {
    let door = Door::start().await;
    door.create_topic("T", 4).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    let mut fast = door.fast().await;
    let held = |response: &Command| -> Vec<i32> {
        let result: LockBatchResult = parse_body(response);
        result.locked.iter().map(|queue| queue.queue_id).collect()
    };
    let response = client
        .ask(lock(request::LOCK_BATCH_MQ, "c1", &[0, 1]))
        .await;
    assert_eq!(held(&response), [0, 1]);
    let response = fast.ask(lock(request::LOCK_BATCH_MQ, "c1", &[1, 2])).await;
    assert_eq!(held(&response), [1, 2]);
    let response = client.ask(lock(request::LOCK_BATCH_MQ, "c2", &[1])).await;
    assert_eq!(held(&response), Vec::<i32>::new());
    assert!(String::from_utf8_lossy(&response.body).contains("lockOKMQSet"));
    // Only the owner unlocks, and one-way requests are not answered.
    client
        .send(lock(request::UNLOCK_BATCH_MQ, "c2", &[1]).oneway())
        .await;
    client
        .send(lock(request::UNLOCK_BATCH_MQ, "c1", &[0]).oneway())
        .await;
    let response = client
        .ask(lock(request::LOCK_BATCH_MQ, "c2", &[0, 1, 77]))
        .await;
    assert_eq!(held(&response), [0]);
}

#[tokio::test]
async fn malformed_bodies_are_refused_and_leave_no_trace() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    for text in [
        "",
        "{",
        "[]",
        "null",
        r#"{"clientID":""}"#,
        r#"{"clientID":5}"#,
    ] {
        let command = Command::request(request::HEART_BEAT).with_body(text.as_bytes().to_vec());
        assert_ne!(client.ask(command).await.code, 0, "{text}");
        let command = Command::request(request::LOCK_BATCH_MQ).with_body(text.as_bytes().to_vec());
        assert_ne!(client.ask(command).await.code, 0, "{text}");
    }
    let bad_group = heartbeat("c1", "not legal", "T", "*", 1);
    assert_eq!(client.ask(bad_group).await.code, 29);
    assert_eq!(door.hub.group_count(), 0);
}

#[tokio::test]
async fn subscriptions_are_checked_before_they_are_used() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let check = |kind: &str, text: &str| {
        let body = format!(
            r#"{{"clientId":"c","group":"g","subscriptionData":{{"topic":"T","subString":"{text}","expressionType":"{kind}"}}}}"#
        );
        Command::request(request::CHECK_CLIENT_CONFIG).with_body(body.into_bytes())
    };
    assert_eq!(client.ask(check("TAG", "a || b")).await.code, 0);
    assert_eq!(client.ask(check("TAG", "||")).await.code, 23);
    assert_eq!(client.ask(check("SQL92", "a > 1")).await.code, 0);
    assert_eq!(client.ask(check("SQL92", "a > 'x'")).await.code, 23);
}
