//! The name server over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::io::Write;

use common::{Client, Door, parse_body, until};
use crossdock_hub::UserSeed;
use crossdock_proto_remoting::body::DataVersion;
use crossdock_proto_remoting::body::registration::Registration;
use crossdock_proto_remoting::body::route::{BrokerMemberGroupBody, ClusterInfo, TopicRoute};
use crossdock_proto_remoting::body::table::KvTable;
use crossdock_proto_remoting::body::topic::{TopicConfig, TopicList};
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::namesrv::{
    AddWritePermResponse, DeleteTopicInNamesrv, GetBrokerMemberGroup, GetKvConfigResponse,
    GetKvList, GetRoute, GetTopicsByCluster, KvConfigKey, PutKvConfig, QueryDataVersion,
    QueryDataVersionResponse, RegisterBroker, UnregisterBroker, WipeWritePermResponse, WritePerm,
};
use crossdock_proto_remoting::record::body_crc;
use crossdock_proto_remoting::{Command, Encoding, body};
use crossdock_remoting::{Credential, RemotingConfig};
use flate2::Compression;
use flate2::write::ZlibEncoder;

async fn route(client: &mut Client, topic: &str) -> Option<TopicRoute> {
    let header = GetRoute {
        topic,
        accept_standard_json_only: Some(true),
    };
    let response = client
        .ask_with(request::GET_ROUTEINFO_BY_TOPIC, &header)
        .await;
    if response.code == 17 {
        return None;
    }
    Some(parse_body(&response))
}

fn registration(topics: &[&str], counter: i64) -> Registration {
    let mut body = Registration::default();
    body.topics.data_version.counter = counter;
    for name in topics {
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

fn register_header<'a>(broker: &'a str, crc: i32, compressed: bool) -> RegisterBroker<'a> {
    RegisterBroker {
        broker_name: broker,
        broker_addr: "10.0.0.9:10911",
        cluster_name: "DefaultCluster",
        ha_server_addr: "10.0.0.9:10912",
        broker_id: 0,
        heartbeat_timeout_millis: Some(120_000),
        enable_acting_master: Some(false),
        compressed: Some(compressed),
        body_crc32: Some(crc),
    }
}

fn register(broker: &str, topics: &[&str], counter: i64) -> Command {
    let bytes = body::write(&registration(topics, counter)).unwrap();
    Command::request(request::REGISTER_BROKER)
        .with_header(&register_header(broker, body_crc(&bytes), false))
        .with_body(bytes)
}

#[tokio::test]
async fn the_hub_is_in_the_table_without_registering_under_the_address_the_client_dialled() {
    let door = Door::start().await;
    let mut client = door.name_server().await;
    assert!(route(&mut client, "T").await.is_none());
    door.create_topic("T", 3).await;
    let broker = door.running.broker.unwrap().to_string();
    for encoding in [Encoding::Json, Encoding::Binary] {
        client.encoding = encoding;
        let shown = route(&mut client, "T").await.unwrap();
        assert_eq!(shown.broker_datas.len(), 1);
        assert_eq!(shown.broker_datas[0].broker_addrs[&0], broker);
        assert_eq!(shown.broker_datas[0].broker_name, "node-a");
        assert_eq!(shown.broker_datas[0].cluster, "DefaultCluster");
        let queues = &shown.queue_datas[0];
        assert_eq!(
            (queues.read_queue_nums, queues.write_queue_nums, queues.perm),
            (3, 3, 6)
        );
    }
    let template = route(&mut client, "TBW102").await.unwrap();
    assert_eq!(template.queue_datas[0].perm, 7);
    assert!(route(&mut client, "DefaultCluster").await.is_some());
    door.hub.delete_topic(&"T".parse().unwrap()).await.unwrap();
    assert!(route(&mut client, "T").await.is_none());
}

