//! Registration rules of the route table.

use std::time::Duration;

use crossdock_hub::ConnectionId;
use crossdock_proto_remoting::body::DataVersion;
use crossdock_proto_remoting::body::registration::Registration;
use crossdock_proto_remoting::body::route::{QueueData, TopicRoute};
use crossdock_proto_remoting::body::topic::TopicConfig;
use tokio::time::Instant;

use super::register::Announcement;
use super::{Limits, RouteTable};

const LIMITS: Limits = Limits {
    brokers_max: 4,
    topics_max: 8,
    expiry: Duration::from_secs(120),
};

fn broker<'a>(name: &'a str, address: &'a str, id: i64) -> Announcement<'a> {
    Announcement {
        cluster: "c",
        broker: name,
        address,
        ha_address: "ha",
        id,
        timeout_ms: None,
        acting_master: None,
        connection: ConnectionId(7),
    }
}

fn topics(names: &[&str], counter: i64) -> Registration {
    let mut body = Registration::default();
    body.topics.data_version = DataVersion {
        counter,
        state_version: 0,
        timestamp: 1,
    };
    for name in names {
        let config = TopicConfig {
            topic_name: (*name).to_owned(),
            ..TopicConfig::default()
        };
        body.topics
            .topic_config_table
            .insert((*name).to_owned(), config);
    }
    body
}

fn route(table: &RouteTable, topic: &str) -> TopicRoute {
    let mut route = TopicRoute::default();
    table.add_route(topic, &mut route);
    route
}

#[test]
fn a_first_registration_needs_more_than_one_topic() {
    let table = RouteTable::new(LIMITS);
    let who = broker("a", "a:1", 0);
    assert!(table.register(&who, topics(&["T"], 1)).is_err());
    assert!(route(&table, "T").queue_datas.is_empty());
    table.register(&who, topics(&["T", "U"], 1)).unwrap();
    // Once known in full, single topics are news.
    table.register(&who, topics(&["V"], 2)).unwrap();
    assert_eq!(table.topics(), ["T", "U", "V"]);
    assert_eq!(route(&table, "V").broker_datas[0].broker_addrs[&0], "a:1");
}

#[test]
fn topics_left_out_later_stay_and_changes_need_a_new_version() {
    let table = RouteTable::new(LIMITS);
    let who = broker("a", "a:1", 0);
    table.register(&who, topics(&["T", "U"], 1)).unwrap();
    let mut changed = topics(&["T"], 1);
    changed.topics.topic_config_table.get_mut("T").unwrap().perm = 4;
    table.register(&who, changed.clone()).unwrap();
    assert_eq!(route(&table, "T").queue_datas[0].perm, 6);
    changed.topics.data_version.counter = 2;
    table.register(&who, changed).unwrap();
    assert_eq!(route(&table, "T").queue_datas[0].perm, 4);
    assert_eq!(table.topics(), ["T", "U"]);
}

#[test]
fn a_node_that_changes_its_id_stands_in_one_place_only() {
    let table = RouteTable::new(LIMITS);
    table
        .register(&broker("a", "a:1", 1), topics(&[], 1))
        .unwrap();
    table
        .register(&broker("a", "a:1", 0), topics(&["T", "U"], 1))
        .unwrap();
    let addresses = &table.brokers()[0].broker_addrs;
    assert_eq!((addresses.len(), addresses[&0].as_str()), (1, "a:1"));
}

#[test]
fn the_holder_of_an_id_with_a_later_state_is_not_displaced() {
    let table = RouteTable::new(LIMITS);
    let mut ahead = topics(&["T", "U"], 1);
    ahead.topics.data_version.state_version = 5;
    table.register(&broker("a", "a:1", 0), ahead).unwrap();
    table
        .register(&broker("a", "b:1", 0), topics(&["X", "Y"], 9))
        .unwrap();
    assert_eq!(table.brokers()[0].broker_addrs[&0], "a:1");
    assert!(route(&table, "X").queue_datas.is_empty());
}

#[test]
fn slaves_are_told_of_their_master_and_bring_no_topics() {
    let table = RouteTable::new(LIMITS);
    table
        .register(&broker("a", "a:1", 0), topics(&["T", "U"], 1))
        .unwrap();
    let told = table
        .register(&broker("a", "s:1", 1), topics(&["X", "Y"], 1))
        .unwrap();
    assert_eq!(told.master_address.as_deref(), Some("a:1"));
    assert_eq!(told.master_ha_address.as_deref(), Some("ha"));
    assert_eq!(table.topics(), ["T", "U"]);
}

