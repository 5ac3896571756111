//! What operators ask and change over raw sockets: configuration, statistics, queues, producers, housekeeping.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, heartbeat, parse_body, props};
use crossdock_hub::Switch;
use crossdock_proto_remoting::body::group::ProducerTable;
use crossdock_proto_remoting::body::stats::{BrokerStats, ConsumeQueue, ConsumeTimeSpans};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::admin::{
    GetBrokerConsumeStats, QueryConsumeQueue, QueryConsumeTimeSpan, ViewBrokerStats,
};
use crossdock_proto_remoting::{Command, body};

async fn update(client: &mut Client, code: i32, text: &'static str) -> Command {
    client.ask(Command::request(code).with_body(text)).await
}

async fn shown(client: &mut Client, code: i32) -> String {
    let response = client.ask(Command::request(code)).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_changed_setting_is_enforced_and_survives_a_restart() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let change = request::UPDATE_BROKER_CONFIG;
    let off = "autoCreateTopicEnable=false\nautoCreateSubscriptionGroup=false\n";
    assert_eq!(update(&mut client, change, off).await.code, 0);
    let text = shown(&mut client, request::GET_BROKER_CONFIG).await;
    assert!(text.contains("autoCreateTopicEnable=false\n"), "{text}");
    let refused = client.ask(common::send_v2("new", 0, "x", "")).await;
    assert_eq!(refused.code, 17);
    assert_ne!(client.ask(heartbeat("c", "g", "T", "*", 1)).await.code, 0);
    let folder = door.close().await.unwrap();
    let (config, hub) = (common::config(), common::hub_config());
    let door = Door::open(folder.path(), config, hub, crossdock_kit::Tls::off()).await;
    assert!(!door.hub.is_on(Switch::CreateTopics) && !door.hub.is_on(Switch::CreateGroups));
    let mut client = door.broker().await;
    let on = "autoCreateTopicEnable=true";
    assert_eq!(update(&mut client, change, on).await.code, 0);
    client.publish("new", 0, "x", "").await;
}

#[tokio::test]
async fn a_change_that_nothing_would_come_of_is_refused_whole() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let change = request::UPDATE_BROKER_CONFIG;
    for text in [
        "autoCreateTopicEnable=false\nnonsense=1",
        "autoCreateTopicEnable=false\nbrokerName=other",
        "autoCreateTopicEnable=perhaps",
        "no setting",
    ] {
        assert_eq!(update(&mut client, change, text).await.code, 29, "{text}");
    }
    assert!(door.hub.is_on(Switch::CreateTopics));
    // What already is so may be said.
    let same = "brokerName=node-a\nlongPollingEnable=true";
    assert_eq!(update(&mut client, change, same).await.code, 0);
}

#[tokio::test]
async fn the_name_servers_configuration_is_shown_and_not_changed() {
    let door = Door::start().await;
    let mut client = door.name_server().await;
    let text = shown(&mut client, request::GET_NAMESRV_CONFIG).await;
    assert!(text.contains("enableAllTopicList=true\n"), "{text}");
    let change = request::UPDATE_NAMESRV_CONFIG;
    for (text, code) in [
        ("enableAllTopicList=true", 0),
        ("enableAllTopicList=false", 16),
        ("kvConfigPath=/x", 16),
    ] {
        assert_eq!(update(&mut client, change, text).await.code, code, "{text}");
    }
}

async fn stats(client: &mut Client, name: &str, key: &str) -> Command {
    let header = ViewBrokerStats {
        stats_name: name,
        stats_key: key,
    };
    let code = request::VIEW_BROKER_STATS_DATA;
    client.ask_with(code, &header).await
}

#[tokio::test]
async fn messages_are_counted_by_topic_and_by_group() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    for n in 0..6 {
        client.publish("T", n % 2, "x", "").await;
    }
    let put: BrokerStats = parse_body(&stats(&mut client, "TOPIC_PUT_NUMS", "T").await);
    assert_eq!(
        (put.stats_minute.sum, put.stats_hour.sum, put.stats_day.sum),
        (6, 6, 6)
    );
    assert!((put.stats_minute.tps - 0.1).abs() < 1e-9);
    // Nothing was given to the group yet.
    assert_eq!(stats(&mut client, "GROUP_GET_NUMS", "T@g").await.code, 1);
    assert_eq!(client.pull("g", "T", 0, 0).await.bodies().len(), 3);
    let got: BrokerStats = parse_body(&stats(&mut client, "GROUP_GET_NUMS", "T@g").await);
    assert_eq!((got.stats_minute.sum, got.stats_day.sum), (3, 3));
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "U"),
        ("GROUP_GET_NUMS", "no at sign"),
        ("SOMETHING_ELSE", "T"),
    ] {
        assert_eq!(stats(&mut client, name, key).await.code, 1, "{name} {key}");
    }
}

