//! Routes, presence and telemetry.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::time::Duration;

use common::{Client, Door, SOON, code, endpoints, resource, until};
use crossdock_hub::ConsumeKind;
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::retry_policy::Strategy;
use crossdock_proto_grpc::v2::settings::PubSub;
use crossdock_proto_grpc::v2::telemetry_command::Command;
use crossdock_proto_grpc::v2::{
    ClientType, Code, FilterExpression, MessageType, Permission, Settings, TelemetryCommand,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// A client's end of a telemetry stream.
struct Telemetry {
    sender: mpsc::Sender<TelemetryCommand>,
    answers: Streaming<TelemetryCommand>,
}

impl Telemetry {
    async fn open(client: &Client) -> Self {
        let (sender, receiver) = mpsc::channel(8);
        let request = client.request(ReceiverStream::new(receiver));
        let mut raw = client.raw.clone();
        // Headers come at once, before anything was said.
        let answers = timeout(SOON, raw.telemetry(request))
            .await
            .unwrap()
            .unwrap();
        Self {
            sender,
            answers: answers.into_inner(),
        }
    }

    async fn say(&self, command: Option<Command>) {
        let frame = TelemetryCommand {
            status: None,
            command,
        };
        self.sender.send(frame).await.unwrap();
    }

    async fn next(&mut self) -> TelemetryCommand {
        let answer = timeout(SOON, self.answers.message()).await.unwrap();
        answer.unwrap().unwrap()
    }

    async fn settle(&mut self, settings: Settings) -> Settings {
        self.say(Some(Command::Settings(settings))).await;
        settings_of(self.next().await)
    }
}

fn settings_of(answer: TelemetryCommand) -> Settings {
    assert_eq!(code(answer.status), Code::Ok);
    match answer.command {
        Some(Command::Settings(settings)) => settings,
        other => panic!("{other:?}"),
    }
}

fn producer(topics: &[&str]) -> Settings {
    Settings {
        client_type: Some(ClientType::Producer.into()),
        access_point: Some(endpoints()),
        pub_sub: Some(PubSub::Publishing(v2::Publishing {
            topics: topics.iter().map(|topic| resource(topic)).collect(),
            ..v2::Publishing::default()
        })),
        ..Settings::default()
    }
}

fn consumer(group: &str, topic: &str) -> Settings {
    Settings {
        client_type: Some(ClientType::PushConsumer.into()),
        pub_sub: Some(PubSub::Subscription(v2::Subscription {
            group: Some(resource(group)),
            subscriptions: vec![v2::SubscriptionEntry {
                topic: Some(resource(topic)),
                expression: Some(FilterExpression {
                    r#type: v2::FilterType::Tag.into(),
                    expression: "A||B".to_owned(),
                }),
            }],
            ..v2::Subscription::default()
        })),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_route_leads_back_the_way_the_client_came() {
    let door = Door::start().await;
    let client = door.client().await;
    let route = client.route("T").await;
    assert_eq!(code(route.status), Code::Ok);
    let ids: Vec<_> = route.message_queues.iter().map(|queue| queue.id).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
    for queue in route.message_queues {
        assert_eq!(queue.topic, Some(resource("T")));
        assert_eq!(queue.permission, i32::from(Permission::ReadWrite));
        let broker = queue.broker.unwrap();
        assert_eq!((broker.name.as_str(), broker.id), ("node-a", 0));
        assert_eq!(broker.endpoints, Some(endpoints()));
        let kinds = [MessageType::Normal, MessageType::Fifo, MessageType::Delay];
        assert_eq!(queue.accept_message_types, kinds.map(i32::from));
    }
    door.topic("F", "+message.type=FIFO").await;
    let typed = client.route("F").await.message_queues;
    assert_eq!(
        typed[0].accept_message_types,
        [i32::from(MessageType::Fifo)]
    );
}

#[tokio::test]
async fn a_route_needs_an_access_point_and_a_legal_topic() {
    let door = Door::start().await;
    let client = door.client().await;
    let ask = async |topic: &str, endpoints: Option<v2::Endpoints>| {
        let request = v2::QueryRouteRequest {
            topic: Some(resource(topic)),
            endpoints,
        };
        let answer = client
            .raw
            .clone()
            .query_route(client.request(request))
            .await;
        code(answer.unwrap().into_inner().status)
    };
    assert_eq!(ask("T", None).await, Code::IllegalAccessPoint);
    let unknown = v2::Endpoints {
        scheme: 99,
        ..endpoints()
    };
    assert_eq!(ask("T", Some(unknown)).await, Code::IllegalAccessPoint);
    assert_eq!(ask("a b", Some(endpoints())).await, Code::IllegalTopic);
    assert!(door.hub.topic("T").is_none());
}

#[tokio::test]
async fn an_assignment_stands_for_every_queue() {
    let door = Door::start().await;
    let client = door.client().await;
    let ask = async |topic: &str| {
        let request = v2::QueryAssignmentRequest {
            topic: Some(resource(topic)),
            group: Some(resource("g")),
            endpoints: Some(endpoints()),
        };
        let answer = client
            .raw
            .clone()
            .query_assignment(client.request(request))
            .await;
        answer.unwrap().into_inner()
    };
    assert_eq!(code(ask("T").await.status), Code::TopicNotFound);
    door.topic("T", "").await;
    let answer = ask("T").await;
    assert_eq!(code(answer.status), Code::Ok);
    let queue = answer.assignments[0].message_queue.clone().unwrap();
    assert_eq!((answer.assignments.len(), queue.id), (1, -1));
    assert_eq!(queue.permission, i32::from(Permission::Read));
}

#[tokio::test]
async fn producers_are_told_limits_and_a_policy() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut telemetry = Telemetry::open(&client).await;
    let settings = telemetry.settle(producer(&["T"])).await;
    assert_eq!(settings.client_type, Some(ClientType::Producer.into()));
    assert_eq!(settings.access_point, Some(endpoints()));
    assert_eq!(settings.metric, Some(v2::Metric::default()));
    let policy = settings.backoff_policy.unwrap();
    assert_eq!(policy.max_attempts, 3);
    assert!(matches!(
        policy.strategy,
        Some(Strategy::ExponentialBackoff(_))
    ));
    let Some(PubSub::Publishing(publishing)) = settings.pub_sub else {
        panic!("no publishing");
    };
    assert_eq!(publishing.max_body_size, 4 * 1024 * 1024);
    assert!(publishing.validate_message_type);
    assert_eq!(publishing.topics, [resource("T")]);
    assert_eq!(door.hub.producers("T").len(), 1);
    // A client without topics starts as well.
    telemetry.settle(producer(&[])).await;
}

#[tokio::test]
async fn consumers_are_told_what_their_group_says() {
    let door = Door::start().await;
    let config = crossdock_hub::GroupConfig {
        retry_max: 5,
        ..crossdock_hub::GroupConfig::default()
    };
    door.hub
        .put_group(&"g".parse().unwrap(), config)
        .await
        .unwrap();
    let client = door.client().await;
    let mut telemetry = Telemetry::open(&client).await;
    let settings = telemetry.settle(consumer("g", "T")).await;
    let policy = settings.backoff_policy.unwrap();
    assert_eq!(policy.max_attempts, 6);
    let Some(Strategy::CustomizedBackoff(backoff)) = policy.strategy else {
        panic!("not a list");
    };
    assert_eq!(backoff.next.len(), 18);
    assert!(
        backoff
            .next
            .iter()
            .all(|next| next.seconds >= 1 && next.nanos == 0)
    );
    let Some(PubSub::Subscription(subscription)) = settings.pub_sub else {
        panic!("no subscription");
    };
    assert_eq!(subscription.receive_batch_size, Some(32));
    assert_eq!(subscription.long_polling_timeout.unwrap().seconds, 20);
    assert_eq!(subscription.fifo, Some(false));
    let group = door.hub.group("g").unwrap();
    let view = door.hub.group_view(&group).unwrap();
    assert_eq!((view.members.len(), view.kind), (1, ConsumeKind::Leased));
    assert_eq!(&*view.subscriptions[0].text, "A||B");
}

#[tokio::test]
async fn node_clients_get_an_exponential_policy_and_the_answer_twice() {
    let door = Door::start().await;
    let client = door.client().await.header("x-mq-language", "HTTP");
    let mut telemetry = Telemetry::open(&client).await;
    let first = telemetry.settle(consumer("g", "T")).await;
    let policy = first.backoff_policy.clone().unwrap();
    assert!(matches!(
        policy.strategy,
        Some(Strategy::ExponentialBackoff(_))
    ));
    assert_eq!(settings_of(telemetry.next().await), first);
}

#[tokio::test]
async fn frames_that_say_nothing_leave_the_stream_open() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut telemetry = Telemetry::open(&client).await;
    telemetry.say(None).await;
    let verify = v2::VerifyMessageResult::default();
    telemetry
        .say(Some(Command::VerifyMessageResult(verify)))
        .await;
    telemetry.settle(producer(&["T"])).await;
}

#[tokio::test]
async fn a_stream_that_is_opened_again_takes_the_place_of_the_first() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut first = Telemetry::open(&client).await;
    first.settle(producer(&["T"])).await;
    let _second = Telemetry::open(&client).await;
    let end = timeout(SOON, first.answers.message()).await.unwrap();
    assert!(end.unwrap().is_none());
    let stats = &door.running.stats;
    until("one stream", || stats.snapshot().telemetry_streams == 1).await;
    // What was said on the first is still known.
    assert_eq!(door.hub.producers("T").len(), 1);
    assert_eq!(stats.snapshot().sessions, 1);
}

