//! Administration over raw sockets: topics, groups, statistics, configuration.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::collections::BTreeMap;

use common::{Client, Door, heartbeat, parse_body};
use crossdock_proto_remoting::body::group::GroupList;
use crossdock_proto_remoting::body::stats::{ConsumeStats, TopicStats};
use crossdock_proto_remoting::body::subscription::{
    CustomizedRetryPolicy, ExponentialRetryPolicy, GroupRetryPolicy, RetryPolicyType,
    SimpleSubscription, SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use crossdock_proto_remoting::body::table::KvTable;
use crossdock_proto_remoting::body::topic::{
    TopicConfig, TopicConfigList, TopicConfigTable, TopicFilterType, TopicList,
};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::admin::{
    DeleteGroup, DeleteTopic, GetAllGroupConfigResponse, GetAllTopicConfigResponse,
    GetConsumeStats, GetGroupConfig, GetTopicConfig, GetTopicStats, QueryTopicConsumeByWho,
    QueryTopicsByConsumer, UpdateTopic,
};
use crossdock_proto_remoting::{Command, body};

fn topic_header(topic: &str) -> UpdateTopic<'_> {
    UpdateTopic {
        topic,
        default_topic: "TBW102",
        read_queue_nums: 8,
        write_queue_nums: 4,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: Some(0),
        order: Some(true),
        attributes: None,
        force: None,
    }
}

async fn topic_config(client: &mut Client, topic: &str) -> Command {
    let header = GetTopicConfig { topic, lo: None };
    client.ask_with(request::GET_TOPIC_CONFIG, &header).await
}

#[tokio::test]
async fn a_topic_is_created_changed_shown_and_deleted() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let code = request::UPDATE_AND_CREATE_TOPIC;
    let header = UpdateTopic {
        attributes: Some("+message.type=FIFO"),
        ..topic_header("T")
    };
    assert_eq!(client.ask_with(code, &header).await.code, 0);
    let shown: TopicConfig = parse_body(&topic_config(&mut client, "T").await);
    assert_eq!(
        (shown.read_queue_nums, shown.write_queue_nums, shown.perm),
        (8, 4, 6)
    );
    assert!(shown.order);
    assert_eq!(shown.attributes["message.type"], "FIFO");
    let header = UpdateTopic {
        perm: 4,
        ..topic_header("T")
    };
    assert_eq!(client.ask_with(code, &header).await.code, 0);
    let response = client
        .ask(Command::request(request::GET_ALL_TOPIC_CONFIG))
        .await;
    let table: TopicConfigTable = parse_body(&response);
    assert_eq!(table.topic_config_table["T"].perm, 4);
    let total = GetAllTopicConfigResponse::parse(&response.ext)
        .unwrap()
        .total_topic_num;
    assert_eq!(total, Some(table.topic_config_table.len() as i32));
    let delete = DeleteTopic { topic: "T" };
    assert_eq!(
        client
            .ask_with(request::DELETE_TOPIC_IN_BROKER, &delete)
            .await
            .code,
        0
    );
    assert_eq!(topic_config(&mut client, "T").await.code, 17);
}

#[tokio::test]
async fn topics_that_break_a_rule_are_refused_with_their_code() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let cases = [
        (topic_header("not legal"), 29),
        (topic_header("TBW102"), 29),
        (
            UpdateTopic {
                write_queue_nums: -1,
                ..topic_header("T")
            },
            29,
        ),
        (
            UpdateTopic {
                perm: 999,
                ..topic_header("T")
            },
            29,
        ),
        (
            UpdateTopic {
                topic_filter_type: "NO_TAG",
                ..topic_header("T")
            },
            29,
        ),
        (
            UpdateTopic {
                attributes: Some("message.type"),
                ..topic_header("T")
            },
            1,
        ),
    ];
    for (header, code) in cases {
        let response = client
            .ask_with(request::UPDATE_AND_CREATE_TOPIC, &header)
            .await;
        assert_eq!(response.code, code, "{:?}", response.remark);
    }
    let delete = DeleteTopic { topic: "TBW102" };
    assert_eq!(
        client
            .ask_with(request::DELETE_TOPIC_IN_BROKER, &delete)
            .await
            .code,
        29
    );
    assert!(door.hub.topic("T").is_none());
}