#[tokio::test]
async fn progress_of_every_group_is_added_up() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    for _ in 0..4 {
        client.publish("T", 0, "x", "").await;
    }
    let topic = door.hub.topic("T").unwrap();
    for (name, position) in [("g", 1), ("h", 4)] {
        door.create_group(name).await;
        let group = door.hub.group(name).unwrap();
        let hub = &door.hub;
        hub.commit_durable(&group, &topic, 0, position)
            .await
            .unwrap();
    }
    let ask = |is_order| {
        Command::request(request::GET_BROKER_CONSUME_STATS)
            .with_header(&GetBrokerConsumeStats { is_order })
    };
    let document = |response: Command| -> serde_json::Value {
        assert_eq!(response.code, 0, "{:?}", response.remark);
        serde_json::from_slice(&body::to_standard(&response.body).unwrap()).unwrap()
    };
    let all = document(client.ask(ask(false)).await);
    assert_eq!(all["totalDiff"], 3);
    let groups = all["consumeStatsList"].as_array().unwrap();
    let of = |name: &str| groups.iter().find_map(|entry| entry.get(name)).unwrap();
    let queues = of("g")[0]["offsetTable"].as_object().unwrap();
    let offsets = queues.values().next().unwrap();
    assert_eq!(
        (&offsets["brokerOffset"], &offsets["consumerOffset"]),
        (&4.into(), &1.into())
    );
    // No topic is globally ordered.
    assert_eq!(document(client.ask(ask(true)).await)["totalDiff"], 0);
}

#[tokio::test]
async fn entries_of_a_queue_are_shown_and_judged_by_a_subscription() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.broker().await;
    let first = client.publish("T", 0, "x", &props(&[("TAGS", "A")])).await;
    client.publish("T", 0, "y", &props(&[("TAGS", "B")])).await;
    client.ask(heartbeat("c1", "g", "T", "B", 1)).await;
    let header = QueryConsumeQueue {
        topic: "T",
        queue_id: 0,
        index: 0,
        count: 10,
        consumer_group: None,
    };
    let code = request::QUERY_CONSUME_QUEUE;
    let shown: ConsumeQueue = parse_body(&client.ask_with(code, &header).await);
    assert_eq!((shown.min_queue_index, shown.max_queue_index), (0, 2));
    let tags: Vec<i64> = shown
        .queue_data
        .iter()
        .map(|entry| entry.tags_code)
        .collect();
    assert_eq!(tags, [65, 66]);
    assert_eq!(shown.queue_data[0].physic_offset, first.position());
    assert!(shown.queue_data.iter().all(|entry| !entry.eval));
    let judged = QueryConsumeQueue {
        consumer_group: Some("g"),
        ..header.clone()
    };
    let judged: ConsumeQueue = parse_body(&client.ask_with(code, &judged).await);
    let evals: Vec<bool> = judged.queue_data.iter().map(|entry| entry.eval).collect();
    assert_eq!(evals, [false, true]);
    assert_eq!(judged.subscription_data.unwrap().sub_string, "B");
    for wrong in [
        QueryConsumeQueue {
            queue_id: 1,
            ..header.clone()
        },
        QueryConsumeQueue {
            index: 2,
            ..header.clone()
        },
        QueryConsumeQueue {
            index: -1,
            ..header.clone()
        },
    ] {
        assert_eq!(client.ask_with(code, &wrong).await.code, 1);
    }
}

#[tokio::test]
async fn the_age_of_what_a_group_has_before_it_is_known() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    client.publish("T", 0, "x", "").await;
    client.publish("T", 0, "y", "").await;
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    door.hub.commit_durable(&group, &topic, 0, 1).await.unwrap();
    let header = QueryConsumeTimeSpan {
        topic: "T",
        group: "g",
    };
    let code = request::QUERY_CONSUME_TIME_SPAN;
    let spans: ConsumeTimeSpans = parse_body(&client.ask_with(code, &header).await);
    let [span] = spans.consume_time_span_set.as_slice() else {
        panic!("not one queue: {spans:?}");
    };
    assert!(span.min_time_stamp > 0 && span.min_time_stamp <= span.max_time_stamp);
    assert_eq!(span.consume_time_stamp, span.min_time_stamp);
    assert!((0..10_000).contains(&span.delay_time));
    let header = QueryConsumeTimeSpan {
        group: "h",
        ..header
    };
    assert_eq!(client.ask_with(code, &header).await.code, 26);
}

#[tokio::test]
async fn producers_are_listed_by_group() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    let ask = Command::request(request::GET_ALL_PRODUCER_INFO);
    let table: ProducerTable = parse_body(&client.ask(ask).await);
    let [producer] = table.data["CLIENT_INNER_PRODUCER"].as_slice() else {
        panic!("not one producer: {table:?}");
    };
    assert_eq!(producer.client_id, "c1");
    assert_eq!(producer.remote_ip, client.local.to_string());
    assert!((door.hub.now_ms() - producer.last_update_timestamp).abs() < 10_000);
}

#[tokio::test]
async fn housekeeping_is_done_or_refused() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    for (code, expected) in [
        (request::CLEAN_EXPIRED_CONSUMEQUEUE, 0),
        (request::CLEAN_UNUSED_TOPIC, 0),
        (request::DELETE_EXPIRED_COMMITLOG, 1),
    ] {
        assert_eq!(client.ask(Command::request(code)).await.code, expected);
    }
    let text = shown(&mut client, request::GET_BROKER_HA_STATUS).await;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&status["master"], &status["inSyncSlaveNums"]),
        (&true.into(), &0.into())
    );
    assert!(status["masterCommitLogMaxOffset"].as_i64().unwrap() > 0);
}
