//! Where groups stand in queues. Commits are coalesced here, visible at once and written together soon after; the store
//! has what was written. One task writes, so that two commits of one position reach the log in their order.
//!
//! Lock order: a shard, then the table of resets or the store's own.

mod flush;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossdock_store::api::Boundary;
use crossdock_store::lease::Ledger;
use crossdock_store::types::{GroupId, QueueId};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::error::HubError;
use crate::group::Group;
use crate::hub::Hub;
use crate::topic::Topic;

const SHARDS: usize = 16;
/// Pending positions that are written without waiting for the time to be up; also what one record holds.
const FLUSH_AT: usize = 4096;
/// Most pending positions. Reached only when the log takes nothing.
const PENDING_MAX: usize = 256 * 1024;
/// Most callers that wait for their commit to be written.
const WAITERS_MAX: usize = 64 * 1024;

type Key = (GroupId, QueueId);

#[derive(Debug, Default)]
pub(crate) struct Positions {
    shards: [Mutex<HashMap<Key, Pending, foldhash::fast::RandomState>>; SHARDS],
    len: AtomicUsize,
    waiters: Mutex<Vec<oneshot::Sender<Result<(), HubError>>>>,
    /// Something is pending.
    dirty: Notify,
    /// What is pending is to be written now.
    urgent: Notify,
    is_closed: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    offset: u64,
    is_durable: bool,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is the position now.
    Taken,
    /// The position was moved from outside and the member was not told yet; the commit is not taken.
    ResetPending,
}

impl Positions {
    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, Pending, foldhash::fast::RandomState>> {
        let mixed = (key.1.0 ^ u64::from(key.0.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.shards[(mixed >> 32) as usize % SHARDS]
    }

    /// Takes a position over: it is not written here any more.
    pub(crate) fn take(&self, key: Key) -> Option<u64> {
        let pending = self.shard(key).lock().remove(&key)?;
        self.len.fetch_sub(1, Ordering::AcqRel);
        Some(pending.offset)
    }

    /// Something else is to be written with the positions.
    pub(crate) fn wake_writer(&self) {
        self.dirty.notify_one();
    }

    fn pending(&self, key: Key) -> Option<u64> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shard(key)
            .lock()
            .get(&key)
            .map(|pending| pending.offset)
    }

    /// Enters a position if `allow`, asked under the lock, does not object.
    fn enter(
        &self,
        key: Key,
        new: Pending,
        allow: impl FnOnce(Option<Pending>) -> Result<bool, HubError>,
    ) -> Result<bool, HubError> {
        let mut shard = self.shard(key).lock();
        if self.is_closed.load(Ordering::Acquire) {
            return Err(HubError::Closed);
        }
        let known = shard.get(&key).copied();
        if known.is_none() && self.len.load(Ordering::Relaxed) >= PENDING_MAX {
            return Err(HubError::Busy("positions to be written"));
        }
        if !allow(known)? {
            return Ok(false);
        }
        let pending = Pending {
            is_durable: new.is_durable || known.is_some_and(|known| known.is_durable),
            ..new
        };
        if shard.insert(key, pending).is_none() {
            let before = self.len.fetch_add(1, Ordering::AcqRel);
            if before == 0 {
                self.dirty.notify_one();
            } else if before + 1 >= FLUSH_AT {
                self.urgent.notify_one();
            }
        }
        Ok(true)
    }

    /// Everything pending.
    fn snapshot(&self) -> Vec<(Key, Pending)> {
        let mut all = Vec::with_capacity(self.len.load(Ordering::Acquire));
        for shard in &self.shards {
            all.extend(shard.lock().iter().map(|(key, pending)| (*key, *pending)));
        }
        all
    }

    /// Forgets what was written, unless it changed or wants more than it got.
    fn settle(&self, written: &[(Key, Pending)], was_durable: bool) {
        for (key, pending) in written {
            let mut shard = self.shard(*key).lock();
            let is_settled = shard.get(key).is_some_and(|now| {
                now.offset == pending.offset && (!now.is_durable || was_durable)
            });
            if is_settled {
                shard.remove(key);
                self.len.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn remove(&self, mut which: impl FnMut(GroupId, QueueId) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.len();
            shard.retain(|(group, queue), _| !which(*group, *queue));
            self.len.fetch_sub(before - shard.len(), Ordering::AcqRel);
        }
    }

    /// Asks for a flush; the answer comes when everything entered before is written.
    fn ask(&self) -> Result<oneshot::Receiver<Result<(), HubError>>, HubError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiters = self.waiters.lock();
            if self.is_closed.load(Ordering::Acquire) {
                return Err(HubError::Closed);
            }
            if waiters.len() >= WAITERS_MAX {
                return Err(HubError::Busy("commits waiting to be written"));
            }
            waiters.push(sender);
        }
        self.dirty.notify_one();
        self.urgent.notify_one();
        Ok(receiver)
    }

    async fn flushed(&self) -> Result<(), HubError> {
        let answer = self.ask()?;
        answer
            .await
            .unwrap_or(Err(HubError::Internal("positions were not written")))
    }
}

impl Hub {
    /// Where the group stands: the first offset it has not consumed.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn position(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
    ) -> Result<Option<u64>, HubError> {
        let queue = topic.queue(queue)?;
        if let Some(low) = self.0.leases.position((group.id, queue)) {
            return Ok(Some(low));
        }
        let pending = self.0.positions.pending((group.id, queue));
        Ok(pending.or_else(|| self.0.store.group_position(group.id, queue)))
    }

