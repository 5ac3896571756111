//! Checkpoints, snapshots and trimming: the upkeep of the views.
//!
//! A checkpoint writes the state at a cut in one atomic batch and syncs it once. It is written only when the log is
//! durable up to the cut, so that the database never tells of a record the log may still lose. Chunks and keys that end
//! below the log's start are found by the log bucket they were listed under.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fold::Frozen;
use super::queue::{Expiring, Map};
use super::{ViewError, Views};
use crate::kv::{Batch, Order, Space};
use crate::types::{Position, QueueId};
use crate::view::queue::chunk::{u32_at, u64_at};
use crate::view::queue::{expired_chunk, queue_key};

/// Key of what the database has applied.
const STATE_KEY: &[u8] = b"state";
const STATE_VERSION: u32 = 1;
/// Log bytes of an expiry bucket, as a power of two: 256 MiB.
const BUCKET_SHIFT: u32 = 28;
/// Bytes of an expiring chunk in its bucket.
const EXPIRING_BYTES: usize = 16;
/// Expiring chunks of one row.
const EXPIRING_ROW: usize = 4096;

/// What the database says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) applied: Position,
    /// Counts checkpoints.
    pub(crate) serial: u64,
    pub(crate) timers: u64,
    pub(crate) timer_floor_ms: i64,
    /// Tables, positions and timers are further than `applied`: a rebuild from this snapshot is not finished.
    pub(crate) small_from: Position,
}

impl State {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        out.extend_from_slice(&self.applied.0.to_le_bytes());
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.timers.to_le_bytes());
        out.extend_from_slice(&self.timer_floor_ms.to_le_bytes());
        out.extend_from_slice(&self.small_from.0.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let state = Self {
            applied: Position(u64_at(bytes, 4)?),
            serial: u64_at(bytes, 12)?,
            timers: u64_at(bytes, 20)?,
            timer_floor_ms: u64_at(bytes, 28)? as i64,
            small_from: Position(u64_at(bytes, 36)?),
        };
        (u32_at(bytes, 0)? == STATE_VERSION && state.encode() == bytes).then_some(state)
    }

    pub(crate) fn key() -> &'static [u8] {
        STATE_KEY
    }
}

/// What the upkeep knows; behind the lock that makes it one at a time.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) state: State,
    pub(crate) since_snapshot: u32,
}

impl Views {
    /// Writes the state at the last [`Views::cut`], or at one taken now, if the log is durable up to it; returns the
    /// position up to which the database is safe. If that is less than the cut, the call is to be made again once more
    /// of the log is durable. Every few checkpoints a snapshot is written as well.
    ///
    /// Runs beside applying and reading, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// The database or the snapshot could not be written; nothing is lost, and the call can be repeated.
    pub fn checkpoint(&self, durable: Position) -> Result<Position, ViewError> {
        let mut upkeep = self.upkeep.lock();
        self.refuse_condemned()?;
        let at = self.cut();
        if at > durable {
            return Ok(upkeep.state.applied);
        }
        let Some(frozen) = self.fold.lock().frozen.clone() else {
            return Ok(upkeep.state.applied);
        };
        let result = self.write(&frozen, &mut upkeep);
        self.noting(result)?;
        if upkeep.since_snapshot >= self.limits.checkpoints_per_snapshot {
            self.write_snapshot(&mut upkeep)?;
        }
        Ok(upkeep.state.applied)
    }

    /// Writes a snapshot of the last checkpoint now; returns its position.
    ///
    /// # Errors
    /// The snapshot could not be written.
    pub fn snapshot(&self) -> Result<Position, ViewError> {
        let mut upkeep = self.upkeep.lock();
        self.refuse_condemned()?;
        self.write_snapshot(&mut upkeep)?;
        Ok(upkeep.state.applied)
    }

    fn write_snapshot(&self, upkeep: &mut Upkeep) -> Result<(), ViewError> {
        let at = upkeep.state.applied;
        // Before the rebuild is finished, the snapshot it is made from says more.
        if upkeep.state.small_from <= at {
            self.snapshots.write(&*self.kv, at)?;
        }
        upkeep.since_snapshot = 0;
        Ok(())
    }

    /// A condemned database must not be found again by the next start.
    fn refuse_condemned(&self) -> Result<(), ViewError> {
        if !self.condemned.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.delete(Space::Meta, STATE_KEY);
        self.kv.batch(batch)?;
        self.kv.persist()?;
        Err(ViewError::Damaged("it was condemned"))
    }

