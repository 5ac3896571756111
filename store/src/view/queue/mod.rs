//! The queue table: where every record of every queue is.
//!
//! A queue in use has its newest entries in memory, an idle one is six numbers. Every [`chunk::CHUNK_ENTRIES`] entries
//! are sealed into a chunk, which stays readable from memory until a checkpoint has made it durable in the database.
//! Queues are spread over shards, each behind one lock; only the applier and checkpoints take it for writing, for one
//! entry at a time, so that readers of other queues never meet them.

pub(crate) mod chunk;
mod flush;
mod read;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Slot;
use parking_lot::RwLock;

use crate::kv::KvStore;
use crate::types::{Position, QueueId};

pub use self::chunk::Entry;
use self::chunk::{CHUNK_ENTRIES, Chunk, ENTRY_BYTES, Packed, Run};
pub(crate) use self::flush::{Expiring, Head, expired_chunk, queue_key};
pub use self::read::Boundary;
pub use self::wait::Arrival;
use self::wait::Waiter;
pub(crate) use self::wait::Woken;

/// Number of shards, a power of two.
const SHARDS: usize = 256;
/// The position of the first kept entry is not known yet.
const UNKNOWN: u64 = u64::MAX;

pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;

/// A queue in use.
#[derive(Debug)]
struct Hot {
    /// First offset that may be read; may lag behind a trim of the log.
    min: u64,
    /// Position of the entry at `min`, or [`UNKNOWN`].
    min_position: u64,
    /// First offset not taken.
    next: u64,
    /// First offset not handed out by [`QueueTable::assign`]; never below `next`.
    assigned: u64,
    last_position: u64,
    last_ms: i64,
    /// First offset of `entries`; equals `next` without any.
    first: u64,
    base_ms: i64,
    entries: Vec<Packed>,
    /// Sealed chunks that no checkpoint has made durable, oldest first.
    pending: Vec<Chunk>,
    /// The last interval between cuts in which the queue was appended to.
    interval: u32,
    /// True if the shard has waiters for the queue.
    waited: bool,
}

impl Hot {
    fn new() -> Self {
        Self::from_idle(&Idle {
            min: 0,
            min_position: UNKNOWN,
            next: 0,
            last_position: 0,
            last_ms: i64::MIN,
        })
    }

    fn from_idle(idle: &Idle) -> Self {
        Self {
            min: idle.min,
            min_position: idle.min_position,
            next: idle.next,
            assigned: idle.next,
            last_position: idle.last_position,
            last_ms: idle.last_ms,
            first: idle.next,
            base_ms: 0,
            entries: Vec::new(),
            pending: Vec::new(),
            interval: 0,
            waited: false,
        }
    }

    fn idle(&self) -> Idle {
        Idle {
            min: self.min,
            min_position: self.min_position,
            next: self.next,
            last_position: self.last_position,
            last_ms: self.last_ms,
        }
    }

    /// True once an entry was ever applied: a queue that only had offsets handed out does not exist.
    fn exists(&self) -> bool {
        self.last_ms != i64::MIN
    }

    fn tail(&self) -> Run<'_> {
        Run {
            first: self.first,
            end: self.next,
            base_ms: self.base_ms,
            entries: &self.entries,
        }
    }

    /// First offset that is in memory.
    fn memory_first(&self) -> u64 {
        self.pending.first().map_or(self.first, |c| c.run().first)
    }

    /// The entries in memory, oldest first.
    fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let tail = (!self.entries.is_empty()).then(|| self.tail());
        self.pending.iter().map(Chunk::run).chain(tail)
    }

    /// Moves the tail to the pending chunks; returns the bytes these grew by.
    fn seal(&mut self) -> usize {
        if self.entries.is_empty() {
            return 0;
        }
        let entries = std::mem::take(&mut self.entries);
        let chunk = Chunk::new(self.first, self.next, self.base_ms, entries);
        let bytes = chunk.memory();
        self.pending.push(chunk);
        self.first = self.next;
        bytes
    }
}

/// A queue at rest: everything else about it is in the database.
#[derive(Clone, Copy, Debug)]
struct Idle {
    min: u64,
    min_position: u64,
    next: u64,
    last_position: u64,
    last_ms: i64,
}

