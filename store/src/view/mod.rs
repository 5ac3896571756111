//! The views: everything that is derived from the log.
//!
//! [`Views`] is shared; one thread applies committed records in the order of the log, many threads read, and one thread
//! at a time does the upkeep ([`Views::checkpoint`], [`Views::trim`]). Nothing here starts a thread, asks for the time or
//! waits. The state is a pure function of the records applied and of where the log begins; the database and the
//! snapshots only shorten the way to it and may be deleted while the store is down.
//!
//! Order of locks, where several are held: upkeep, fold, then one of a view's own (a shard, a table, the timers).

mod checkpoint;
mod error;
mod fold;
mod hash;
mod keys;
mod open;
mod position;
pub(crate) mod queue;
mod snapshot;
mod table;
mod timer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::checkpoint::Upkeep;
use self::fold::Fold;
use self::keys::KeyIndex;
use self::position::Positions;
use self::queue::QueueTable;
use self::snapshot::Snapshots;
use self::table::Tables;
use self::timer::Timers;
use crate::api::TagFilter;
use crate::kv::{KvStats, KvStore};
use crate::types::{GroupId, Position, QueueId, TableId};

pub use self::error::ViewError;
pub use self::fold::Applier;
pub use self::queue::{Arrival, Boundary, Bounds, Entry};
pub use self::timer::Timer;

/// Bounds of the views.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most waiters at a time.
    pub waiters_max: usize,
    /// Timers held in memory after a checkpoint; the others are read back before they are due.
    pub timers_in_memory: usize,
    /// Checkpoints from one snapshot to the next.
    pub checkpoints_per_snapshot: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters_max: 1 << 20,
            timers_in_memory: 1 << 17,
            checkpoints_per_snapshot: 4,
        }
    }
}

/// What the views hold, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Everything before this is applied.
    pub applied: Position,
    /// Queues with something in memory.
    pub queues_hot: usize,
    /// Queues at rest.
    pub queues_idle: usize,
    /// Bytes of unsealed entries.
    pub tail_bytes: usize,
    /// See [`Views::pending_bytes`].
    pub pending_bytes: usize,
    /// Waiters.
    pub waiters: usize,
    /// Pending timers.
    pub timers: u64,
    /// Runs of the key index.
    pub key_runs: usize,
    /// The database.
    pub kv: KvStats,
}

/// All views of one log.
#[derive(Debug)]
pub struct Views {
    fold: Mutex<Fold>,
    applied: AtomicU64,
    /// Bytes of changes noted for the database.
    noted_bytes: AtomicUsize,
    queues: Arc<QueueTable>,
    keys: KeyIndex,
    tables: Tables,
    positions: Positions,
    timers: Timers,
    kv: Arc<dyn KvStore>,
    snapshots: Snapshots,
    upkeep: Mutex<Upkeep>,
    /// The database was found to be damaged and is not written any more.
    condemned: AtomicBool,
    limits: Limits,
}

impl Views {
    /// Everything before this is applied.
    pub fn applied(&self) -> Position {
        Position(self.applied.load(Ordering::Acquire))
    }

    fn set_applied(&self, applied: Position) {
        self.applied.store(applied.0, Ordering::Release);
    }

    /// Passes a result on; damage condemns the database.
    fn noting<T>(&self, result: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(error @ ViewError::Damaged(_)) = &result
            && !self.condemned.swap(true, Ordering::AcqRel)
        {
            tracing::error!(%error, "the index database is rebuilt at the next start");
        }
        result
    }

    // Queues.

    /// First offset not taken in a queue by what is applied; 0 for an unknown queue.
    pub fn next_offset(&self, queue: QueueId) -> u64 {
        self.queues.next_offset(queue)
    }

    /// Hands out `count` offsets of a queue and returns the first. Offsets are dense; what is handed out must be applied,
    /// or taken back for all queues at once with [`Views::reset_assigned`]. For a dropped queue the answer is 0, and
    /// what is applied to it is ignored.
    pub fn assign(&self, queue: QueueId, count: u32) -> u64 {
        self.queues.assign(queue, count)
    }

    /// Takes back every offset that was handed out but not applied.
    pub fn reset_assigned(&self) {
        self.queues.reset_assigned();
    }