#[test]
fn a_slave_that_may_act_as_master_serves_reads_only() {
    let table = RouteTable::new(LIMITS);
    let who = Announcement {
        acting_master: Some(true),
        ..broker("a", "s:1", 2)
    };
    table.register(&who, topics(&["T", "U"], 1)).unwrap();
    assert_eq!(route(&table, "T").queue_datas[0].perm, 4);
}

#[test]
fn leaving_takes_the_topics_along() {
    let table = RouteTable::new(LIMITS);
    for (name, address) in [("a", "a:1"), ("b", "b:1")] {
        table
            .register(&broker(name, address, 0), topics(&["T", "U"], 1))
            .unwrap();
    }
    table.unregister("a", 0, "other:1");
    assert_eq!(route(&table, "T").queue_datas.len(), 2);
    table.unregister("a", 0, "a:1");
    assert_eq!(route(&table, "T").queue_datas[0].broker_name, "b");
    table.connection_closed(ConnectionId(8));
    assert_eq!(table.brokers().len(), 1);
    table.connection_closed(ConnectionId(7));
    assert!(table.brokers().is_empty() && table.topics().is_empty());
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_broker_at_its_own_time() {
    let table = RouteTable::new(LIMITS);
    table
        .register(&broker("a", "a:1", 0), topics(&["T", "U"], 1))
        .unwrap();
    let short = Announcement {
        timeout_ms: Some(10_000),
        ..broker("b", "b:1", 0)
    };
    table.register(&short, topics(&["T", "U"], 1)).unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(table.expire(Instant::now()), 1);
    assert_eq!(table.brokers()[0].broker_name, "a");
    tokio::time::advance(Duration::from_secs(100)).await;
    table.renew("a", "a:1");
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!(table.expire(Instant::now()), 0);
    tokio::time::advance(Duration::from_secs(21)).await;
    assert_eq!(table.expire(Instant::now()), 1);
}

#[test]
fn both_bounds_hold_and_free_places_are_taken_again() {
    let table = RouteTable::new(LIMITS);
    let names = ["a", "b", "c", "d"];
    for name in names {
        table
            .register(&broker(name, name, 0), topics(&["T", "U"], 1))
            .unwrap();
    }
    assert!(
        table
            .register(&broker("e", "e", 0), topics(&["T", "U"], 1))
            .is_err()
    );
    assert!(
        table
            .register(&broker("a", "a", 0), topics(&["V"], 2))
            .is_err()
    );
    table.delete_topic("U", None);
    table
        .register(&broker("a", "a", 0), topics(&["V"], 3))
        .unwrap();
}

#[test]
fn a_topic_is_deleted_in_one_cluster_or_in_all() {
    let table = RouteTable::new(LIMITS);
    table
        .register(&broker("a", "a:1", 0), topics(&["T", "U"], 1))
        .unwrap();
    let other = Announcement {
        cluster: "d",
        ..broker("b", "b:1", 0)
    };
    table.register(&other, topics(&["T", "U"], 1)).unwrap();
    table.delete_topic("T", Some("c"));
    assert_eq!(route(&table, "T").queue_datas[0].broker_name, "b");
    assert_eq!(table.topics_of("c"), ["U"]);
    table.delete_topic("T", None);
    assert!(route(&table, "T").queue_datas.is_empty());
}

#[test]
fn write_permission_is_wiped_and_given_back() {
    let table = RouteTable::new(LIMITS);
    table
        .register(&broker("a", "a:1", 0), topics(&["T", "U"], 1))
        .unwrap();
    assert_eq!(table.wipe_write("a"), 2);
    assert_eq!(route(&table, "T").queue_datas[0].perm, 4);
    assert_eq!(table.add_write("a"), 2);
    assert_eq!(route(&table, "T").queue_datas[0].perm, 6);
    assert_eq!(table.wipe_write("nobody"), 0);
}

#[test]
fn single_topics_are_added_on_known_brokers_only() {
    let table = RouteTable::new(LIMITS);
    table
        .register(&broker("a", "a:1", 0), topics(&["T", "U"], 1))
        .unwrap();
    let queues = |name: &str| QueueData {
        broker_name: name.to_owned(),
        perm: 6,
        ..QueueData::default()
    };
    let wanted = TopicRoute {
        queue_datas: vec![queues("a"), queues("stranger")],
        ..TopicRoute::default()
    };
    table.add_topic("N", wanted).unwrap();
    assert_eq!(route(&table, "N").queue_datas.len(), 1);
}

#[test]
fn impossible_announcements_are_refused() {
    let table = RouteTable::new(LIMITS);
    let long = "x".repeat(256);
    for who in [
        broker("", "a:1", 0),
        broker("a", "", 0),
        broker("a", &long, 0),
        broker("a", "a:1", -1),
    ] {
        assert!(
            table.register(&who, topics(&["T", "U"], 1)).is_err(),
            "{who:?}"
        );
    }
}