#[tokio::test]
async fn the_route_document_is_the_same_standard_json_for_every_client() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.name_server().await;
    let header = GetRoute {
        topic: "T",
        accept_standard_json_only: None,
    };
    for version in [317, 401, 479] {
        client.version = version;
        let response = client
            .ask_with(request::GET_ROUTEINFO_BY_TOPIC, &header)
            .await;
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(text.contains("\"brokerAddrs\":{\"0\":\""), "{text}");
        assert!(text.contains("\"filterServerTable\":{}"), "{text}");
        assert!(!text.contains("topicQueueMappingByBroker"), "{text}");
    }
}

#[tokio::test]
async fn an_advertised_address_is_told_to_everybody() {
    let mut config = common::config();
    config.advertise = Some("localhost:7777".to_owned());
    let door = Door::with(config, common::hub_config()).await;
    door.create_topic("T", 1).await;
    let mut client = door.name_server().await;
    let shown = route(&mut client, "T").await.unwrap();
    assert_eq!(shown.broker_datas[0].broker_addrs[&0], "localhost:7777");
    let mut client = door.broker().await;
    let sent = client.publish("T", 0, "x", "").await;
    assert!(
        sent.msg_id.starts_with("7F00000100001E61"),
        "{}",
        sent.msg_id
    );
}

#[tokio::test]
async fn a_real_brokers_registration_is_taken_plain_and_compressed() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut broker = door.name_server().await;
    // One topic from a stranger is refused.
    assert_eq!(broker.ask(register("real", &["T"], 1)).await.code, 1);
    let response = broker.ask(register("real", &["T", "Only"], 1)).await;
    assert_eq!(response.code, 0, "{:?}", response.remark);
    let mut client = door.name_server().await;
    let both = route(&mut client, "T").await.unwrap();
    assert_eq!(both.queue_datas.len(), 2);
    assert_eq!(both.broker_datas[1].broker_addrs[&0], "10.0.0.9:10911");
    let plain = registration(&["T", "Packed"], 2).write_plain(479).unwrap();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).unwrap();
    let packed = encoder.finish().unwrap();
    let command = Command::request(request::REGISTER_BROKER)
        .with_header(&register_header("real", body_crc(&packed), true))
        .with_body(packed);
    assert_eq!(broker.ask(command).await.code, 0);
    assert!(route(&mut client, "Packed").await.is_some());
    // What is left out stays.
    assert!(route(&mut client, "Only").await.is_some());

    let response = client
        .ask(Command::request(request::GET_BROKER_CLUSTER_INFO))
        .await;
    let info: ClusterInfo = parse_body(&response);
    assert_eq!(
        info.cluster_addr_table["DefaultCluster"],
        ["node-a", "real"]
    );
    assert_eq!(
        info.broker_addr_table["real"].broker_addrs[&0],
        "10.0.0.9:10911"
    );
    let header = GetBrokerMemberGroup {
        cluster_name: "DefaultCluster",
        broker_name: "real",
    };
    let response = client
        .ask_with(request::GET_BROKER_MEMBER_GROUP, &header)
        .await;
    let group = parse_body::<BrokerMemberGroupBody>(&response).broker_member_group;
    assert_eq!(group.broker_addrs[&0], "10.0.0.9:10911");

    let header = UnregisterBroker {
        broker_name: "real",
        broker_addr: "10.0.0.9:10911",
        cluster_name: "DefaultCluster",
        broker_id: 0,
    };
    assert_eq!(
        broker
            .ask_with(request::UNREGISTER_BROKER, &header)
            .await
            .code,
        0
    );
    assert!(route(&mut client, "Only").await.is_none());
    assert_eq!(route(&mut client, "T").await.unwrap().queue_datas.len(), 1);
}

#[tokio::test]
async fn a_broker_whose_connection_ends_is_gone_at_once() {
    let door = Door::start().await;
    let mut broker = door.name_server().await;
    assert_eq!(broker.ask(register("real", &["A", "B"], 1)).await.code, 0);
    let mut client = door.name_server().await;
    assert!(route(&mut client, "A").await.is_some());
    drop(broker);
    let gone = async {
        while route(&mut client, "A").await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::SOON, gone).await.unwrap();
}

