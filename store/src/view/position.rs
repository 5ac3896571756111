//! Positions: how far each group has consumed each queue. The applier is the only writer.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::types::{GroupId, QueueId};

/// Number of shards, a power of two.
const SHARDS: usize = 64;

type Offsets = HashMap<QueueId, u64, FixedState>;

/// Positions of all groups, sharded by group.
#[derive(Debug)]
pub(crate) struct Positions(Box<[RwLock<HashMap<GroupId, Offsets, FixedState>>]>);

impl Default for Positions {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| RwLock::default()).collect())
    }
}

impl Positions {
    fn shard(&self, group: GroupId) -> &RwLock<HashMap<GroupId, Offsets, FixedState>> {
        &self.0[group.0 as usize % SHARDS]
    }

    /// Moves a position, or forgets it.
    pub(crate) fn set(&self, group: GroupId, queue: QueueId, offset: Option<u64>) {
        let mut shard = self.shard(group).write();
        match offset {
            Some(offset) => {
                shard.entry(group).or_default().insert(queue, offset);
            }
            None => {
                if let Some(offsets) = shard.get_mut(&group) {
                    offsets.remove(&queue);
                    if offsets.is_empty() {
                        shard.remove(&group);
                    }
                }
            }
        }
    }

    pub(crate) fn get(&self, group: GroupId, queue: QueueId) -> Option<u64> {
        self.shard(group).read().get(&group)?.get(&queue).copied()
    }

    pub(crate) fn of(&self, group: GroupId) -> Vec<(QueueId, u64)> {
        let shard = self.shard(group).read();
        let offsets = shard.get(&group).into_iter().flatten();
        let mut all: Vec<_> = offsets.map(|(queue, offset)| (*queue, *offset)).collect();
        all.sort_unstable();
        all
    }

    /// Visits every position, in no order.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(GroupId, QueueId, u64)) {
        for shard in &self.0 {
            for (group, offsets) in shard.read().iter() {
                for (queue, offset) in offsets {
                    visit(*group, *queue, *offset);
                }
            }
        }
    }
}