    /// Where the group stands in every queue of the topic that has a position.
    #[must_use]
    pub fn positions(&self, group: &Group, topic: &Topic) -> Vec<(u32, u64)> {
        (0..topic.queues())
            .filter_map(|queue| {
                let position = self.position(group, topic, queue).ok().flatten()?;
                Some((queue, position))
            })
            .collect()
    }

    /// Moves the group's position. Visible at once, written soon; the end of the process loses at most the last moments.
    ///
    /// # Errors
    /// Group, topic or queue do not exist (any more), or too much is pending.
    pub fn commit(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
        offset: u64,
    ) -> Result<Committed, HubError> {
        let queue = topic.queue(queue)?;
        self.enter_commit(group, topic, queue, offset, false)
    }

    /// Moves the group's position and waits until it survives what the hub's durability promises.
    ///
    /// # Errors
    /// As [`Hub::commit`]; or the store refuses, after which the position is visible but may not last.
    pub async fn commit_durable(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
        offset: u64,
    ) -> Result<Committed, HubError> {
        let queue = topic.queue(queue)?;
        let committed = self.enter_commit(group, topic, queue, offset, true)?;
        if committed == Committed::Taken {
            self.0.positions.flushed().await?;
        }
        Ok(committed)
    }

    fn enter_commit(
        &self,
        group: &Group,
        topic: &Topic,
        queue: QueueId,
        offset: u64,
        is_durable: bool,
    ) -> Result<Committed, HubError> {
        let key = (group.id, queue);
        let is_reset_pending = || self.0.resets.get(group.id, queue).is_some();
        let by_ledger = |ledger: &mut Ledger| {
            check_alive(group, topic)?;
            if is_reset_pending() {
                return Ok(Committed::ResetPending);
            }
            if offset < ledger.low() {
                ledger.jump(offset);
            } else {
                ledger.settle_below(offset);
            }
            Ok(Committed::Taken)
        };
        self.0.move_position(key, by_ledger, || {
            let new = Pending { offset, is_durable };
            let mut committed = Committed::Taken;
            self.0.positions.enter(key, new, |known| {
                check_alive(group, topic)?;
                if is_reset_pending() {
                    committed = Committed::ResetPending;
                    return Ok(false);
                }
                // Members repeat their position with every request; what the log has already is not written again.
                let is_known = match known {
                    Some(known) => known.offset == offset,
                    None => self.0.store.group_position(group.id, queue) == Some(offset),
                };
                Ok(is_durable || !is_known)
            })?;
            Ok(committed)
        })
    }

