//! The fold: what one committed record does to the views.
//!
//! One applier at a time works through the log in order. It changes the views and notes in a [`Delta`] what the database
//! does not have yet. A *cut* sets that delta aside at the border between two records, in a moment and without copying;
//! a checkpoint then writes exactly the state at the cut while applying goes on. There is no clock, no I/O and no
//! randomness here: the same records give the same state.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Views;
use super::keys::Segment;
use super::queue::{Added, Addition, Head, Map, Woken};
use super::timer::{Timer, TimerChanges};
use crate::change::{Change, Changes};
use crate::record::Record;
use crate::types::{Flavour, GroupId, Position, QueueId, TableId};

/// Bytes a noted change takes besides keys and values.
const NOTE_BYTES: usize = 64;

/// What changed since the last cut.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    pub(crate) rows: Map<(TableId, Bytes), Option<Bytes>>,
    pub(crate) positions: Map<(GroupId, QueueId), Option<u64>>,
    /// Queues that were appended to.
    pub(crate) queues: Vec<QueueId>,
    /// Queues taken over from a snapshot.
    pub(crate) heads: Vec<(QueueId, Head)>,
    pub(crate) floors: Map<QueueId, u64>,
    pub(crate) dropped: Map<QueueId, Position>,
    pub(crate) timers: TimerChanges,
    /// Filled by the cut.
    pub(crate) keys: Vec<Arc<Segment>>,
    pub(crate) bytes: usize,
}

impl Delta {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.positions.is_empty()
            && self.queues.is_empty()
            && self.heads.is_empty()
            && self.floors.is_empty()
            && self.dropped.is_empty()
            && self.timers.is_empty()
            && self.keys.is_empty()
    }

    pub(crate) fn note_row(&mut self, table: TableId, key: Bytes, value: Option<Bytes>) {
        self.bytes += NOTE_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
        self.rows.insert((table, key), value);
    }

    pub(crate) fn note_position(&mut self, group: GroupId, queue: QueueId, offset: Option<u64>) {
        if self.positions.insert((group, queue), offset).is_none() {
            self.bytes += NOTE_BYTES;
        }
    }

    pub(crate) fn note_floor(&mut self, queue: QueueId, floor: u64) {
        let noted = self.floors.entry(queue).or_insert(floor);
        *noted = floor.max(*noted);
    }
}

/// The state at a cut, as far as the database does not have it.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// Everything before this was applied, nothing after it.
    pub(crate) at: Position,
    pub(crate) interval: u32,
    pub(crate) delta: Delta,
    pub(crate) timer_floor_ms: i64,
    pub(crate) small_from: Position,
}

/// What a snapshot knows that the log may not tell, kept until the log has been read up to the snapshot.
#[derive(Debug, Default)]
pub(crate) struct Rebuild {
    pub(crate) heads: Vec<(QueueId, Head)>,
    pub(crate) floors: Vec<(QueueId, u64)>,
}

/// State of the applier.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub(crate) applied: Position,
    /// Tables, positions and timers include everything before this already.
    pub(crate) small_from: Position,
    pub(crate) rebuild: Option<Rebuild>,
    /// Counts cuts.
    pub(crate) interval: u32,
    pub(crate) delta: Delta,
    /// A cut that no checkpoint has made durable yet.
    pub(crate) frozen: Option<Arc<Frozen>>,
    pub(crate) woken: Woken,
}

impl Fold {
    /// Bytes of the changes that are noted for the database.
    pub(crate) fn noted_bytes(&self) -> usize {
        self.delta.bytes + self.frozen.as_ref().map_or(0, |f| f.delta.bytes)
    }
}

/// The right to apply records. There is one at a time; cuts wait for it.
#[derive(Debug)]
pub struct Applier<'a> {
    views: &'a Views,
    fold: MutexGuard<'a, Fold>,
}

impl Views {
    /// Takes the right to apply. Hold it for a block, not for longer.
    pub fn applier(&self) -> Applier<'_> {
        Applier {
            views: self,
            fold: self.fold.lock(),
        }
    }

    /// Applies one record, see [`Applier::apply`].
    pub fn apply(&self, record: &Record<&[u8]>, arrivals: &mut impl FnMut(QueueId, u64, u32, i64)) {
        self.applier().apply(record, arrivals);
    }

    /// Sets the state aside for the next checkpoint, if none is set aside already, and returns its position. A checkpoint
    /// can be written once the log is durable up to there.
    pub fn cut(&self) -> Position {
        let mut guard = self.fold.lock();
        let fold = &mut *guard;
        if let Some(frozen) = &fold.frozen {
            return frozen.at;
        }
        let mut delta = std::mem::take(&mut fold.delta);
        delta.keys = self.keys.cut();
        let frozen = Frozen {
            at: fold.applied,
            interval: fold.interval,
            delta,
            timer_floor_ms: self.timers.floor_ms(),
            small_from: fold.small_from,
        };
        fold.interval += 1;
        fold.frozen = Some(Arc::new(frozen));
        fold.applied
    }
}

impl Drop for Applier<'_> {
    fn drop(&mut self) {
        let noted = self.fold.noted_bytes();
        self.views.noted_bytes.store(noted, Ordering::Relaxed);
    }
}