#[tokio::test]
async fn hostile_registrations_are_refused() {
    let door = Door::start().await;
    let mut broker = door.name_server().await;
    let header = register_header("real", 5, false);
    let wrong_crc = Command::request(request::REGISTER_BROKER)
        .with_header(&header)
        .with_body(body::write(&registration(&["A", "B"], 1)).unwrap());
    assert_eq!(broker.ask(wrong_crc).await.code, 1);
    let not_zlib = Command::request(request::REGISTER_BROKER)
        .with_header(&register_header("real", 0, true))
        .with_body("not zlib at all");
    assert_eq!(broker.ask(not_zlib).await.code, 1);
    // A hundred megabytes of zeros in a hundred kilobytes.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 100 * 1024 * 1024]).unwrap();
    let bomb = Command::request(request::REGISTER_BROKER)
        .with_header(&register_header("real", 0, true))
        .with_body(encoder.finish().unwrap());
    assert_eq!(broker.ask(bomb).await.code, 1);
    let own_name = register("node-a", &["A", "B"], 1);
    assert_eq!(broker.ask(own_name).await.code, 1);
    assert!(route(&mut broker, "A").await.is_none());
}

#[tokio::test]
async fn a_data_version_tells_whether_a_full_registration_is_needed() {
    let door = Door::start().await;
    let mut broker = door.name_server().await;
    let ask = |counter: i64| {
        let header = QueryDataVersion {
            broker_name: "real",
            broker_addr: "10.0.0.9:10911",
            cluster_name: "DefaultCluster",
            broker_id: 0,
        };
        let version = DataVersion {
            counter,
            ..DataVersion::default()
        };
        Command::request(request::QUERY_DATA_VERSION)
            .with_header(&header)
            .with_body(body::write(&version).unwrap())
    };
    let changed = |response: &Command| {
        QueryDataVersionResponse::parse(&response.ext)
            .unwrap()
            .changed
    };
    let unknown = broker.ask(ask(1)).await;
    assert!(changed(&unknown) && unknown.body.is_empty());
    broker.ask(register("real", &["A", "B"], 1)).await;
    assert!(!changed(&broker.ask(ask(1)).await));
    let newer = broker.ask(ask(2)).await;
    assert!(changed(&newer));
    assert_eq!(parse_body::<DataVersion>(&newer).counter, 1);
}

#[tokio::test]
async fn topics_are_listed_and_deleted() {
    let door = Door::start().await;
    door.create_topic("Mine", 1).await;
    let mut client = door.name_server().await;
    client.ask(register("real", &["A", "B"], 1)).await;
    let list = |response: &Command| parse_body::<TopicList>(response).topic_list;
    let all = list(
        &client
            .ask(Command::request(
                request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
            ))
            .await,
    );
    for name in ["Mine", "A", "B", "TBW102"] {
        assert!(all.contains(&name.to_owned()), "{name}");
    }
    let header = GetTopicsByCluster {
        cluster: "DefaultCluster",
    };
    let of_cluster = list(
        &client
            .ask_with(request::GET_TOPICS_BY_CLUSTER, &header)
            .await,
    );
    assert_eq!(of_cluster, all);
    let header = GetTopicsByCluster { cluster: "other" };
    assert!(
        list(
            &client
                .ask_with(request::GET_TOPICS_BY_CLUSTER, &header)
                .await
        )
        .is_empty()
    );
    let response = client
        .ask(Command::request(request::GET_SYSTEM_TOPIC_LIST_FROM_NS))
        .await;
    let system: TopicList = parse_body(&response);
    assert_eq!(system.topic_list, ["DefaultCluster", "node-a", "real"]);
    assert_eq!(
        system.broker_addr,
        Some(door.running.broker.unwrap().to_string())
    );
    for unit in [
        request::GET_UNIT_TOPIC_LIST,
        request::GET_HAS_UNIT_SUB_TOPIC_LIST,
    ] {
        assert!(list(&client.ask(Command::request(unit)).await).is_empty());
    }
    let header = DeleteTopicInNamesrv {
        topic: "A",
        cluster_name: None,
    };
    assert_eq!(
        client
            .ask_with(request::DELETE_TOPIC_IN_NAMESRV, &header)
            .await
            .code,
        0
    );
    assert!(route(&mut client, "A").await.is_none());
}

