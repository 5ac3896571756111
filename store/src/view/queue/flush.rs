//! The queue table and the database: what a checkpoint writes, what a start reads, what a trimmed log takes away.
//!
//! A checkpoint writes a queue exactly as it was at the cut: entries are ordered by position, so those of later records
//! are left out. The owner of all of this is the one checkpoint that runs at a time.

use std::sync::atomic::Ordering;

use super::chunk::{Chunk, Run, u64_at};
use super::read::chunk_key;
use super::{Hot, Idle, Map, QueueTable, UNKNOWN};
use crate::kv::{Batch, KvError, Space};
use crate::types::{Position, QueueId};

/// Bytes of an encoded [`Head`].
const HEAD_BYTES: usize = 28;

/// A queue without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) next: u64,
    pub(crate) last_position: u64,
    pub(crate) last_ms: i64,
}

impl Head {
    pub(crate) fn encode(&self, queue: QueueId) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(&self.next.to_le_bytes());
        out.extend_from_slice(&self.last_position.to_le_bytes());
        out.extend_from_slice(&self.last_ms.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&queue.0.to_le_bytes()), &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// The head of a stored queue, whether its tail follows or not.
    pub(crate) fn decode(queue: QueueId, value: &[u8]) -> Option<Self> {
        let head = Self {
            next: u64_at(value, 0)?,
            last_position: u64_at(value, 8)?,
            last_ms: u64_at(value, 16)? as i64,
        };
        (head.encode(queue) == value.get(..HEAD_BYTES)?).then_some(head)
    }

    /// The part of a stored queue that is its head.
    pub(crate) fn of_value(value: &[u8]) -> &[u8] {
        value.get(..HEAD_BYTES).unwrap_or(value)
    }

    fn of_run(run: &Run<'_>) -> Self {
        Self {
            next: run.end,
            last_position: run.last_position(),
            last_ms: run.last_ms(),
        }
    }
}

/// A chunk that may be deleted once the log begins after `position`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiring {
    pub(crate) position: u64,
    pub(crate) queue: QueueId,
    pub(crate) first: u64,
}

pub(crate) fn queue_key(queue: QueueId) -> [u8; 8] {
    queue.0.to_be_bytes()
}

impl QueueTable {
    /// Writes what the queue had before `cut` and the database has not.
    pub(crate) fn collect(
        &self,
        queue: QueueId,
        cut: Position,
        batch: &mut Batch,
        expiring: &mut Vec<Expiring>,
    ) {
        let shard = self.shard(queue).read();
        let Some(hot) = shard.buried.get(&queue).or_else(|| shard.hot.get(&queue)) else {
            return;
        };
        let mut head = None;
        let mut tail = None;
        for chunk in &hot.pending {
            let run = chunk.run();
            let kept = run.at_position(cut.0);
            if kept < run.entries.len() {
                tail = Some(run.prefix(kept));
                break;
            }
            let mut value = Vec::new();
            run.encode(queue, &mut value);
            batch.put(Space::Chunks, chunk_key(queue, run.first), value);
            expiring.push(Expiring {
                position: run.last_position(),
                queue,
                first: run.first,
            });
            head = Some(Head::of_run(&run));
        }
        let tail = tail.unwrap_or_else(|| {
            let run = hot.tail();
            run.prefix(run.at_position(cut.0))
        });
        if !tail.entries.is_empty() {
            head = Some(Head::of_run(&tail));
        }
        let Some(head) = head else { return };
        let mut value = head.encode(queue);
        if !tail.entries.is_empty() {
            value.extend_from_slice(&tail.first.to_le_bytes());
            tail.encode(queue, &mut value);
        }
        batch.put(Space::Queues, queue_key(queue), value);
    }

    /// Lets go of the chunks that a finished checkpoint made durable.
    pub(crate) fn collected(&self, queue: QueueId, cut: Position) {
        let mut shard = self.shard(queue).write();
        let Some(hot) = shard.hot.get_mut(&queue) else {
            return;
        };
        let durable = hot
            .pending
            .iter()
            .take_while(|c| c.run().last_position() < cut.0)
            .count();
        let freed = hot.pending.drain(..durable).map(|c| c.memory()).sum();
        if hot.pending.is_empty() {
            hot.pending.shrink_to_fit();
        }
        drop(shard);
        self.shrink(freed);
    }

    /// Lets go of a queue that was dropped while a checkpoint needed it.
    pub(crate) fn unbury(&self, queue: QueueId) {
        if let Some(hot) = self.shard(queue).write().buried.remove(&queue) {
            self.shrink(hot.pending.iter().map(Chunk::memory).sum());
        }
    }