#[derive(Debug, Default)]
struct Shard {
    hot: Map<QueueId, Hot>,
    idle: Map<QueueId, Idle>,
    /// Queues dropped for good, with the position of the drop: what is still under way to them is ignored. Forgotten
    /// when the log is trimmed beyond the drop and no timer is older than it.
    retired: Map<QueueId, Position>,
    /// Queues dropped after a cut that is not persisted yet and needs their entries.
    buried: Map<QueueId, Hot>,
    waiters: Map<QueueId, Vec<Waiter>>,
}

/// What one record adds to one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addition {
    pub(crate) offset: u64,
    pub(crate) count: u32,
    pub(crate) position: Position,
    pub(crate) bytes: u32,
    pub(crate) tag_hash: i64,
    pub(crate) stored_ms: i64,
}

/// What became of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is in the index, and the queue was appended to in this interval before.
    Again,
    /// It is in the index, the first of this interval.
    First,
    /// The queue has it already, or is gone.
    Ignored,
}

/// First and next offset of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// First offset that can be read.
    pub min: u64,
    /// First offset not taken; equals `min` in an empty queue.
    pub max: u64,
}

/// All queues.
pub(crate) struct QueueTable {
    shards: Box<[RwLock<Shard>]>,
    kv: Arc<dyn KvStore>,
    log_start: AtomicU64,
    pending_bytes: AtomicUsize,
    waiting: AtomicUsize,
    waiters_max: usize,
    next_waiter: AtomicU64,
}

impl fmt::Debug for QueueTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueTable").finish_non_exhaustive()
    }
}

