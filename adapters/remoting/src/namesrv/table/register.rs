//! Registration of foreign brokers: in full, in parts, and by sign of life. The rules are those
//! that real brokers count on.

use crossdock_hub::ConnectionId;
use crossdock_proto_remoting::body::DataVersion;
use crossdock_proto_remoting::body::registration::Registration;
use crossdock_proto_remoting::body::route::{MASTER_ID, QueueData, TopicRoute, perm};
use crossdock_proto_remoting::body::topic::TopicConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::{Broker, Node, RouteTable, State, TEXT_MAX};
use crate::error::Refusal;

/// Shortest and longest lifetime a broker may ask for.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Who registers, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announcement<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) broker: &'a str,
    pub(crate) address: &'a str,
    pub(crate) ha_address: &'a str,
    pub(crate) id: i64,
    pub(crate) timeout_ms: Option<i64>,
    /// `None` for brokers that know nothing of acting masters.
    pub(crate) acting_master: Option<bool>,
    pub(crate) connection: ConnectionId,
}

/// What a registration is answered with; only slaves are told of their master.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) master_address: Option<String>,
    pub(crate) master_ha_address: Option<String>,
}

impl Announcement<'_> {
    fn check(&self) -> Result<(), Refusal> {
        let texts = [self.cluster, self.broker, self.address];
        if texts
            .iter()
            .any(|text| text.is_empty() || text.len() > TEXT_MAX)
            || self.ha_address.len() > TEXT_MAX
            || self.id < 0
        {
            return Err(Refusal::system(
                "register broker failed: illegal name, address or id",
            ));
        }
        Ok(())
    }

    fn node(&self, version: DataVersion, expiry: Duration) -> Node {
        let asked = self
            .timeout_ms
            .and_then(|ms| u64::try_from(ms).ok())
            .map(Duration::from_millis);
        Node {
            address: self.address.to_owned(),
            ha_address: self.ha_address.to_owned(),
            version,
            seen: Instant::now(),
            timeout: asked.map_or(expiry, |asked| asked.clamp(TIMEOUT_MIN, TIMEOUT_MAX)),
            connection: self.connection,
        }
    }
}

impl RouteTable {
    /// Takes a registration.
    pub(crate) fn register(
        &self,
        who: &Announcement<'_>,
        body: Registration,
    ) -> Result<Registered, Refusal> {
        who.check()?;
        let version = body.topics.data_version;
        let topics = body.topics.topic_config_table;
        let mut state = self.state.write();
        let known = state.brokers.get(who.broker);
        let holder = known.and_then(|broker| broker.nodes.get(&who.id));
        if let Some(holder) = holder
            && holder.address != who.address
            && holder.version.state_version > version.state_version
        {
            // Another process with this name and id is ahead: the newcomer is passed over.
            return Ok(Registered::default());
        }
        if holder.is_none() && topics.len() == 1 {
            // An update of one topic from a broker nobody knows would show a broker without topics.
            return Err(Refusal::system(
                "register broker failed: not registered in full yet",
            ));
        }
        let is_first = holder.is_none();
        let is_changed = is_first || holder.is_some_and(|holder| holder.version != version);
        if is_first && state.nodes() >= self.limits.brokers_max {
            return Err(Refusal::system("register broker failed: too many brokers"));
        }
        let is_prime = state.enter(who, version, self.limits.expiry);
        if who.id == MASTER_ID || (who.acting_master.is_some() && is_prime) {
            let is_acting = who.id != MASTER_ID && who.acting_master == Some(true);
            for config in topics.into_values() {
                state.take_topic(
                    who.broker,
                    config,
                    is_changed,
                    is_acting,
                    self.limits.topics_max,
                )?;
            }
        }
        Ok(state.answer(who))
    }

