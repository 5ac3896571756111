//! What the tests share: a door on free loopback ports over a real hub and store in a temporary
//! folder, and a client that writes and reads raw frames.
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

use bytes::{Bytes, BytesMut};
use crossdock_hub::{Hub, HubConfig};
use crossdock_kit::{Scope, Tls};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::WriteHeader;
use crossdock_proto_remoting::header::pull::{PullMessage, PullResponse, pull_flag};
use crossdock_proto_remoting::header::send::{SendMessage, SendResponse};
use crossdock_proto_remoting::record::Record;
use crossdock_proto_remoting::{Command, Encoding, FrameDecoder};
use crossdock_remoting::{RemotingAdapter, RemotingConfig, Running};
use crossdock_store::options::Options;
use crossdock_store::store::Store;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that should happen.
pub const SOON: Duration = Duration::from_secs(10);

/// A running door and everything under it.
pub struct Door {
    pub hub: Hub,
    pub running: Running,
    pub scope: Scope,
    store: Store,
    folder: Option<TempDir>,
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub fn config() -> RemotingConfig {
    RemotingConfig {
        listen: Some(loopback()),
        listen_fast: Some(loopback()),
        listen_name_server: Some(loopback()),
        drain_grace: Duration::from_millis(50),
        ..RemotingConfig::default()
    }
}

pub fn hub_config() -> HubConfig {
    HubConfig {
        node: "node-a".into(),
        ..HubConfig::default()
    }
}

impl Door {
    pub async fn start() -> Self {
        Self::with(config(), hub_config()).await
    }

    pub async fn with(config: RemotingConfig, hub: HubConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut door = Self::open(folder.path(), config, hub, Tls::off()).await;
        door.folder = Some(folder);
        door
    }

    /// With settings of the store.
    pub async fn on(options: Options, config: RemotingConfig, hub: HubConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options).unwrap();
        let mut door = Self::over(store, config, hub, Tls::off()).await;
        door.folder = Some(folder);
        door
    }

    pub async fn open(folder: &Path, config: RemotingConfig, hub: HubConfig, tls: Tls) -> Self {
        let store = Store::open(folder, Options::default()).unwrap();
        Self::over(store, config, hub, tls).await
    }

    async fn over(store: Store, config: RemotingConfig, hub: HubConfig, tls: Tls) -> Self {
        let hub = Hub::start(store.clone(), hub).await.unwrap();
        let scope = Scope::root("remoting");
        let running = RemotingAdapter::start(hub.clone(), config, tls, scope.clone())
            .await
            .unwrap();
        Self {
            hub,
            running,
            scope,
            store,
            folder: None,
        }
    }

    pub async fn broker(&self) -> Client {
        Client::connect(self.running.broker.unwrap()).await
    }

    pub async fn fast(&self) -> Client {
        Client::connect(self.running.broker_fast.unwrap()).await
    }

    pub async fn name_server(&self) -> Client {
        Client::connect(self.running.name_server.unwrap()).await
    }

    /// Drains, closes hub and store, and keeps the folder for another start.
    pub async fn close(mut self) -> Option<TempDir> {
        self.scope.finish(SOON, &CancellationToken::new()).await;
        self.hub.close().await.unwrap();
        self.store.close();
        self.folder.take()
    }

    pub async fn create_topic(&self, name: &str, queues: u32) {
        let name = name.parse().unwrap();
        let spec = crossdock_hub::TopicSpec::new(name, queues);
        self.hub.put_topic(spec).await.unwrap();
    }

    pub async fn create_group(&self, name: &str) {
        let config = crossdock_hub::GroupConfig::default();
        self.hub
            .put_group(&name.parse().unwrap(), config)
            .await
            .unwrap();
    }
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
        "never happened: {what}"
    );
}