#[tokio::test]
async fn lists_of_topics_and_groups_are_entered_together() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let config = |name: &str| TopicConfig {
        topic_name: name.to_owned(),
        ..TopicConfig::default()
    };
    let list = |names: &[&str]| {
        let list = TopicConfigList {
            topic_config_list: names.iter().map(|name| config(name)).collect(),
        };
        Command::request(request::UPDATE_AND_CREATE_TOPIC_LIST)
            .with_body(body::write(&list).unwrap())
    };
    assert_eq!(client.ask(list(&["A", "not legal"])).await.code, 29);
    assert!(door.hub.topic("A").is_none());
    assert_eq!(client.ask(list(&["A", "B"])).await.code, 0);
    assert!(door.hub.topic("A").is_some() && door.hub.topic("B").is_some());
    let group = |name: &str| SubscriptionGroupConfig {
        group_name: name.to_owned(),
        ..SubscriptionGroupConfig::default()
    };
    let list = SubscriptionGroupList {
        group_config_list: vec![group("g1"), group("g2")],
    };
    let command = Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST)
        .with_body(body::write(&list).unwrap());
    assert_eq!(client.ask(command).await.code, 0);
    assert!(door.hub.group("g1").is_some() && door.hub.group("g2").is_some());
}

#[tokio::test]
async fn a_group_is_created_changed_shown_and_deleted() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let config = SubscriptionGroupConfig {
        group_name: "g".to_owned(),
        retry_max_times: 3,
        consume_broadcast_enable: false,
        ..SubscriptionGroupConfig::default()
    };
    let put = |config: &SubscriptionGroupConfig| {
        Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP)
            .with_body(body::write(config).unwrap())
    };
    assert_eq!(client.ask(put(&config)).await.code, 0);
    let get = GetGroupConfig { group: "g" };
    let response = client
        .ask_with(request::GET_SUBSCRIPTIONGROUP_CONFIG, &get)
        .await;
    let shown: SubscriptionGroupConfig = parse_body(&response);
    assert_eq!(
        (shown.retry_max_times, shown.consume_broadcast_enable),
        (3, false)
    );
    let response = client
        .ask(Command::request(request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG))
        .await;
    let table: SubscriptionGroupTable = parse_body(&response);
    assert_eq!(table.subscription_group_table["g"], shown);
    let total = GetAllGroupConfigResponse::parse(&response.ext)
        .unwrap()
        .total_group_num;
    assert_eq!(total, Some(1));
    let bad = SubscriptionGroupConfig {
        retry_queue_nums: -1,
        ..config
    };
    assert_eq!(client.ask(put(&bad)).await.code, 29);
    let delete = DeleteGroup {
        group_name: "g",
        clean_offset: Some(true),
    };
    assert_eq!(
        client
            .ask_with(request::DELETE_SUBSCRIPTIONGROUP, &delete)
            .await
            .code,
        0
    );
    let response = client
        .ask_with(request::GET_SUBSCRIPTIONGROUP_CONFIG, &get)
        .await;
    assert_eq!(response.code, 26);
}

