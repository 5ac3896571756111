use super::group::ConsumerList;
use super::heartbeat::{ConsumeFromWhere, ConsumeType, Heartbeat, MessageModel};
use super::lock::{LockBatch, LockBatchResult};
use super::queue::MessageQueue;
use super::route::{BrokerData, QueueData, TopicRoute};
use super::stats::{ConsumeOffset, ConsumeStats, ResetOffsets, TopicOffset, TopicStats};
use super::subscription::{SubscriptionGroupConfig, SubscriptionGroupTable};
use super::topic::{TopicConfig, TopicList};
use super::*;

const HEARTBEAT: &str = r#"{"clientID":"10.0.0.9@4711#81234","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":1700000000000,"tagsSet":["TagA"],"topic":"T"},{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1700000000000,"tagsSet":[],"topic":"%RETRY%g"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}],"withoutSub":false}"#;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue {
        broker_name: "b\"{".to_owned(),
        queue_id,
        topic: "t".to_owned(),
    }
}

#[test]
fn heartbeat_of_a_java_client_is_reproduced_byte_for_byte() {
    let beat: Heartbeat = parse(HEARTBEAT.as_bytes()).unwrap();
    let consumer = &beat.consumer_data_set[0];
    assert_eq!(consumer.consume_type, ConsumeType::Passively);
    assert_eq!(consumer.subscription_data_set[0].code_set, [2_598_919]);
    assert_eq!(text(write(&beat).unwrap()), HEARTBEAT);
}

