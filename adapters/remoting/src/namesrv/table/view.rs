//! What the table shows: routes, brokers, clusters and topics, in the order of their names.

use crossdock_proto_remoting::body::route::{BrokerData, QueueData, TopicRoute};

use super::{Broker, RouteTable};

impl Broker {
    fn data(&self, name: &str) -> BrokerData {
        BrokerData {
            broker_addrs: self
                .nodes
                .iter()
                .map(|(id, node)| (*id, node.address.clone()))
                .collect(),
            broker_name: name.to_owned(),
            cluster: self.cluster.clone(),
            enable_acting_master: self.is_acting_master_enabled,
            zone_name: None,
        }
    }
}

impl RouteTable {
    /// Adds the foreign brokers that serve `topic` to `route`.
    pub(crate) fn add_route(&self, topic: &str, route: &mut TopicRoute) {
        let state = self.state.read();
        let Some(entries) = state.topics.get(topic) else {
            return;
        };
        let mut queues: Vec<&QueueData> = entries.values().collect();
        queues.sort_unstable_by(|a, b| a.broker_name.cmp(&b.broker_name));
        for queues in queues {
            if let Some(broker) = state.brokers.get(queues.broker_name.as_str()) {
                route.broker_datas.push(broker.data(&queues.broker_name));
                route.queue_datas.push(queues.clone());
            }
        }
    }

    /// Every foreign broker.
    pub(crate) fn brokers(&self) -> Vec<BrokerData> {
        let state = self.state.read();
        state
            .brokers
            .iter()
            .map(|(name, broker)| broker.data(name))
            .collect()
    }

    /// The foreign broker of this name, if it belongs to the cluster.
    pub(crate) fn broker(&self, cluster: &str, name: &str) -> Option<BrokerData> {
        let state = self.state.read();
        let broker = state
            .brokers
            .get(name)
            .filter(|broker| broker.cluster == cluster)?;
        Some(broker.data(name))
    }

    /// Every topic of a foreign broker.
    pub(crate) fn topics(&self) -> Vec<String> {
        let state = self.state.read();
        state.topics.keys().map(|name| name.to_string()).collect()
    }

    /// Topics of the foreign brokers of one cluster.
    pub(crate) fn topics_of(&self, cluster: &str) -> Vec<String> {
        let state = self.state.read();
        let serves = |broker: &str| {
            let broker = state.brokers.get(broker);
            broker.is_some_and(|broker| broker.cluster == cluster)
        };
        let topics = state.topics.iter();
        topics
            .filter(|(_, entries)| entries.keys().any(|broker| serves(broker)))
            .map(|(name, _)| name.to_string())
            .collect()
    }
}
