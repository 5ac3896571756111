//! How foreign brokers leave: by request, with their connection, by silence; and how topics do.

use crossdock_hub::ConnectionId;
use tokio::time::Instant;

use super::RouteTable;

impl RouteTable {
    /// Removes what the broker says is going away.
    pub(crate) fn unregister(&self, broker: &str, id: i64, address: &str) {
        self.state.write().remove_nodes(|name, node_id, node| {
            name == broker && node_id == id && node.address == address
        });
    }

    /// Removes everything registered over a connection that has ended.
    pub(crate) fn connection_closed(&self, connection: ConnectionId) {
        let is_known = {
            let state = self.state.read();
            let mut nodes = state
                .brokers
                .values()
                .flat_map(|broker| broker.nodes.values());
            nodes.any(|node| node.connection == connection)
        };
        // Most connections are those of clients; they need no write lock.
        if is_known {
            let mut state = self.state.write();
            state.remove_nodes(|_, _, node| node.connection == connection);
        }
    }

    /// Removes what has not been renewed in time; returns how many addresses went.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        let mut state = self.state.write();
        state.remove_nodes(|_, _, node| now.saturating_duration_since(node.seen) > node.timeout)
    }

    /// Removes a topic from all brokers, or from those of one cluster.
    pub(crate) fn delete_topic(&self, topic: &str, cluster: Option<&str>) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let Some(entries) = state.topics.get_mut(topic) else {
            return;
        };
        let before = entries.len();
        entries.retain(|broker, _| {
            let broker = state.brokers.get(broker);
            cluster.is_some_and(|cluster| broker.is_some_and(|b| b.cluster != cluster))
        });
        state.topic_entries -= before - entries.len();
        if entries.is_empty() {
            state.topics.remove(topic);
        }
    }
}