    /// A sign of life without topics.
    pub(crate) fn renew(&self, broker: &str, address: &str) {
        let mut state = self.state.write();
        if let Some(broker) = state.brokers.get_mut(broker) {
            for node in broker
                .nodes
                .values_mut()
                .filter(|node| node.address == address)
            {
                node.seen = Instant::now();
            }
        }
    }

    /// The version an address registered with.
    pub(crate) fn version_of(&self, broker: &str, address: &str) -> Option<DataVersion> {
        let state = self.state.read();
        let nodes = &state.brokers.get(broker)?.nodes;
        let node = nodes.values().find(|node| node.address == address)?;
        Some(node.version)
    }

    /// Adds queues of a topic on brokers that are registered; others are passed over.
    pub(crate) fn add_topic(&self, topic: &str, route: TopicRoute) -> Result<(), Refusal> {
        if topic.is_empty() || topic.len() > TEXT_MAX {
            return Err(Refusal::invalid("the topic name is empty or too long"));
        }
        let mut state = self.state.write();
        for queues in route.queue_datas {
            if state.brokers.contains_key(queues.broker_name.as_str()) {
                state.room_for(topic, &queues.broker_name, self.limits.topics_max)?;
                state.put_topic(topic, queues);
            }
        }
        Ok(())
    }
}

impl State {
    /// Enters the node; true if it has the lowest id of its broker.
    fn enter(&mut self, who: &Announcement<'_>, version: DataVersion, expiry: Duration) -> bool {
        let broker = match self.brokers.get_mut(who.broker) {
            Some(broker) => broker,
            None => self
                .brokers
                .entry(Arc::from(who.broker))
                .or_insert_with(|| Broker {
                    cluster: String::new(),
                    is_acting_master_enabled: false,
                    nodes: std::collections::BTreeMap::new(),
                }),
        };
        who.cluster.clone_into(&mut broker.cluster);
        broker.is_acting_master_enabled = who.acting_master == Some(true);
        // A node that changed its id, as after a switch of roles, stands in one place only.
        broker
            .nodes
            .retain(|id, node| *id == who.id || node.address != who.address);
        broker.nodes.insert(who.id, who.node(version, expiry));
        broker.nodes.keys().next() == Some(&who.id)
    }

    fn take_topic(
        &mut self,
        broker: &str,
        config: TopicConfig,
        is_changed: bool,
        is_acting: bool,
        topics_max: usize,
    ) -> Result<(), Refusal> {
        let name = config.topic_name.as_str();
        if name.is_empty() || name.len() > TEXT_MAX {
            return Err(Refusal::system(
                "register broker failed: illegal topic name",
            ));
        }
        let is_known = self
            .topics
            .get(name)
            .is_some_and(|of| of.contains_key(broker));
        if is_known && !is_changed {
            return Ok(());
        }
        self.room_for(name, broker, topics_max)?;
        let queues = QueueData {
            broker_name: broker.to_owned(),
            // A slave that stands in for its master serves reads only.
            perm: if is_acting {
                config.perm & !perm::WRITE
            } else {
                config.perm
            },
            read_queue_nums: config.read_queue_nums,
            topic_sys_flag: config.topic_sys_flag,
            write_queue_nums: config.write_queue_nums,
        };
        self.put_topic(name, queues);
        Ok(())
    }

    fn room_for(&self, topic: &str, broker: &str, topics_max: usize) -> Result<(), Refusal> {
        let is_known = self
            .topics
            .get(topic)
            .is_some_and(|of| of.contains_key(broker));
        if !is_known && self.topic_entries >= topics_max {
            return Err(Refusal::system("the name server knows too many topics"));
        }
        Ok(())
    }

    fn answer(&self, who: &Announcement<'_>) -> Registered {
        if who.id == MASTER_ID {
            return Registered::default();
        }
        let master = self
            .brokers
            .get(who.broker)
            .and_then(|broker| broker.nodes.get(&MASTER_ID));
        Registered {
            master_address: master.map(|node| node.address.clone()),
            master_ha_address: master.map(|node| node.ha_address.clone()),
        }
    }
}