/// A client that speaks raw frames.
pub struct Client {
    pub stream: TcpStream,
    pub local: SocketAddr,
    buffer: BytesMut,
    opaque: i32,
    pub encoding: Encoding,
    pub version: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            local: stream.local_addr().unwrap(),
            stream,
            buffer: BytesMut::new(),
            opaque: 100,
            encoding: Encoding::Json,
            version: 479,
        }
    }

    /// Writes a request and returns its number.
    pub async fn send(&mut self, command: Command) -> i32 {
        self.opaque += 1;
        let mut command = command
            .with_opaque(self.opaque)
            .with_encoding(self.encoding);
        command.version = self.version;
        let mut frame = BytesMut::new();
        command.encode(&mut frame).unwrap();
        self.stream.write_all(&frame).await.unwrap();
        self.opaque
    }

    /// Answers a request of the other side.
    pub async fn reply(&mut self, request: &Command, code: i32) {
        let mut frame = BytesMut::new();
        request.response(code).encode(&mut frame).unwrap();
        self.write(&frame).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame, or `None` when the connection is closed.
    pub async fn receive(&mut self) -> Option<Command> {
        let receiving = async {
            loop {
                let decoder = FrameDecoder::default();
                if let Some(command) = decoder.decode(&mut self.buffer).unwrap() {
                    return Some(command);
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        timeout(SOON, receiving)
            .await
            .expect("nothing came in time")
    }

    /// Sends a request and waits for its response; everything else that arrives is dropped.
    pub async fn ask(&mut self, command: Command) -> Command {
        let opaque = self.send(command).await;
        self.answer_to(opaque).await
    }

    pub async fn answer_to(&mut self, opaque: i32) -> Command {
        loop {
            let received = self.receive().await.expect("the connection was closed");
            if received.is_response() && received.opaque == opaque {
                return received;
            }
        }
    }

    pub async fn ask_with(&mut self, code: i32, header: &impl WriteHeader) -> Command {
        self.ask(Command::request(code).with_header(header)).await
    }

    /// Sends a message and expects success.
    pub async fn publish(&mut self, topic: &str, queue: i32, body: &str, properties: &str) -> Sent {
        let response = self.ask(send_v2(topic, queue, body, properties)).await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
        Sent::of(&response)
    }

    /// Pulls with an inline subscription and expects success.
    pub async fn pull(&mut self, group: &str, topic: &str, queue: i32, offset: i64) -> Pulled {
        let header = PullMessage {
            subscription: Some("*"),
            ..pull_header(group, topic, queue, offset, pull_flag::SUBSCRIPTION)
        };
        let response = self.ask_with(request::PULL_MESSAGE, &header).await;
        Pulled::of(response)
    }
}

pub fn props(pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| format!("{name}\u{1}{value}\u{2}"))
        .collect()
}

pub fn send_header<'a>(topic: &'a str, queue: i32, properties: &'a str) -> SendMessage<'a> {
    SendMessage {
        producer_group: "pg",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: queue,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 7,
        properties: Some(properties),
        ..SendMessage::default()
    }
}

pub fn send_v2(topic: &str, queue: i32, body: &str, properties: &str) -> Command {
    Command::request(request::SEND_MESSAGE_V2)
        .with_header(&send_header(topic, queue, properties))
        .with_body(body.as_bytes().to_vec())
}

pub fn pull_header<'a>(
    group: &'a str,
    topic: &'a str,
    queue: i32,
    offset: i64,
    flags: i32,
) -> PullMessage<'a> {
    PullMessage {
        consumer_group: group,
        topic,
        queue_id: queue,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: flags,
        ..PullMessage::default()
    }
}

/// A send response, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Sent {
    pub msg_id: String,
    pub queue: i32,
    pub offset: i64,
    pub transaction_id: Option<String>,
    pub region: Option<String>,
    pub trace_on: Option<bool>,
}

impl Sent {
    pub fn of(response: &Command) -> Self {
        let header = SendResponse::parse(&response.ext).unwrap();
        Self {
            msg_id: header.msg_id.to_owned(),
            queue: header.queue_id,
            offset: header.queue_offset,
            transaction_id: header.transaction_id.map(str::to_owned),
            region: header.region.map(str::to_owned),
            trace_on: header.trace_on,
        }
    }

    /// Position in the log, from the message id.
    pub fn position(&self) -> i64 {
        let id: crossdock_proto_remoting::record::MessageId = self.msg_id.parse().unwrap();
        id.offset
    }
}

/// A message taken out of a pull response.
#[derive(Debug, Clone)]
pub struct Message {
    pub head: crossdock_proto_remoting::record::RecordHead,
    pub topic: String,
    pub body: Vec<u8>,
    pub properties: Vec<(String, String)>,
}

impl Message {
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut found = self.properties.iter().rev();
        found
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// All records of a body.
pub fn records(body: &Bytes) -> Vec<Message> {
    let mut rest: &[u8] = body;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (record, len) = Record::parse(rest).unwrap();
        assert!(record.crc_matches());
        all.push(Message {
            head: record.head,
            topic: record.topic.to_owned(),
            body: record.body.to_vec(),
            properties: record
                .properties
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        });
        rest = &rest[len..];
    }
    all
}

/// A pull response, taken apart.
#[derive(Debug)]
pub struct Pulled {
    pub code: i32,
    pub remark: Option<String>,
    pub header: Option<PullResponse>,
    pub messages: Vec<Message>,
}

impl Pulled {
    pub fn of(response: Command) -> Self {
        Self {
            code: response.code,
            remark: response.remark.as_ref().map(|text| text.to_string()),
            header: PullResponse::parse(&response.ext).ok(),
            messages: records(&response.body),
        }
    }

    pub fn next(&self) -> i64 {
        self.header.as_ref().unwrap().next_begin_offset
    }

    pub fn bodies(&self) -> Vec<String> {
        let bodies = self.messages.iter().map(|m| m.body.clone());
        bodies
            .map(|body| String::from_utf8(body).unwrap())
            .collect()
    }
}

pub fn parse_body<T: DeserializeOwned>(response: &Command) -> T {
    assert_eq!(response.code, 0, "{:?}", response.remark);
    body::parse(&response.body).unwrap()
}

/// A heartbeat of one consumer with one subscription besides the retry topic.
pub fn heartbeat(
    client: &str,
    group: &str,
    topic: &str,
    expression: &str,
    version: i64,
) -> Command {
    let tags: Vec<&str> = expression.split("||").filter(|tag| *tag != "*").collect();
    let text = format!(
        r#"{{"clientID":"{client}","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",
        "consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"CLUSTERING",
        "subscriptionDataSet":[{{"classFilterMode":false,"codeSet":[],"expressionType":"TAG",
        "subString":"{expression}","subVersion":{version},"tagsSet":{tags:?},"topic":"{topic}"}},
        {{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*",
        "subVersion":{version},"tagsSet":[],"topic":"%RETRY%{group}"}}],"unitMode":false}}],
        "heartbeatFingerprint":0,"producerDataSet":[{{"groupName":"CLIENT_INNER_PRODUCER"}}],
        "withoutSub":false}}"#
    );
    Command::request(request::HEART_BEAT).with_body(text.into_bytes())
}
