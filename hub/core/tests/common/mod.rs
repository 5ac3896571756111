//! A hub over a real store in a temporary folder, and what the tests say over and over.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test files that each use a part of it"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use crossdock_hub::{
    ConsumeFrom, ConsumeKind, ConsumeModel, Flavour, Group, GroupName, Heartbeat, Hub, HubConfig,
    Member, MemberChannel, Publish, QueueChoice, ReadLimits, Subscription, Topic, TopicName,
    TopicSpec, Undecided,
};
use crossdock_store::options::Options;
use crossdock_store::store::Store;
use smallvec::smallvec;
use tempfile::TempDir;

/// Longest any condition is waited for.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const LIMITS: ReadLimits = ReadLimits {
    records: 32,
    bytes: 1 << 20,
    scanned: 1024,
};

/// A folder with a store and a hub that can be stopped and started again.
pub struct Node {
    folder: TempDir,
    pub config: HubConfig,
    pub store: Store,
    pub hub: Hub,
}

impl Node {
    pub async fn start() -> Self {
        Self::with(HubConfig::default()).await
    }

    pub async fn with(config: HubConfig) -> Self {
        Self::on(config, Options::default()).await
    }

    pub async fn on(config: HubConfig, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options).unwrap();
        let hub = Hub::start(store.clone(), config.clone()).await.unwrap();
        Self {
            folder,
            config,
            store,
            hub,
        }
    }

    pub async fn restart(self) -> Self {
        let config = self.config.clone();
        self.restart_with(config).await
    }

    pub async fn restart_with(self, config: HubConfig) -> Self {
        self.hub.close().await.unwrap();
        drop(self.hub);
        close(self.store).await;
        let store = Store::open(self.folder.path(), Options::default()).unwrap();
        let hub = Hub::start(store.clone(), config.clone()).await.unwrap();
        Self {
            folder: self.folder,
            config,
            store,
            hub,
        }
    }

    pub async fn stop(self) {
        self.hub.close().await.unwrap();
        close(self.store).await;
    }

    pub async fn topic(&self, name: &str, queues: u32) -> Arc<Topic> {
        self.hub
            .put_topic(TopicSpec::new(topic(name), queues))
            .await
            .unwrap()
    }

    pub async fn group(&self, name: &str) -> Arc<Group> {
        self.hub.ensure_group(&group(name)).await.unwrap()
    }

    /// Publishes to queue 0 and returns the offset.
    pub async fn send(&self, topic: &Arc<Topic>, body: &'static str) -> u64 {
        let publish = Publish {
            queue: QueueChoice::Number(0),
            ..message(topic, body)
        };
        self.hub.publish_wait(publish).await.unwrap().1[0].offset
    }
}

/// Closing a store waits for its threads.
async fn close(store: Store) {
    tokio::task::spawn_blocking(move || store.close())
        .await
        .unwrap();
}

pub fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

pub fn message(topic: &Arc<Topic>, body: &'static str) -> Publish {
    let tail = smallvec![Bytes::from_static(body.as_bytes())];
    Publish::new(Arc::clone(topic), Flavour::Neutral, tail)
}

/// Bodies of a queue from an offset on.
pub async fn bodies(hub: &Hub, topic: &Topic, queue: u32, from: u64) -> Vec<String> {
    let filter = crossdock_hub::TagFilter::All;
    let outcome = hub.read(topic, queue, from, LIMITS, &filter).await.unwrap();
    let body = |m: &crossdock_hub::Message| {
        let prefix = m.prefix.clone().unwrap_or_default();
        String::from_utf8([prefix, m.record.tail.clone()].concat()).unwrap()
    };
    outcome.messages.iter().map(body).collect()
}

/// Waits until `condition` holds, looking again whenever the runtime has something else done.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// A connection that counts its notices.
#[derive(Debug, Default)]
pub struct Channel {
    notices: AtomicUsize,
    questions: Mutex<Vec<Undecided>>,
    is_closed: AtomicBool,
}

impl Channel {
    pub fn notices(&self) -> usize {
        self.notices.load(Ordering::Acquire)
    }

    /// What the client was asked to decide.
    pub fn questions(&self) -> Vec<Undecided> {
        self.questions.lock().unwrap().clone()
    }

    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}

impl MemberChannel for Channel {
    fn members_changed(&self, _group: &GroupName) {
        self.notices.fetch_add(1, Ordering::AcqRel);
    }

    fn ask_decision(&self, undecided: &Undecided) -> bool {
        self.questions.lock().unwrap().push(undecided.clone());
        true
    }

    fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

/// A client with a connection of its own.
#[derive(Clone)]
pub struct Client {
    pub member: Member,
    pub channel: Arc<Channel>,
}

impl Client {
    pub fn connect(hub: &Hub, name: &str) -> Self {
        let channel = Arc::new(Channel::default());
        let member = Member {
            client: name.into(),
            connection: hub.new_connection(),
            door: "test",
            language: "RUST".into(),
            version: 1,
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            channel: Arc::clone(&channel) as Arc<dyn MemberChannel>,
        };
        Self { member, channel }
    }

    pub fn heartbeat(&self, subscriptions: &[(&str, &str, i64)]) -> Heartbeat {
        let parse = |(name, text, version): &(&str, &str, i64)| {
            Subscription::parse(topic(name), text, *version).unwrap()
        };
        Heartbeat {
            member: self.member.clone(),
            kind: ConsumeKind::Passively,
            model: ConsumeModel::Clustering,
            from: ConsumeFrom::Last,
            subscriptions: Some(subscriptions.iter().map(parse).collect()),
        }
    }
}