impl Applier<'_> {
    /// Applies a committed record; one that was applied before does nothing. Records come in the order of the log.
    ///
    /// `arrivals` is told queue, offset, count and tag hash of every new queue entry.
    pub fn apply(
        &mut self,
        record: &Record<&[u8]>,
        arrivals: &mut impl FnMut(QueueId, u64, u32, i64),
    ) {
        if record.position < self.fold.applied {
            return;
        }
        let is_new = record.position >= self.fold.small_from;
        if record.is_scheduled() {
            if is_new {
                self.schedule(record);
            }
        } else if !record.queue.is_none() {
            self.index(record, record.queue, record.offset, record.count, arrivals);
        }
        for (queue, offset) in record.dispatch() {
            self.index(record, queue, offset, record.count, arrivals);
        }
        if is_new && let Some(timer) = record.fires() {
            self.views.timers.remove(timer, &mut self.fold.delta.timers);
        }
        for hash in record.keys() {
            self.views
                .keys
                .push(hash, record.position, record.stored_ms);
        }
        let mut changed = SmallVec::<[TableId; 4]>::new();
        if record.flavour == Flavour::System {
            self.change(record, is_new, &mut changed);
        }
        self.fold.applied = record.position.plus(u64::from(record.bytes));
        if self.fold.rebuild.is_some() && self.fold.applied >= self.fold.small_from {
            self.views.finish_rebuild(&mut self.fold);
        }
        self.views.set_applied(self.fold.applied);
        self.fold.woken.wake();
        for table in changed {
            self.views.tables.changed(table);
        }
    }

    /// Everything of a block was applied and the next block stands at `next`: a checkpoint taken now resumes there.
    pub fn end_block(&mut self, next: Position) {
        if next > self.fold.applied {
            self.fold.applied = next;
            self.views.set_applied(next);
        }
    }

    fn index(
        &mut self,
        record: &Record<&[u8]>,
        queue: QueueId,
        offset: u64,
        count: u32,
        arrivals: &mut impl FnMut(QueueId, u64, u32, i64),
    ) {
        let add = Addition {
            offset,
            count,
            position: record.position,
            bytes: record.bytes,
            tag_hash: record.tag_hash,
            stored_ms: record.stored_ms,
        };
        let fold = &mut *self.fold;
        match self
            .views
            .queues
            .append(fold.interval, queue, &add, &mut fold.woken)
        {
            Added::Ignored => return,
            Added::First => fold.delta.queues.push(queue),
            Added::Again => {}
        }
        arrivals(queue, offset, count, record.tag_hash);
    }

    fn schedule(&mut self, record: &Record<&[u8]>) {
        let (Some(due_ms), Some(target)) = (record.due_ms(), record.target()) else {
            tracing::error!(position = %record.position, "scheduled record without a due time");
            return;
        };
        let timer = Timer {
            due_ms,
            position: record.position,
            bytes: record.bytes,
            target,
        };
        self.fold.delta.bytes += NOTE_BYTES;
        self.views.timers.add(timer, &mut self.fold.delta.timers);
    }

    fn change(
        &mut self,
        record: &Record<&[u8]>,
        is_new: bool,
        changed: &mut SmallVec<[TableId; 4]>,
    ) {
        for change in Changes::of(Bytes::copy_from_slice(record.tail)) {
            match change {
                Ok(Change::Trim { queue, before }) => {
                    if let Some(floor) = self.views.queues.trim(queue, before) {
                        self.fold.delta.note_floor(queue, floor);
                    }
                }
                Ok(Change::Drop { queue }) => self.retire(queue, record.position),
                Ok(change) if is_new => self.change_small(change, changed),
                Ok(_) => {}
                Err(e) => {
                    // What follows cannot be read by anybody; every replica stops at the same place.
                    tracing::error!(position = %record.position, error = %e, "system record");
                }
            }
        }
    }

    fn change_small(&mut self, change: Change, changed: &mut SmallVec<[TableId; 4]>) {
        let views = self.views;
        let delta = &mut self.fold.delta;
        match change {
            Change::Put { table, key, value } => {
                // Copied, so that a small row does not hold a large record in memory.
                let (key, value) = (copy(&key), copy(&value));
                views.tables.set(table, &key, Some(value.clone()));
                delta.note_row(table, key, Some(value));
                note(changed, table);
            }
            Change::Delete { table, key } => {
                let key = copy(&key);
                views.tables.set(table, &key, None);
                delta.note_row(table, key, None);
                note(changed, table);
            }
            Change::Commit {
                group,
                queue,
                offset,
            } => {
                views.positions.set(group, queue, Some(offset));
                delta.note_position(group, queue, Some(offset));
            }
            Change::Forget { group, queue } => {
                views.positions.set(group, queue, None);
                delta.note_position(group, queue, None);
            }
            Change::Cancel { timer } => views.timers.remove(timer, &mut delta.timers),
            Change::Trim { .. } | Change::Drop { .. } => {}
        }
    }

    fn retire(&mut self, queue: QueueId, at: Position) {
        let fold = &mut *self.fold;
        let bury = fold.frozen.is_some();
        self.views.queues.retire(queue, at, bury, &mut fold.woken);
        fold.delta.floors.remove(&queue);
        fold.delta.dropped.insert(queue, at);
    }
}

fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn note(changed: &mut SmallVec<[TableId; 4]>, table: TableId) {
    if !changed.contains(&table) {
        changed.push(table);
    }
}