    /// Moves the group's position from outside. Members that consume are told with [`Hub::take_reset`]; until then their
    /// commits are not taken.
    ///
    /// # Errors
    /// As [`Hub::commit_durable`]; or too many resets wait.
    pub async fn reset_position(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
        offset: u64,
    ) -> Result<(), HubError> {
        self.enter_reset(group, topic, topic.queue(queue)?, offset)?;
        self.0.positions.flushed().await
    }

    /// Moves the group's position in every queue of the topic to what was stored at a time. Returns the new offsets.
    ///
    /// # Errors
    /// As [`Hub::reset_position`].
    pub async fn reset_by_time(
        &self,
        group: &Group,
        topic: &Topic,
        ms: i64,
    ) -> Result<Vec<(u32, u64)>, HubError> {
        let mut moved = Vec::with_capacity(topic.read_queues as usize);
        for queue in 0..topic.read_queues {
            let offset = self.offset_by_time(topic, queue, ms, Boundary::Lower)?;
            self.enter_reset(group, topic, topic.queue(queue)?, offset)?;
            moved.push((queue, offset));
        }
        self.0.positions.flushed().await?;
        Ok(moved)
    }

    /// Moves the group's positions in queues of the topic from outside, and waits once for all of them.
    ///
    /// # Errors
    /// As [`Hub::reset_position`]; positions before the one that failed are moved.
    pub async fn reset_positions(
        &self,
        group: &Group,
        topic: &Topic,
        offsets: &[(u32, u64)],
    ) -> Result<(), HubError> {
        for (queue, offset) in offsets {
            self.enter_reset(group, topic, topic.queue(*queue)?, *offset)?;
        }
        // Who waits to be given messages may find some now.
        self.0.leases.wake(group.id, topic.id);
        self.0.positions.flushed().await
    }

    fn enter_reset(
        &self,
        group: &Group,
        topic: &Topic,
        queue: QueueId,
        offset: u64,
    ) -> Result<(), HubError> {
        let new = Pending {
            offset,
            is_durable: true,
        };
        let key = (group.id, queue);
        let set = || {
            check_alive(group, topic)?;
            self.0.resets.set(group.id, queue, offset)
        };
        let by_ledger = |ledger: &mut Ledger| set().map(|()| ledger.jump(offset));
        self.0.move_position(key, by_ledger, || {
            let entered = self.0.positions.enter(key, new, |_| set().map(|()| true));
            entered.map(|_| ())
        })
    }

    /// The offset a member has to go on at because the position was moved from outside; told once.
    #[must_use]
    pub fn take_reset(&self, group: &Group, topic: &Topic, queue: u32) -> Option<u64> {
        self.0.resets.take(group.id, topic.queue(queue).ok()?)
    }

    /// Forgets pending positions and waits until none of them can still be on its way to the log. Group or topic must be
    /// marked deleted before, so that no new ones come.
    pub(crate) async fn drop_positions(
        &self,
        mut which: impl FnMut(GroupId, QueueId) -> bool,
    ) -> Result<(), HubError> {
        self.0.positions.remove(&mut which);
        self.0.leases.forget(&mut which);
        self.0.resets.forget(&mut which);
        self.0.positions.flushed().await
    }
}

pub(crate) fn check_alive(group: &Group, topic: &Topic) -> Result<(), HubError> {
    if group.is_deleted() {
        return Err(HubError::NoGroup(group.name.to_string()));
    }
    if topic.is_deleted() {
        return Err(HubError::NoTopic(topic.name.to_string()));
    }
    Ok(())
}

#[cfg(test)]
#[path = "position/tests.rs"]
mod tests;