#[tokio::test]
async fn half_closing_the_stream_ends_it_in_peace_and_cancelling_leaks_nothing() {
    let door = Door::start().await;
    let client = door.client().await;
    let Telemetry {
        sender,
        mut answers,
    } = Telemetry::open(&client).await;
    drop(sender);
    assert!(
        timeout(SOON, answers.message())
            .await
            .unwrap()
            .unwrap()
            .is_none()
    );
    for _ in 0..10 {
        drop(Telemetry::open(&client).await);
    }
    let stats = &door.running.stats;
    until("no stream", || stats.snapshot().telemetry_streams == 0).await;
}

#[tokio::test]
async fn bad_settings_are_answered_with_a_status_and_the_end() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut unknown = consumer("g", "T");
    unknown.client_type = Some(99);
    for (settings, expected) in [
        (Settings::default(), Code::BadRequest),
        (consumer("a b", "T"), Code::IllegalConsumerGroup),
        (consumer("g", "a b"), Code::IllegalTopic),
        (unknown, Code::UnrecognizedClientType),
    ] {
        let mut telemetry = Telemetry::open(&client).await;
        telemetry.say(Some(Command::Settings(settings))).await;
        let answer = telemetry.next().await;
        assert_eq!(code(answer.status), expected);
        assert_eq!(answer.command, None);
        assert!(telemetry.answers.message().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_heartbeat_needs_no_settings_but_a_type() {
    let door = Door::start().await;
    let client = door.client().await;
    let beat = async |client_type: i32, group: Option<&str>| {
        let request = v2::HeartbeatRequest {
            group: group.map(resource),
            client_type,
        };
        let answer = client.raw.clone().heartbeat(client.request(request)).await;
        code(answer.unwrap().into_inner().status)
    };
    assert_eq!(beat(ClientType::Producer.into(), None).await, Code::Ok);
    let simple = ClientType::SimpleConsumer.into();
    assert_eq!(beat(simple, Some("g")).await, Code::Ok);
    let group = door.hub.group("g").unwrap();
    assert_eq!(door.hub.group_clients(&group).len(), 1);
    assert_eq!(beat(simple, None).await, Code::IllegalConsumerGroup);
    for unknown in [0, 99, -1] {
        let code = beat(unknown, Some("g")).await;
        assert_eq!(code, Code::UnrecognizedClientType, "{unknown}");
    }
}

#[tokio::test]
async fn a_client_that_says_goodbye_leaves_its_groups_and_may_say_it_twice() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut telemetry = Telemetry::open(&client).await;
    telemetry.settle(consumer("g", "T")).await;
    let group = door.hub.group("g").unwrap();
    assert_eq!(door.hub.group_clients(&group).len(), 1);
    for empty in [None, Some(resource(""))] {
        let request = v2::NotifyClientTerminationRequest { group: empty };
        let mut raw = client.raw.clone();
        let answer = raw.notify_client_termination(client.request(request)).await;
        assert_eq!(code(answer.unwrap().into_inner().status), Code::Ok);
    }
    assert!(door.hub.group_clients(&group).is_empty());
}

#[tokio::test]
async fn silent_clients_are_forgotten_unless_their_stream_is_open() {
    let config = crossdock_grpc::GrpcConfig {
        session_expiry: Duration::from_millis(200),
        ..common::config()
    };
    let door = Door::with(config, common::hub_config()).await;
    let client = door.client().await;
    let mut telemetry = Telemetry::open(&client).await;
    telemetry.settle(consumer("g", "T")).await;
    let other = client.header("x-mq-client-id", "client-2");
    let request = v2::HeartbeatRequest {
        group: Some(resource("g")),
        client_type: ClientType::SimpleConsumer.into(),
    };
    other
        .raw
        .clone()
        .heartbeat(other.request(request))
        .await
        .unwrap();
    let group = door.hub.group("g").unwrap();
    assert_eq!(door.hub.group_clients(&group).len(), 2);
    until("the silent one is gone", || {
        door.hub.group_clients(&group).len() == 1
    })
    .await;
    let stats = &door.running.stats;
    assert_eq!(stats.snapshot().sessions, 1);
    drop(telemetry);
    until("the other, too", || stats.snapshot().sessions == 0).await;
    assert!(door.hub.group_clients(&group).is_empty());
}

#[tokio::test]
async fn draining_ends_streams_with_a_word_and_leaves_no_task() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut telemetry = Telemetry::open(&client).await;
    telemetry.settle(producer(&["T"])).await;
    let closing = tokio::spawn(door.close());
    let status = timeout(SOON, telemetry.answers.message()).await.unwrap();
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unavailable);
    assert!(closing.await.unwrap());
}