#[tokio::test]
async fn write_permission_is_wiped_and_given_back() {
    let door = Door::start().await;
    door.create_topic("T", 1).await;
    let mut client = door.name_server().await;
    client.ask(register("real", &["T", "B"], 1)).await;
    for (broker, index) in [("node-a", 0), ("real", 1)] {
        let header = WritePerm {
            broker_name: broker,
        };
        let response = client
            .ask_with(request::WIPE_WRITE_PERM_OF_BROKER, &header)
            .await;
        assert!(
            WipeWritePermResponse::parse(&response.ext)
                .unwrap()
                .wipe_topic_count
                >= 2
        );
        let queues = route(&mut client, "T").await.unwrap().queue_datas;
        assert_eq!(queues[index].perm, 4);
        let response = client
            .ask_with(request::ADD_WRITE_PERM_OF_BROKER, &header)
            .await;
        assert!(
            AddWritePermResponse::parse(&response.ext)
                .unwrap()
                .add_topic_count
                >= 2
        );
        let queues = route(&mut client, "T").await.unwrap().queue_datas;
        assert_eq!(queues[index].perm, 6);
    }
}

#[tokio::test]
async fn kv_entries_survive_a_restart() {
    let door = Door::start().await;
    let mut client = door.name_server().await;
    let key = KvConfigKey {
        namespace: "ORDER_TOPIC_CONFIG",
        key: "T",
    };
    let put = PutKvConfig {
        namespace: "ORDER_TOPIC_CONFIG",
        key: "T",
        value: "node-a:4",
    };
    assert_eq!(client.ask_with(request::GET_KV_CONFIG, &key).await.code, 22);
    assert_eq!(client.ask_with(request::PUT_KV_CONFIG, &put).await.code, 0);
    drop(client);
    let folder = door.close().await.unwrap();
    let tls = crossdock_kit::Tls::off();
    let door = Door::open(folder.path(), common::config(), common::hub_config(), tls).await;
    let mut client = door.name_server().await;
    let response = client.ask_with(request::GET_KV_CONFIG, &key).await;
    let value = GetKvConfigResponse::parse(&response.ext).unwrap();
    assert_eq!(value.value, Some("node-a:4"));
    let header = GetKvList {
        namespace: "ORDER_TOPIC_CONFIG",
    };
    let response = client
        .ask_with(request::GET_KVLIST_BY_NAMESPACE, &header)
        .await;
    assert_eq!(parse_body::<KvTable>(&response).table["T"], "node-a:4");
    // Brokers are told when they register.
    let response = client.ask(register("real", &["A", "B"], 1)).await;
    assert_eq!(parse_body::<KvTable>(&response).table["T"], "node-a:4");
    assert_eq!(
        client.ask_with(request::DELETE_KV_CONFIG, &key).await.code,
        0
    );
    assert_eq!(client.ask_with(request::GET_KV_CONFIG, &key).await.code, 22);
    let response = client
        .ask_with(request::GET_KVLIST_BY_NAMESPACE, &header)
        .await;
    assert_eq!(response.code, 22);
}