#[tokio::test]
async fn a_group_is_shown_as_it_was_set() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let put = |config: &SubscriptionGroupConfig| {
        Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP)
            .with_body(body::write(config).unwrap())
    };
    let plain = GroupRetryPolicy::default();
    let exponential = GroupRetryPolicy {
        kind: RetryPolicyType::Exponential,
        exponential_retry_policy: Some(ExponentialRetryPolicy {
            initial: 100,
            max: 4000,
            multiplier: 3,
        }),
        ..plain.clone()
    };
    let customized = GroupRetryPolicy {
        customized_retry_policy: Some(CustomizedRetryPolicy {
            next: vec![1000, 2000, 3000, 4000],
        }),
        ..plain.clone()
    };
    let config = |policy: &GroupRetryPolicy| SubscriptionGroupConfig {
        attributes: BTreeMap::new(),
        broker_id: 2,
        consume_broadcast_enable: false,
        consume_enable: false,
        consume_from_min_enable: false,
        consume_message_orderly: true,
        consume_timeout_minute: 7,
        group_name: "g".to_owned(),
        group_retry_policy: policy.clone(),
        group_sys_flag: 5,
        notify_consumer_ids_changed_enable: false,
        retry_max_times: 3,
        retry_queue_nums: 2,
        subscription_data_set: Some(vec![SimpleSubscription {
            expression: "a || b".to_owned(),
            expression_type: "TAG".to_owned(),
            topic: "T".to_owned(),
            version: 9,
        }]),
        which_broker_when_consume_slowly: 4,
    };
    for (policy, delay_ms) in [(&plain, 10_000), (&exponential, 100), (&customized, 3000)] {
        let config = config(policy);
        assert_eq!(client.ask(put(&config)).await.code, 0);
        let get = GetGroupConfig { group: "g" };
        let code = request::GET_SUBSCRIPTIONGROUP_CONFIG;
        let shown: SubscriptionGroupConfig = parse_body(&client.ask_with(code, &get).await);
        assert_eq!(shown, config);
        let group = door.hub.group("g").unwrap();
        assert_eq!(door.hub.lease_retry_ms(&group, 0), delay_ms);
    }
    let both = GroupRetryPolicy {
        exponential_retry_policy: exponential.exponential_retry_policy.clone(),
        ..customized.clone()
    };
    let negative = GroupRetryPolicy {
        customized_retry_policy: Some(CustomizedRetryPolicy { next: vec![-1] }),
        ..plain.clone()
    };
    let unknown = SubscriptionGroupConfig {
        attributes: [("+colour".to_owned(), "red".to_owned())].into(),
        ..config(&plain)
    };
    for bad in [config(&both), config(&negative), unknown] {
        assert_eq!(client.ask(put(&bad)).await.code, 29, "{bad:?}");
    }
}

