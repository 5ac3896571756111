//! What the tests share: a door on a free loopback port over a real hub and store in a temporary folder, and a client with
//! the headers official clients send.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a test stops where it is wrong; each test file uses its own part of this"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use crossdock_grpc::{GrpcAdapter, GrpcConfig, Running};
use crossdock_hub::{Hub, HubConfig};
use crossdock_kit::{Scope, Tls};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::messaging_service_client::MessagingServiceClient;
use crossdock_proto_grpc::v2::{
    Code, Endpoints, MessageQueue, Resource, SendMessageRequest, SendMessageResponse,
    SystemProperties,
};
use crossdock_store::options::Options;
use crossdock_store::store::Store;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// Longest wait for anything that should happen.
pub const SOON: Duration = Duration::from_secs(10);

/// A running door and everything under it.
pub struct Door {
    pub hub: Hub,
    pub running: Running,
    pub scope: Scope,
    store: Store,
    _folder: Option<TempDir>,
}

pub fn config() -> GrpcConfig {
    GrpcConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        drain_grace: Duration::from_millis(50),
        ..GrpcConfig::default()
    }
}

pub fn hub_config() -> HubConfig {
    HubConfig {
        node: "node-a".into(),
        default_queues: 4,
        ..HubConfig::default()
    }
}

impl Door {
    pub async fn start() -> Self {
        Self::with(config(), hub_config()).await
    }

    pub async fn with(config: GrpcConfig, hub: HubConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut door = Self::open(folder.path(), config, hub, Tls::off()).await;
        door._folder = Some(folder);
        door
    }

