//! Write permission of a broker, taken away before maintenance and given back after it.

use crossdock_proto_remoting::body::route::perm;

use super::RouteTable;

impl RouteTable {
    /// Takes write permission off every topic of a broker; returns how many topics it serves.
    pub(crate) fn wipe_write(&self, broker: &str) -> usize {
        self.change(broker, |bits| bits & !perm::WRITE)
    }

    /// Gives read and write permission to every topic of a broker.
    pub(crate) fn add_write(&self, broker: &str) -> usize {
        self.change(broker, |bits| bits | perm::READ | perm::WRITE)
    }

    fn change(&self, broker: &str, change: impl Fn(i32) -> i32) -> usize {
        let mut state = self.state.write();
        let mut touched = 0;
        for entries in state.topics.values_mut() {
            if let Some(queues) = entries.get_mut(broker) {
                queues.perm = change(queues.perm);
                touched += 1;
            }
        }
        touched
    }
}