    fn write(&self, frozen: &Arc<Frozen>, upkeep: &mut Upkeep) -> Result<(), ViewError> {
        let rested = self.queues.rest(frozen.interval);
        let delta = &frozen.delta;
        if delta.is_empty() && rested.is_empty() && frozen.at == upkeep.state.applied {
            self.thaw();
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut expiring = Vec::new();
        for ((table, key), value) in &delta.rows {
            let row = [&table.0.to_be_bytes(), key.as_ref()].concat();
            match value {
                Some(value) => batch.put(Space::Rows, row, value.as_ref()),
                None => batch.delete(Space::Rows, row),
            }
        }
        for ((group, queue), offset) in &delta.positions {
            let key = [group.0.to_be_bytes().as_slice(), &queue_key(*queue)].concat();
            match offset {
                Some(offset) => batch.put(Space::Positions, key, offset.to_le_bytes()),
                None => batch.delete(Space::Positions, key),
            }
        }
        for (queue, head) in &delta.heads {
            batch.put(Space::Queues, queue_key(*queue), head.encode(*queue));
        }
        for queue in delta.queues.iter().chain(&rested) {
            self.queues
                .collect(*queue, frozen.at, &mut batch, &mut expiring);
        }
        for (queue, floor) in &delta.floors {
            batch.put(Space::Floors, queue_key(*queue), floor.to_le_bytes());
        }
        for (queue, at) in &delta.dropped {
            batch.delete(Space::Queues, queue_key(*queue));
            batch.delete(Space::Floors, queue_key(*queue));
            batch.put(Space::Retired, queue_key(*queue), at.0.to_le_bytes());
        }
        let timers = self.timers.collect(&delta.timers, &mut batch)?;
        let flushed = self.keys.flush(&delta.keys, &mut batch);
        let state = State {
            applied: frozen.at,
            serial: upkeep.state.serial + 1,
            timers: timers.stored,
            timer_floor_ms: frozen.timer_floor_ms,
            small_from: frozen.small_from,
        };
        list_expiring(&expiring, state.serial, &mut batch);
        batch.put(Space::Meta, STATE_KEY, state.encode());
        self.kv.batch(batch)?;
        self.kv.persist()?;

        upkeep.state = state;
        upkeep.since_snapshot += 1;
        self.thaw();
        for queue in delta.queues.iter().chain(&rested) {
            self.queues.collected(*queue, frozen.at);
        }
        self.timers.collected(&delta.timers, &timers, frozen.at);
        if let Some(flushed) = flushed {
            self.keys.flushed(flushed);
        }
        for queue in delta.dropped.keys() {
            self.queues.delete_chunks(*queue)?;
        }
        self.keys.merge()?;
        Ok(())
    }

    /// Ends the life of a cut that is durable.
    fn thaw(&self) {
        let dropped: Vec<QueueId> = {
            let mut fold = self.fold.lock();
            fold.frozen = None;
            self.noted_bytes
                .store(fold.noted_bytes(), Ordering::Relaxed);
            fold.delta.dropped.keys().copied().collect()
        };
        for queue in dropped {
            self.queues.unbury(queue);
        }
    }

    /// Tells the views that the log begins at `log_start` now: what is older is gone from queues and keys.
    ///
    /// # Errors
    /// The database failed; what was left over is removed by the next call.
    pub fn trim(&self, log_start: Position) -> Result<(), ViewError> {
        let _upkeep = self.upkeep.lock();
        // A timer that is older than the drop of its target may still fire into it.
        let pin = self.oldest_pin()?.unwrap_or(log_start);
        let forgotten = self.queues.trim_log(log_start, log_start.min(pin));
        let mut batch = Batch::default();
        for queue in &forgotten {
            batch.delete(Space::Retired, queue_key(*queue));
        }
        let end = (log_start.0 >> BUCKET_SHIFT).to_be_bytes();
        let mut rows = Vec::new();
        self.kv.range(
            Space::Expiry,
            &[],
            Some(&end),
            Order::Ascending,
            &mut |key, row| {
                rows.push(key.to_vec());
                for chunk in row.chunks_exact(EXPIRING_BYTES) {
                    batch.delete(Space::Chunks, chunk);
                }
                true
            },
        )?;
        for key in rows {
            batch.delete(Space::Expiry, key);
        }
        if !batch.is_empty() {
            self.kv.batch(batch)?;
        }
        for queue in forgotten {
            self.queues.delete_chunks(queue)?;
        }
        self.noting(self.keys.trim(log_start))
    }

    /// How far the log may be trimmed without losing what only a snapshot would replace: the oldest snapshot kept.
    pub fn trim_floor(&self) -> Position {
        self.snapshots.oldest().unwrap_or_default()
    }
}

/// Lists chunks under the log bucket they end in.
fn list_expiring(expiring: &[Expiring], serial: u64, batch: &mut Batch) {
    let mut buckets: Map<u64, Vec<u8>> = Map::default();
    for chunk in expiring {
        let row = buckets.entry(chunk.position >> BUCKET_SHIFT).or_default();
        row.extend_from_slice(&expired_chunk(chunk.queue, chunk.first));
    }
    for (bucket, row) in buckets {
        for (number, part) in row.chunks(EXPIRING_BYTES * EXPIRING_ROW).enumerate() {
            let mut key = Vec::with_capacity(20);
            key.extend_from_slice(&bucket.to_be_bytes());
            key.extend_from_slice(&serial.to_be_bytes());
            key.extend_from_slice(&(number as u32).to_be_bytes());
            batch.put(Space::Expiry, key, part);
        }
    }
}