#[test]
fn heartbeats_of_other_clients_are_understood() {
    // Null sets and odd capitals; ordinals instead of names.
    let beat: Heartbeat = parse(
        br#"{"clientID":"x","producerDataSet":null,"consumerDataSet":[
            {"groupName":"g","messageModel":"BroadCasting","consumeType":"CONSUME_ACTIVELY",
             "subscriptionDataSet":[{"topic":"T","tagsSet":null,"codeSet":null}]},
            {"groupName":"h","messageModel":1,"consumeType":1,"consumeFromWhere":4}]}"#,
    )
    .unwrap();
    let [first, second] = &beat.consumer_data_set[..] else {
        panic!("two consumers")
    };
    assert_eq!(first.message_model, MessageModel::Broadcasting);
    assert_eq!(first.consume_type, ConsumeType::Actively);
    assert_eq!(first.subscription_data_set[0].expression_type, "TAG");
    assert_eq!(second.message_model, MessageModel::Clustering);
    assert_eq!(second.consume_from_where, ConsumeFromWhere::FirstOffset);
    assert!(parse::<Heartbeat>(br#"{"consumerDataSet":[{"consumeType":9}]}"#).is_err());
    assert!(parse::<Heartbeat>(br#"{"consumerDataSet":[{"consumeType":"NO"}]}"#).is_err());
}

#[test]
fn tag_hashes_written_as_texts_are_read_as_numbers() {
    let read = |set: &str| {
        let text = format!(r#"{{"subString":"a","codeSet":{set}}}"#);
        parse::<heartbeat::SubscriptionData>(text.as_bytes()).map(|data| data.code_set)
    };
    assert_eq!(read(r#"["97",98,"-5"]"#).unwrap(), [97, 98, -5]);
    assert!(read(r#"["a"]"#).is_err());
    assert!(read(r#"["99999999999"]"#).is_err());
}

#[test]
fn route_is_written_as_documented_and_read_in_both_dialects() {
    let expected = concat!(
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"broker-a","#,
        r#""cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"#,
        r#""queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":8,"#,
        r#""topicSysFlag":0,"writeQueueNums":8}]}"#
    );
    let route = TopicRoute {
        broker_datas: vec![BrokerData {
            broker_addrs: [(0, "10.0.0.1:10911".to_owned())].into(),
            broker_name: "broker-a".to_owned(),
            cluster: "DefaultCluster".to_owned(),
            ..BrokerData::default()
        }],
        queue_datas: vec![QueueData {
            broker_name: "broker-a".to_owned(),
            perm: 6,
            read_queue_nums: 8,
            write_queue_nums: 8,
            ..QueueData::default()
        }],
        ..TopicRoute::default()
    };
    assert_eq!(text(write(&route).unwrap()), expected);
    assert_eq!(parse::<TopicRoute>(expected.as_bytes()).unwrap(), route);
    let old = expected.replace("\"0\":", "0:");
    assert_ne!(old, expected);
    assert_eq!(parse::<TopicRoute>(old.as_bytes()).unwrap(), route);
}

#[test]
fn object_keyed_tables_round_trip() {
    let offset = TopicOffset {
        last_update_timestamp: 1,
        max_offset: 2,
        min_offset: 0,
    };
    let topic = TopicStats {
        offset_table: vec![(queue(0), offset), (queue(1), offset)],
        topic_put_tps: 1.5,
    };
    assert_eq!(
        parse::<TopicStats>(&topic.to_json().unwrap()).unwrap(),
        topic
    );

    let offset = ConsumeOffset {
        broker_offset: 9,
        consumer_offset: 4,
        last_timestamp: 1,
        pull_offset: 5,
    };
    let group = ConsumeStats {
        consume_tps: 0.0,
        offset_table: vec![(queue(3), offset)],
    };
    assert_eq!(
        parse::<ConsumeStats>(&group.to_json().unwrap()).unwrap(),
        group
    );

    let empty = ConsumeStats::default().to_json().unwrap();
    assert_eq!(text(empty), r#"{"consumeTps":0.0,"offsetTable":{}}"#);
}

#[test]
fn reset_offsets_have_a_map_and_a_list_form() {
    let queue = MessageQueue {
        broker_name: "b".to_owned(),
        queue_id: 0,
        topic: "t".to_owned(),
    };
    let reset = ResetOffsets {
        offset_table: vec![(queue, 1)],
    };
    let map = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:1}}"#;
    assert_eq!(text(reset.to_json().unwrap()), map);
    assert_eq!(parse::<ResetOffsets>(map.as_bytes()).unwrap(), reset);
    assert_eq!(
        text(reset.to_list_json().unwrap()),
        r#"{"offsetTable":[{"brokerName":"b","queueId":0,"topic":"t","offset":1}]}"#
    );
}

#[test]
fn dialect_rewrites_only_what_is_not_standard() {
    let cases = [
        (r#"{"a":1}"#, r#"{"a":1}"#),
        (r#" { 0 : "x" , -1 : [ ] } "#, r#"{"0":"x","-1":[]}"#),
        (
            r#"{"a":null,"b":{"c":null},"d":[null]}"#,
            r#"{"b":{},"d":[null]}"#,
        ),
        (r#"{{"a":"q\""}:{1:2}}"#, r#"{"{\"a\":\"q\\\"\"}":{"1":2}}"#),
        (r#"{"s":"{1:null}"}"#, r#"{"s":"{1:null}"}"#),
    ];
    for (input, expected) in cases {
        assert_eq!(text(to_standard(input.as_bytes()).unwrap()), expected);
    }
}

#[test]
fn dialect_refuses_what_it_cannot_read() {
    let deep = "[".repeat(100_000);
    let keys = "{".repeat(100_000);
    let cases = [
        "",
        "{",
        "{\"a\"",
        "{1:}",
        "{\"a\":1,}",
        "[1",
        "\"open",
        "\"esc\\",
        "{} x",
        "{{{1:2}:3}:4}",
        "{'a':1}",
        &deep,
        &keys,
    ];
    for input in cases {
        assert!(to_standard(input.as_bytes()).is_err(), "{:.20}", input);
    }
}

#[test]
fn answers_with_required_members_write_them_when_empty() {
    assert_eq!(
        text(write(&LockBatchResult::default()).unwrap()),
        r#"{"lockOKMQSet":[]}"#
    );
    assert_eq!(
        text(write(&ConsumerList::default()).unwrap()),
        r#"{"consumerIdList":[]}"#
    );
    assert_eq!(
        text(write(&TopicList::default()).unwrap()),
        r#"{"topicList":[]}"#
    );
}

#[test]
fn lock_request_is_read() {
    let body = br#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":2,"topic":"t"}],"onlyThisBroker":false}"#;
    let lock: LockBatch = parse(body).unwrap();
    assert_eq!((lock.client_id.as_str(), lock.mq_set[0].queue_id), ("c", 2));
    assert_eq!(write(&lock).unwrap(), body);
}

#[test]
fn absent_configuration_members_take_upstream_defaults() {
    let group: SubscriptionGroupConfig = parse(br#"{"groupName":"g"}"#).unwrap();
    assert!(group.consume_enable && group.notify_consumer_ids_changed_enable);
    assert_eq!((group.retry_max_times, group.retry_queue_nums), (16, 1));
    let topic: TopicConfig = parse(br#"{"topicName":"t","perm":4,"unknown":[1]}"#).unwrap();
    assert_eq!((topic.perm, topic.read_queue_nums), (4, 16));
    let table = SubscriptionGroupTable {
        subscription_group_table: [("g".to_owned(), group)].into(),
        ..SubscriptionGroupTable::default()
    };
    assert_eq!(
        parse::<SubscriptionGroupTable>(&write(&table).unwrap()).unwrap(),
        table
    );
}
