//! Queue locks: which member of a group may consume a queue in order. Each group owns its table. A lock belongs to a
//! client, not to a connection, and lives until it is released or not refreshed in time. In memory only.

use std::sync::Arc;

use crossdock_store::types::QueueId;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::group::Group;
use crate::hub::Hub;

/// Most queues one group may hold locks on.
const LOCKS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct LockTable(Mutex<HashMap<QueueId, Lock, foldhash::fast::RandomState>>);

#[derive(Debug)]
struct Lock {
    owner: Arc<str>,
    refreshed_ms: u64,
}

impl Lock {
    fn is_live(&self, now_ms: u64, expiry_ms: u64) -> bool {
        now_ms.saturating_sub(self.refreshed_ms) <= expiry_ms
    }
}

impl LockTable {
    /// Takes or refreshes what is free or owned; returns those queues.
    fn lock(&self, owner: &str, queues: &[QueueId], now_ms: u64, expiry_ms: u64) -> Vec<QueueId> {
        let mut locks = self.0.lock();
        let owner: Arc<str> = owner.into();
        let mut granted = Vec::with_capacity(queues.len().min(LOCKS_MAX));
        for queue in queues {
            if let Some(lock) = locks.get_mut(queue) {
                if lock.owner != owner {
                    if lock.is_live(now_ms, expiry_ms) {
                        continue;
                    }
                    lock.owner = Arc::clone(&owner);
                }
                lock.refreshed_ms = now_ms;
            } else {
                if locks.len() >= LOCKS_MAX {
                    locks.retain(|_, lock| lock.is_live(now_ms, expiry_ms));
                    if locks.len() >= LOCKS_MAX {
                        break;
                    }
                }
                let lock = Lock {
                    owner: Arc::clone(&owner),
                    refreshed_ms: now_ms,
                };
                locks.insert(*queue, lock);
            }
            granted.push(*queue);
        }
        granted
    }

    fn unlock(&self, owner: &str, queues: &[QueueId]) {
        let mut locks = self.0.lock();
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| *lock.owner == *owner) {
                locks.remove(queue);
            }
        }
    }

    fn has_live(&self, now_ms: u64, expiry_ms: u64) -> bool {
        let locks = self.0.lock();
        locks.values().any(|lock| lock.is_live(now_ms, expiry_ms))
    }

    /// Frees what nobody refreshes any more.
    pub(crate) fn sweep(&self, now_ms: u64, expiry_ms: u64) {
        let mut locks = self.0.lock();
        locks.retain(|_, lock| lock.is_live(now_ms, expiry_ms));
        if locks.is_empty() {
            locks.shrink_to_fit();
        }
    }
}

impl Hub {
    fn lock_expiry_ms(&self) -> u64 {
        self.0.config.lock_expiry.as_millis() as u64
    }

    /// Locks queues for a client of the group; returns those it holds now. Locks it holds already are refreshed.
    #[must_use]
    pub fn lock_batch(&self, group: &Group, client: &str, queues: &[QueueId]) -> Vec<QueueId> {
        let locks = &group.live.locks;
        locks.lock(client, queues, self.uptime_ms(), self.lock_expiry_ms())
    }

    /// Releases the locks the client owns; those of others stay.
    pub fn unlock_batch(&self, group: &Group, client: &str, queues: &[QueueId]) {
        group.live.locks.unlock(client, queues);
    }

    /// True if any member of the group consumes a queue in order.
    #[must_use]
    pub fn has_live_locks(&self, group: &Group) -> bool {
        let locks = &group.live.locks;
        locks.has_live(self.uptime_ms(), self.lock_expiry_ms())
    }

    pub(crate) fn sweep_locks(&self, group: &Group) {
        let locks = &group.live.locks;
        locks.sweep(self.uptime_ms(), self.lock_expiry_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: [QueueId; 2] = [QueueId(1), QueueId(2)];

    #[test]
    fn a_lock_is_granted_to_one_client_and_refreshed_by_it() {
        let table = LockTable::default();
        assert_eq!(table.lock("a", &Q, 0, 60), Q);
        assert!(table.lock("b", &Q, 60, 60).is_empty());
        assert_eq!(table.lock("a", &Q[..1], 50, 60), Q[..1]);
        // Queue 1 was refreshed at 50, queue 2 was not.
        assert_eq!(table.lock("b", &Q, 61, 60), Q[1..]);
    }

    #[test]
    fn only_the_owner_releases() {
        let table = LockTable::default();
        table.lock("a", &Q, 0, 60);
        table.unlock("b", &Q);
        assert!(table.lock("b", &Q, 1, 60).is_empty());
        table.unlock("a", &Q[..1]);
        assert_eq!(table.lock("b", &Q, 1, 60), Q[..1]);
    }

    #[test]
    fn expired_locks_are_not_live_and_are_swept() {
        let table = LockTable::default();
        assert!(!table.has_live(0, 60));
        table.lock("a", &Q, 0, 60);
        assert!(table.has_live(60, 60));
        assert!(!table.has_live(61, 60));
        table.sweep(61, 60);
        assert!(table.0.lock().is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_by_dropping_the_dead() {
        let table = LockTable::default();
        let many: Vec<QueueId> = (1..=LOCKS_MAX as u64 + 5).map(QueueId).collect();
        assert_eq!(table.lock("a", &many, 0, 60).len(), LOCKS_MAX);
        assert_eq!(table.lock("b", &many[LOCKS_MAX..], 61, 60).len(), 5);
    }
}