    pub async fn open(folder: &Path, config: GrpcConfig, hub: HubConfig, tls: Tls) -> Self {
        let store = Store::open(folder, Options::default()).unwrap();
        let hub = Hub::start(store.clone(), hub).await.unwrap();
        let scope = Scope::root("grpc");
        let running = GrpcAdapter::start(hub.clone(), config, tls, scope.clone())
            .await
            .unwrap()
            .unwrap();
        Self {
            hub,
            running,
            scope,
            store,
            _folder: None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub async fn client(&self) -> Client {
        let uri = format!("http://{}", self.address());
        let channel = Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
        Client::over(channel)
    }

    pub async fn topic(&self, name: &str, attributes: &str) {
        let mut spec = crossdock_hub::TopicSpec::new(name.parse().unwrap(), 4);
        spec.attributes = crossdock_hub::AttributeEdit::parse_list(attributes).unwrap();
        self.hub.put_topic(spec).await.unwrap();
    }

    /// Drains and closes; true if every task ended by itself.
    pub async fn close(self) -> bool {
        let drained = self.scope.finish(SOON, &CancellationToken::new()).await;
        self.hub.close().await.unwrap();
        self.store.close();
        drained == crossdock_kit::Drained::Clean
    }

    /// Where messages of a topic are: every queue's.
    pub fn stored(&self, topic: &str) -> Vec<u64> {
        let topic = self.hub.topic(topic).unwrap();
        (0..topic.queues())
            .map(|queue| self.hub.bounds(&topic, queue).unwrap().max)
            .collect()
    }
}

/// A client with its headers.
#[derive(Clone)]
pub struct Client {
    pub raw: MessagingServiceClient<Channel>,
    pub headers: Vec<(&'static str, String)>,
}

impl Client {
    pub fn over(channel: Channel) -> Self {
        Self {
            raw: MessagingServiceClient::new(channel),
            headers: vec![
                ("x-mq-client-id", "client-1".to_owned()),
                ("x-mq-language", "RUST".to_owned()),
                ("x-mq-client-version", "5.0.0".to_owned()),
            ],
        }
    }

    /// The same connection with a header changed; removed if the value is empty.
    pub fn header(&self, name: &'static str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.headers.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            changed.headers.push((name, value.to_owned()));
        }
        changed
    }

    pub fn request<T>(&self, body: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(body);
        for (name, value) in &self.headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        request
    }

    pub async fn send(&self, messages: Vec<v2::Message>) -> SendMessageResponse {
        let request = self.request(SendMessageRequest { messages });
        let mut raw = self.raw.clone();
        let answer = raw.send_message(request);
        timeout(SOON, answer).await.unwrap().unwrap().into_inner()
    }

    pub async fn send_code(&self, message: v2::Message) -> Code {
        code(self.send(vec![message]).await.status)
    }

    /// Reads every message of a queue from the beginning, without waiting.
    pub async fn pull(&self, topic: &str, queue: i32) -> (Code, Vec<v2::Message>, Option<i64>) {
        let request = v2::PullMessageRequest {
            group: Some(resource("g")),
            message_queue: Some(queue_of(topic, queue)),
            batch_size: 32,
            ..v2::PullMessageRequest::default()
        };
        self.pull_with(request).await
    }

    pub async fn pull_with(
        &self,
        request: v2::PullMessageRequest,
    ) -> (Code, Vec<v2::Message>, Option<i64>) {
        use v2::pull_message_response::Content;
        let mut raw = self.raw.clone();
        let answer = raw.pull_message(self.request(request));
        let mut frames = timeout(SOON, answer).await.unwrap().unwrap().into_inner();
        let (mut found, mut messages, mut next) = (Code::Unspecified, Vec::new(), None);
        while let Some(frame) = timeout(SOON, frames.message()).await.unwrap().unwrap() {
            match frame.content.unwrap() {
                Content::Status(status) => {
                    assert_eq!(found, Code::Unspecified, "a second status");
                    found = code(Some(status));
                }
                Content::Message(message) => messages.push(message),
                Content::NextOffset(offset) => next = Some(offset),
            }
        }
        (found, messages, next)
    }

    /// Every message of the topic.
    pub async fn pull_all(&self, topic: &str, queues: i32) -> Vec<v2::Message> {
        let mut all = Vec::new();
        for queue in 0..queues {
            all.extend(self.pull(topic, queue).await.1);
        }
        all
    }

    pub async fn route(&self, topic: &str) -> v2::QueryRouteResponse {
        let request = v2::QueryRouteRequest {
            topic: Some(resource(topic)),
            endpoints: Some(endpoints()),
        };
        let mut raw = self.raw.clone();
        let answer = raw.query_route(self.request(request));
        timeout(SOON, answer).await.unwrap().unwrap().into_inner()
    }
}

pub fn code(status: Option<v2::Status>) -> Code {
    Code::try_from(status.unwrap().code).unwrap()
}

pub fn resource(name: &str) -> Resource {
    Resource {
        resource_namespace: String::new(),
        name: name.to_owned(),
    }
}

pub fn endpoints() -> Endpoints {
    Endpoints {
        scheme: v2::AddressScheme::DomainName.into(),
        addresses: vec![v2::Address {
            host: "somewhere.example".to_owned(),
            port: 4321,
        }],
    }
}

pub fn queue_of(topic: &str, id: i32) -> MessageQueue {
    MessageQueue {
        topic: Some(resource(topic)),
        id,
        ..MessageQueue::default()
    }
}

/// A message as official clients write it.
pub fn message(topic: &str, id: &str, body: &str) -> v2::Message {
    v2::Message {
        topic: Some(resource(topic)),
        user_properties: std::collections::HashMap::new(),
        system_properties: Some(SystemProperties {
            message_id: id.to_owned(),
            message_type: v2::MessageType::Normal.into(),
            body_encoding: v2::Encoding::Identity.into(),
            born_host: "producer.example".to_owned(),
            born_timestamp: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 5_000_000,
            }),
            ..SystemProperties::default()
        }),
        body: Bytes::from(body.to_owned()),
    }
}

/// The same with a change of its system properties.
pub fn with(mut message: v2::Message, change: impl FnOnce(&mut SystemProperties)) -> v2::Message {
    change(message.system_properties.as_mut().unwrap());
    message
}

/// Awaits a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        timeout(SOON, waiting).await.is_ok(),
        "still waiting for: {what}"
    );
}