#[tokio::test]
async fn the_hub_registers_with_a_foreign_name_server_and_leaves_it_in_peace() {
    let foreign = Door::with(
        RemotingConfig {
            listen: None,
            listen_fast: None,
            ..common::config()
        },
        common::hub_config(),
    )
    .await;
    let server = foreign.running.name_server.unwrap();
    let mut config = common::config();
    config.register = vec![server.to_string()];
    let door = Door::with(config, common::hub_config()).await;
    let mut client = foreign.name_server().await;
    let broker = door.running.broker.unwrap().to_string();
    async fn await_route(client: &mut Client, topic: &str, present: bool) -> Option<TopicRoute> {
        let waiting = async {
            loop {
                let found = route(client, topic).await;
                if found.is_some() == present {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(common::SOON, waiting).await.unwrap()
    }
    let shown = await_route(&mut client, "TBW102", true).await.unwrap();
    assert_eq!(shown.broker_datas[0].broker_addrs[&0], broker);
    // A new topic is there at once, not only with the next period.
    door.create_topic("Fresh", 2).await;
    let shown = await_route(&mut client, "Fresh", true).await.unwrap();
    assert_eq!(shown.queue_datas[0].write_queue_nums, 2);
    door.close().await;
    assert!(await_route(&mut client, "TBW102", false).await.is_none());
}

#[tokio::test]
async fn a_name_server_with_users_takes_signed_registrations_only() {
    let mut hub = common::hub_config();
    hub.users = vec![UserSeed {
        name: "brokers".into(),
        password: None,
        access_key: Some("AK".into()),
        secret: Some("SK".into()),
        is_admin: true,
    }];
    let foreign = Door::with(
        RemotingConfig {
            listen: None,
            listen_fast: None,
            ..common::config()
        },
        hub,
    )
    .await;
    let server = foreign.running.name_server.unwrap();
    let registered = |secret: Option<&str>| RemotingConfig {
        register: vec![server.to_string()],
        register_as: secret.map(|secret| Credential::new("AK".into(), secret.into())),
        ..common::config()
    };
    let code = |code| {
        let responses = foreign.running.stats.snapshot().responses;
        responses.get(&code).copied().unwrap_or(0)
    };
    let refused = response::NO_PERMISSION;
    for secret in [None, Some("wrong")] {
        let before = code(refused);
        let door = Door::with(registered(secret), common::hub_config()).await;
        until("refusal", || code(refused) > before).await;
        door.close().await;
    }
    assert_eq!(code(response::SUCCESS), 0);
    let before = code(refused);
    let door = Door::with(registered(Some("SK")), common::hub_config()).await;
    until("registration", || code(response::SUCCESS) == 1).await;
    // The goodbye is signed as well.
    door.close().await;
    assert_eq!((code(response::SUCCESS), code(refused)), (2, before));
}

#[tokio::test]
async fn a_lost_name_server_is_found_again() {
    let listener = tokio::net::TcpListener::bind(common::loopback())
        .await
        .unwrap();
    let mut config = common::config();
    config.register = vec![listener.local_addr().unwrap().to_string()];
    let door = Door::with(config, common::hub_config()).await;
    // The first connection is cut without an answer; the second must come and register in full.
    let (first, _) = listener.accept().await.unwrap();
    drop(first);
    let (second, _) = tokio::time::timeout(common::SOON, listener.accept())
        .await
        .unwrap()
        .unwrap();
    let mut server = Client::over(second);
    let received = server.receive().await.unwrap();
    assert_eq!(received.code, request::REGISTER_BROKER);
    let header = RegisterBroker::parse(&received.ext).unwrap();
    assert_eq!((header.broker_name, header.broker_id), ("node-a", 0));
    assert_eq!(header.body_crc32, Some(body_crc(&received.body)));
    let sent: Registration = body::parse(&received.body).unwrap();
    assert!(sent.topics.topic_config_table.len() > 1);
    // A question in between is answered, a notice is not.
    let notice = Command::request(request::NOTIFY_MIN_BROKER_ID_CHANGE).oneway();
    server.send(notice).await;
    let question = server.send(Command::request(4711)).await;
    let answer = server.receive().await.unwrap();
    assert_eq!((answer.opaque, answer.code), (question, 3));
    server.reply(&received, 0).await;
    let before = door.hub.topics_version().counter;
    door.create_topic("Fresh", 1).await;
    let received = server.receive().await.unwrap();
    assert_eq!(received.code, request::REGISTER_BROKER);
    let sent: Registration = body::parse(&received.body).unwrap();
    assert!(sent.topics.topic_config_table.contains_key("Fresh"));
    assert!(sent.topics.data_version.counter > before as i64);
    server.reply(&received, 0).await;
    door.scope.drain();
    let received = server.receive().await.unwrap();
    assert_eq!(received.code, request::UNREGISTER_BROKER);
    server.reply(&received, 0).await;
    until("end", || door.scope.active() == 0).await;
}
