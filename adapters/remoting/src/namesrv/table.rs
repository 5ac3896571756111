//! The table of foreign brokers: who they are, which topics they serve, and when they were last
//! heard of. One short lock owns it. It is bounded in brokers and in (topic, broker) entries, and
//! what nobody renews is forgotten.

mod expire;
mod perm;
mod register;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::ConnectionId;
use crossdock_proto_remoting::body::DataVersion;
use crossdock_proto_remoting::body::route::QueueData;
use parking_lot::RwLock;
use tokio::time::Instant;

pub(crate) use register::Announcement;

/// Longest text of a name or an address in a registration.
const TEXT_MAX: usize = 255;

/// Foreign brokers and their topics.
#[derive(Debug)]
pub(crate) struct RouteTable {
    state: RwLock<State>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Broker addresses.
    pub(crate) brokers_max: usize,
    /// Pairs of a topic and a broker that serves it.
    pub(crate) topics_max: usize,
    /// How long a broker lives without renewal unless it asks for another time.
    pub(crate) expiry: Duration,
}

#[derive(Debug, Default)]
struct State {
    brokers: BTreeMap<Arc<str>, Broker>,
    topics: BTreeMap<Arc<str>, HashMap<Arc<str>, QueueData>>,
    /// Pairs in `topics`.
    topic_entries: usize,
}

/// All addresses under one broker name.
#[derive(Debug)]
struct Broker {
    cluster: String,
    is_acting_master_enabled: bool,
    /// By broker id; 0 is the master.
    nodes: BTreeMap<i64, Node>,
}

/// One address of a broker.
#[derive(Debug)]
struct Node {
    address: String,
    ha_address: String,
    version: DataVersion,
    seen: Instant,
    timeout: Duration,
    /// The connection it registered over; its end is the broker's end.
    connection: ConnectionId,
}

impl RouteTable {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: RwLock::default(),
            limits,
        }
    }
}

impl State {
    fn nodes(&self) -> usize {
        self.brokers.values().map(|broker| broker.nodes.len()).sum()
    }

    fn put_topic(&mut self, topic: &str, queues: QueueData) {
        let broker: Arc<str> = queues.broker_name.as_str().into();
        let entries = match self.topics.get_mut(topic) {
            Some(entries) => entries,
            None => self.topics.entry(topic.into()).or_default(),
        };
        if entries.insert(broker, queues).is_none() {
            self.topic_entries += 1;
        }
    }

    /// Removes a broker's entry of every topic, and topics that nobody serves any more.
    fn drop_topics_of(&mut self, broker: &str) {
        let mut dropped = 0;
        self.topics.retain(|_, entries| {
            dropped += usize::from(entries.remove(broker).is_some());
            !entries.is_empty()
        });
        self.topic_entries -= dropped;
    }

    /// Removes the nodes `gone` picks, and brokers without nodes with their topics.
    fn remove_nodes(&mut self, mut gone: impl FnMut(&str, i64, &Node) -> bool) -> usize {
        let mut removed = 0;
        let mut empty = Vec::new();
        for (name, broker) in &mut self.brokers {
            let before = broker.nodes.len();
            broker.nodes.retain(|id, node| !gone(name, *id, node));
            removed += before - broker.nodes.len();
            if broker.nodes.is_empty() {
                empty.push(Arc::clone(name));
            }
        }
        for name in empty {
            self.brokers.remove(&name);
            self.drop_topics_of(&name);
            tracing::info!(broker = %name, "a foreign broker is gone");
        }
        removed
    }
}

#[cfg(test)]
mod tests;