#[tokio::test]
async fn a_topic_is_shown_as_it_was_set() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let config = TopicConfig {
        attributes: [("message.type".to_owned(), "DELAY".to_owned())].into(),
        order: true,
        perm: 2,
        read_queue_nums: 3,
        topic_filter_type: TopicFilterType::MultiTag,
        topic_name: "T".to_owned(),
        topic_sys_flag: 6,
        write_queue_nums: 5,
    };
    let list = TopicConfigList {
        topic_config_list: vec![config.clone()],
    };
    let command = Command::request(request::UPDATE_AND_CREATE_TOPIC_LIST)
        .with_body(body::write(&list).unwrap());
    assert_eq!(client.ask(command).await.code, 0);
    let shown: TopicConfig = parse_body(&topic_config(&mut client, "T").await);
    assert_eq!(shown, config);
    let header = UpdateTopic {
        topic_filter_type: "MULTI_TAG",
        topic_sys_flag: Some(1),
        order: Some(false),
        ..topic_header("T")
    };
    let code = request::UPDATE_AND_CREATE_TOPIC;
    assert_eq!(client.ask_with(code, &header).await.code, 0);
    let shown: TopicConfig = parse_body(&topic_config(&mut client, "T").await);
    let expected = TopicConfig {
        order: false,
        perm: 6,
        read_queue_nums: 8,
        topic_sys_flag: 1,
        write_queue_nums: 4,
        ..config
    };
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn statistics_show_what_is_there() {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    let mut client = door.broker().await;
    client.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    for _ in 0..3 {
        client.publish("T", 1, "x", "").await;
    }
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    door.hub.commit_durable(&group, &topic, 1, 2).await.unwrap();
    let stored = client.pull("g", "T", 1, 0).await.messages[1]
        .head
        .store_timestamp;

    let header = GetTopicStats { topic: "T" };
    let response = client
        .ask_with(request::GET_TOPIC_STATS_INFO, &header)
        .await;
    // The map has objects for keys.
    assert!(
        response
            .body
            .starts_with(b"{\"offsetTable\":{{\"brokerName\"")
    );
    let stats: TopicStats = parse_body(&response);
    let by_queue: BTreeMap<_, _> = stats
        .offset_table
        .iter()
        .map(|(queue, offsets)| (queue.queue_id, offsets))
        .collect();
    assert_eq!((by_queue[&0].max_offset, by_queue[&1].max_offset), (0, 3));
    assert!(by_queue[&1].last_update_timestamp >= stored);
    assert!(
        (stats.topic_put_tps - 3.0 / 60.0).abs() < 1e-9,
        "{}",
        stats.topic_put_tps
    );

    let header = GetConsumeStats {
        consumer_group: "g",
        topic: None,
        topic_list: None,
    };
    let response = client.ask_with(request::GET_CONSUME_STATS, &header).await;
    let stats: ConsumeStats = parse_body(&response);
    let (_, offsets) = stats
        .offset_table
        .iter()
        .find(|(queue, _)| queue.topic == "T" && queue.queue_id == 1)
        .unwrap();
    assert_eq!((offsets.broker_offset, offsets.consumer_offset), (3, 2));
    assert_eq!(offsets.last_timestamp, stored);
    // Three were pulled; the mean is of a minute and up to ten seconds.
    assert!(
        (3.0 / 70.0..=3.0 / 60.0).contains(&stats.consume_tps),
        "{}",
        stats.consume_tps
    );

    let header = QueryTopicConsumeByWho { topic: "T" };
    let response = client
        .ask_with(request::QUERY_TOPIC_CONSUME_BY_WHO, &header)
        .await;
    assert_eq!(parse_body::<GroupList>(&response).group_list, ["g"]);
    let header = QueryTopicsByConsumer { group: "g" };
    let response = client
        .ask_with(request::QUERY_TOPICS_BY_CONSUMER, &header)
        .await;
    assert_eq!(parse_body::<TopicList>(&response).topic_list, ["T"]);
}

#[tokio::test]
async fn configuration_and_runtime_are_shown() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let response = client
        .ask(Command::request(request::GET_BROKER_CONFIG))
        .await;
    let text = String::from_utf8(response.body.to_vec()).unwrap();
    assert!(text.contains("brokerName=node-a\n"), "{text}");
    assert!(
        text.contains("messageDelayLevel=1s 5s 10s 30s 1m"),
        "{text}"
    );
    assert!(response.ext.get("version").is_some());
    client.publish("T", 0, "x", "").await;
    let response = client
        .ask(Command::request(request::GET_BROKER_RUNTIME_INFO))
        .await;
    let table = parse_body::<KvTable>(&response).table;
    assert_eq!(table["putMessageTimesTotal"], "1");
    let rate: f64 = table["putTps"].split(' ').next().unwrap().parse().unwrap();
    assert!(rate > 0.0);
    let change = Command::request(request::UPDATE_BROKER_CONFIG).with_body("a=b");
    assert_eq!(client.ask(change).await.code, 29);
    let response = client
        .ask(Command::request(request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER))
        .await;
    let list: TopicList = parse_body(&response);
    assert!(list.topic_list.contains(&"TBW102".to_owned()));
    assert!(!list.topic_list.contains(&"T".to_owned()));
}

#[tokio::test]
async fn unknown_requests_are_answered_with_code_3() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    for code in [0, -1, 99, 513, 902, 200_056, i32::MAX] {
        let response = client.ask(Command::request(code)).await;
        assert_eq!(response.code, 3);
        assert_eq!(
            response.remark.as_deref(),
            Some(format!(" request type {code} not supported").as_str())
        );
    }
    assert_eq!(door.running.stats.snapshot().unknown_requests, 7);
}