    /// Puts queues to rest that nothing was appended to in `interval` and the one before. Their unsealed entries become
    /// a chunk first; returns the queues that the next checkpoint has to write for that.
    pub(crate) fn rest(&self, interval: u32) -> Vec<QueueId> {
        let mut sealed = Vec::new();
        for shard in &self.shards {
            let mut guard = shard.write();
            let shard = &mut *guard;
            let idle = &mut shard.idle;
            shard.hot.retain(|queue, hot| {
                if hot.interval.saturating_add(2) > interval {
                    return true;
                }
                if !hot.entries.is_empty() {
                    let grown = hot.seal();
                    self.pending_bytes.fetch_add(grown, Ordering::Relaxed);
                }
                if !hot.pending.is_empty() {
                    sealed.push(*queue);
                    return true;
                }
                if hot.assigned > hot.next {
                    return true;
                }
                if hot.exists() {
                    idle.insert(*queue, hot.idle());
                }
                false
            });
            if shard.hot.len() < shard.hot.capacity() / 4 {
                shard.hot.shrink_to(shard.hot.len() * 2);
            }
        }
        sealed
    }

    /// Takes over a stored queue; false if it is damaged.
    pub(crate) fn load(&self, queue: QueueId, value: &[u8]) -> bool {
        let Some(head) = Head::decode(queue, value) else {
            return false;
        };
        let mut idle = Idle::of_head(&head);
        idle.min = 0;
        let mut shard = self.shard(queue).write();
        let Some(tail) = value.get(HEAD_BYTES..).filter(|t| !t.is_empty()) else {
            shard.idle.insert(queue, idle);
            return true;
        };
        let chunk = u64_at(tail, 0)
            .and_then(|first| Chunk::decode(queue, first, tail.get(8..).unwrap_or_default()));
        let Some((first, end, base_ms, entries)) = chunk.map(Chunk::into_parts) else {
            return false;
        };
        if end != head.next {
            return false;
        }
        let hot = Hot {
            first,
            base_ms,
            entries,
            ..Hot::from_idle(&idle)
        };
        shard.hot.insert(queue, hot);
        true
    }

    /// Takes over a queue from a snapshot, unless the log had records of it. True if it was taken over.
    pub(crate) fn adopt(&self, queue: QueueId, head: &Head) -> bool {
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        if shard.hot.get(&queue).is_some_and(Hot::exists) || shard.idle.contains_key(&queue) {
            return false;
        }
        shard.hot.remove(&queue);
        shard.idle.insert(queue, Idle::of_head(head));
        true
    }

    pub(crate) fn set_floor(&self, queue: QueueId, floor: u64) {
        self.trim(queue, floor);
    }

    pub(crate) fn set_retired(&self, queue: QueueId, at: Position) {
        self.shard(queue).write().retired.insert(queue, at);
    }

    /// Tells the table where the log begins now; returns the queues retired before `forget`, which nothing can be under
    /// way to any more.
    pub(crate) fn trim_log(&self, log_start: Position, forget: Position) -> Vec<QueueId> {
        self.log_start.fetch_max(log_start.0, Ordering::AcqRel);
        let mut forgotten = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.retired.retain(|queue, at| {
                let keep = *at >= forget;
                if !keep {
                    forgotten.push(*queue);
                }
                keep
            });
        }
        forgotten
    }

    /// Deletes the chunks of a queue from the database.
    pub(crate) fn delete_chunks(&self, queue: QueueId) -> Result<(), KvError> {
        let from = chunk_key(queue, 0);
        let to = queue
            .0
            .checked_add(1)
            .map(|next| chunk_key(QueueId(next), 0));
        let to = to.as_ref().map(|k| k.as_slice());
        self.kv.delete_range(Space::Chunks, &from, to)
    }

    /// Every queue that had a record, with its head.
    pub(crate) fn heads(&self) -> Map<QueueId, Head> {
        let mut heads = Map::default();
        for shard in &self.shards {
            let shard = shard.read();
            let hot = shard
                .hot
                .iter()
                .filter(|(_, h)| h.exists())
                .map(|(q, h)| (*q, h.idle()));
            let idle = shard.idle.iter().map(|(q, i)| (*q, *i));
            heads.extend(hot.chain(idle).map(|(queue, idle)| {
                let head = Head {
                    next: idle.next,
                    last_position: idle.last_position,
                    last_ms: idle.last_ms,
                };
                (queue, head)
            }));
        }
        heads
    }
}

impl Idle {
    /// A queue whose entries the log no longer has, as far as is known.
    fn of_head(head: &Head) -> Self {
        Self {
            min: head.next,
            min_position: UNKNOWN,
            next: head.next,
            last_position: head.last_position,
            last_ms: head.last_ms,
        }
    }
}

/// Key of a chunk that expires.
pub(crate) fn expired_chunk(queue: QueueId, first: u64) -> [u8; 16] {
    chunk_key(queue, first)
}