impl QueueTable {
    pub(crate) fn new(kv: Arc<dyn KvStore>, log_start: Position, waiters_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            kv,
            log_start: AtomicU64::new(log_start.0),
            pending_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            waiters_max,
            next_waiter: AtomicU64::new(0),
        }
    }

    fn shard(&self, queue: QueueId) -> &RwLock<Shard> {
        // Neighbouring ids belong to one topic and would otherwise be hot together.
        let mixed = queue.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        &self.shards[mixed as usize % SHARDS]
    }

    fn log_start(&self) -> u64 {
        self.log_start.load(Ordering::Acquire)
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    /// First offset not taken in the queue; 0 for an unknown one.
    pub(crate) fn next_offset(&self, queue: QueueId) -> u64 {
        let shard = self.shard(queue).read();
        let hot = shard.hot.get(&queue).map(|h| h.next);
        hot.or_else(|| shard.idle.get(&queue).map(|i| i.next))
            .unwrap_or(0)
    }

    /// When the newest record of the queue was stored.
    pub(crate) fn last_stored_ms(&self, queue: QueueId) -> Option<i64> {
        let shard = self.shard(queue).read();
        let hot = shard.hot.get(&queue).map(|h| h.last_ms);
        hot.or_else(|| shard.idle.get(&queue).map(|i| i.last_ms))
            .filter(|ms| *ms != i64::MIN)
    }

    pub(crate) fn is_retired(&self, queue: QueueId) -> bool {
        self.shard(queue).read().retired.contains_key(&queue)
    }

    /// Hands out `count` offsets of the queue, dense after those handed out before.
    pub(crate) fn assign(&self, queue: QueueId, count: u32) -> u64 {
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        let hot = match shard.hot.entry(queue) {
            Slot::Occupied(hot) => hot.into_mut(),
            Slot::Vacant(slot) => {
                if shard.retired.contains_key(&queue) {
                    return 0;
                }
                let mut hot = match shard.idle.remove(&queue) {
                    Some(idle) => Hot::from_idle(&idle),
                    None => Hot::new(),
                };
                hot.waited = shard.waiters.contains_key(&queue);
                slot.insert(hot)
            }
        };
        let offset = hot.assigned;
        hot.assigned += u64::from(count);
        offset
    }

    /// Takes back every offset handed out but not applied.
    pub(crate) fn reset_assigned(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.hot.retain(|_, hot| {
                hot.assigned = hot.next;
                hot.exists()
            });
        }
    }

    /// Adds an entry. Waiters it satisfies are moved to `woken`.
    pub(crate) fn append(
        &self,
        interval: u32,
        queue: QueueId,
        add: &Addition,
        woken: &mut wait::Woken,
    ) -> Added {
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        let hot = match shard.hot.entry(queue) {
            Slot::Occupied(hot) => hot.into_mut(),
            Slot::Vacant(slot) => {
                if shard.retired.contains_key(&queue) {
                    return Added::Ignored;
                }
                let mut hot = match shard.idle.remove(&queue) {
                    Some(idle) => Hot::from_idle(&idle),
                    None => Hot::new(),
                };
                hot.waited = shard.waiters.contains_key(&queue);
                slot.insert(hot)
            }
        };
        if add.offset < hot.next {
            return Added::Ignored;
        }
        if !hot.exists() {
            hot.min = add.offset;
            hot.min_position = add.position.0;
        }
        let stored_ms = add.stored_ms.max(hot.last_ms);
        let mut grown = 0;
        if add.offset != hot.next {
            // A gap, which no healthy log has: the run must not bridge it.
            grown += hot.seal();
            hot.next = add.offset;
            hot.first = add.offset;
        }
        let mut place = hot.place(add.offset, stored_ms);
        if place.is_none() {
            grown += hot.seal();
        }
        if hot.entries.is_empty() {
            hot.first = add.offset;
            hot.base_ms = stored_ms;
            place = Some((0, 0));
        }
        let (after_first, after_base_ms) = place.unwrap_or_default();
        hot.entries.push(Packed {
            position: add.position.0,
            bytes: add.bytes,
            tag_hash: add.tag_hash as u32,
            after_base_ms,
            after_first,
        });
        hot.next = add.offset + u64::from(add.count);
        hot.assigned = hot.assigned.max(hot.next);
        hot.last_position = add.position.0;
        hot.last_ms = stored_ms;
        if hot.entries.len() == CHUNK_ENTRIES {
            grown += hot.seal();
        }
        let added = if hot.interval == interval {
            Added::Again
        } else {
            Added::First
        };
        hot.interval = interval;
        if hot.waited {
            hot.waited = wait::wake(&mut shard.waiters, queue, add, woken);
        }
        if grown > 0 {
            self.pending_bytes.fetch_add(grown, Ordering::Relaxed);
        }
        added
    }

    /// Forgets entries below `before`. Returns the floor that is to be remembered, or `None` if nothing changes.
    pub(crate) fn trim(&self, queue: QueueId, before: u64) -> Option<u64> {
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        let (min, min_position, next) = match shard.hot.get_mut(&queue) {
            Some(hot) => (&mut hot.min, &mut hot.min_position, hot.next),
            None => {
                let idle = shard.idle.get_mut(&queue)?;
                (&mut idle.min, &mut idle.min_position, idle.next)
            }
        };
        let floor = before.min(next);
        if floor <= *min {
            return None;
        }
        *min = floor;
        *min_position = UNKNOWN;
        Some(floor)
    }

    /// Retires a queue. With `bury` its entries are kept for a checkpoint that is under way.
    pub(crate) fn retire(&self, queue: QueueId, at: Position, bury: bool, woken: &mut wait::Woken) {
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        let hot = shard.hot.remove(&queue);
        let gone = hot.or_else(|| shard.idle.remove(&queue).map(|i| Hot::from_idle(&i)));
        shard.retired.insert(queue, at);
        wait::wake_all(&mut shard.waiters, queue, woken);
        if let Some(hot) = gone {
            if bury {
                shard.buried.insert(queue, hot);
            } else {
                self.shrink(hot.pending.iter().map(Chunk::memory).sum());
            }
        }
    }

    fn shrink(&self, bytes: usize) {
        self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Number of queues in use, at rest, and the bytes of unsealed entries.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        self.shards
            .iter()
            .fold((0, 0, 0), |(hot, idle, bytes), shard| {
                let shard = shard.read();
                let tails = shard
                    .hot
                    .values()
                    .map(|h| h.entries.capacity() * ENTRY_BYTES);
                (
                    hot + shard.hot.len(),
                    idle + shard.idle.len(),
                    bytes + tails.sum::<usize>(),
                )
            })
    }
}

impl Hot {
    /// Offset and time relative to the tail, if the tail can take the entry.
    fn place(&self, offset: u64, stored_ms: i64) -> Option<(u32, u32)> {
        let after_first = u32::try_from(offset.checked_sub(self.first)?).ok()?;
        let after_base = u32::try_from(stored_ms.checked_sub(self.base_ms)?).ok()?;
        Some((after_first, after_base))
    }
}