    /// First and next offset of a queue; both 0 for an unknown one.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn bounds(&self, queue: QueueId) -> Result<Bounds, ViewError> {
        self.noting(self.queues.bounds(queue))
    }

    /// Appends up to `max` entries to `out`, beginning with the one that takes `from` or else the next one there is;
    /// returns how many.
    ///
    /// # Errors
    /// The database failed or is damaged; `out` may have grown.
    pub fn entries(
        &self,
        queue: QueueId,
        from: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<usize, ViewError> {
        self.noting(self.queues.entries(queue, from, max, out))
    }

    /// The offset at a store time: [`Boundary::Lower`] the first stored then or later (the next offset if there is none),
    /// [`Boundary::Upper`] the last stored then or earlier (the first one if there is none). 0 for an unknown queue.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn offset_by_time(
        &self,
        queue: QueueId,
        ms: i64,
        boundary: Boundary,
    ) -> Result<u64, ViewError> {
        self.noting(self.queues.offset_by_time(queue, ms, boundary))
    }

    /// When the newest record of a queue was stored.
    pub fn last_stored_ms(&self, queue: QueueId) -> Option<i64> {
        self.queues.last_stored_ms(queue)
    }

    /// True for a queue that was dropped, until the log is trimmed beyond the drop.
    pub fn is_retired(&self, queue: QueueId) -> bool {
        self.queues.is_retired(queue)
    }

    /// Waits for a record at `from` or after it that passes the filter. Ends at once if there is one already, or may be
    /// one that is not in memory, and also when the queue is dropped.
    ///
    /// # Errors
    /// [`ViewError::WaitersFull`].
    pub fn arrival(
        &self,
        queue: QueueId,
        from: u64,
        filter: TagFilter,
    ) -> Result<Arrival, ViewError> {
        self.queues.arrival(queue, from, filter)
    }

    // Keys.

    /// Positions of up to `max` records with a key hash stored from `from_ms` to `to_ms`, newest first.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn find(
        &self,
        hash: u64,
        from_ms: i64,
        to_ms: i64,
        max: usize,
    ) -> Result<Vec<Position>, ViewError> {
        self.noting(self.keys.find(hash, from_ms, to_ms, max))
    }

    // Tables and positions.

    /// A row of a table.
    pub fn get(&self, table: TableId, key: &[u8]) -> Option<Bytes> {
        self.tables.get(table, key)
    }

    /// Up to `limit` rows whose keys begin with `prefix`, in order of their keys.
    pub fn scan(&self, table: TableId, prefix: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        self.tables.scan(table, prefix, None, limit)
    }

    /// As [`Views::scan`], for keys after `after`.
    pub fn scan_after(
        &self,
        table: TableId,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Vec<(Bytes, Bytes)> {
        self.tables.scan(table, prefix, Some(after), limit)
    }

    /// Number of rows of a table.
    pub fn len(&self, table: TableId) -> usize {
        self.tables.len(table)
    }

    /// True for a table without rows.
    pub fn is_empty(&self, table: TableId) -> bool {
        self.len(table) == 0
    }

    /// A version of a table that grows after each record that changed it.
    pub fn watch(&self, table: TableId) -> watch::Receiver<u64> {
        self.tables.watch(table)
    }

    /// How far a group has consumed a queue: the first offset it has not.
    pub fn position(&self, group: GroupId, queue: QueueId) -> Option<u64> {
        self.positions.get(group, queue)
    }

    /// All positions of a group, ordered by queue. Those in dropped queues stay until they are forgotten.
    pub fn positions_of(&self, group: GroupId) -> Vec<(QueueId, u64)> {
        self.positions.of(group)
    }

    // Timers.

    /// Up to `max` timers due at `now_ms` or before, soonest first. They stay until a record that fires or cancels them
    /// is applied.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn due(&self, now_ms: i64, max: usize) -> Result<Vec<Timer>, ViewError> {
        self.noting(self.timers.due(now_ms, None, max))
    }

    /// As [`Views::due`], continuing after a timer. One that is added later and due earlier is not among them.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn due_after(
        &self,
        now_ms: i64,
        after: &Timer,
        max: usize,
    ) -> Result<Vec<Timer>, ViewError> {
        let after = Some((after.due_ms, after.position));
        self.noting(self.timers.due(now_ms, after, max))
    }

    /// Up to `max` prepared records after `after`, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub fn undecided(&self, after: Option<Position>, max: usize) -> Result<Vec<Timer>, ViewError> {
        self.noting(self.timers.undecided(after, max))
    }

    /// When the next timer is due.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn next_due(&self) -> Result<Option<i64>, ViewError> {
        self.noting(self.timers.next_due())
    }

    /// Number of pending timers. Cancels of timers that had fired make it too low until the next checkpoint, if some
    /// timers are not in memory.
    pub fn pending_count(&self) -> u64 {
        self.timers.pending()
    }

    /// True if the scheduled record at `position` waits to be fired.
    ///
    /// # Errors
    /// The database failed.
    pub fn is_pending(&self, position: Position) -> Result<bool, ViewError> {
        self.noting(self.timers.is_pending(position))
    }

    /// Position of the oldest record a pending timer needs.
    ///
    /// # Errors
    /// The database failed.
    pub fn oldest_pin(&self) -> Result<Option<Position>, ViewError> {
        self.noting(self.timers.oldest_pin())
    }

    /// Up to `max` pending timers whose records stand before `end`, in no order.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn timers_before(&self, end: Position, max: usize) -> Result<Vec<Timer>, ViewError> {
        self.noting(self.timers.before(end, max))
    }

    // Memory.

    /// Bytes that leave memory with the next checkpoint: sealed chunks, keys and noted changes. Applying must pause when
    /// there are too many.
    pub fn pending_bytes(&self) -> usize {
        let noted = self.noted_bytes.load(Ordering::Relaxed);
        self.queues.pending_bytes() + self.keys.memory() + noted
    }

    /// Wakes every waiter, for a shutdown.
    pub fn release_waiters(&self) {
        self.queues.release_waiters();
    }

    /// What the views hold.
    pub fn stats(&self) -> Stats {
        let (queues_hot, queues_idle, tail_bytes) = self.queues.sizes();
        Stats {
            applied: self.applied(),
            queues_hot,
            queues_idle,
            tail_bytes,
            pending_bytes: self.pending_bytes(),
            waiters: self.queues.waiting(),
            timers: self.timers.pending(),
            key_runs: self.keys.runs(),
            kv: self.kv.stats(),
        }
    }
}
