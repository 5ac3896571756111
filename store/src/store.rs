//! The handle of the store. (Signatures only on this branch; the engine is merged later.)
#![allow(clippy::unimplemented, clippy::missing_errors_doc, missing_docs, unused_variables, clippy::unused_async)]
use std::path::Path;
use bytes::Bytes;
use crate::api::*;
use crate::change::Change;
use crate::types::*;

#[derive(Clone, Debug)]
pub struct Store {}

#[derive(Clone, Debug, Default)]
pub struct Options {}

#[derive(Debug, thiserror::Error)]
#[error("open failed")]
pub struct OpenError;

impl Store {
    /// Opens or creates the store in `folder`: recovers, starts its threads.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> { unimplemented!() }
    /// Submits a batch; fails at once with `Busy`, `Closed`, ... or the outcome goes to `batch.done`.
    pub fn submit(&self, batch: Batch) -> Result<(), AppendError> { unimplemented!() }
    /// Waits (back-pressure) until the append queue has room for `bytes` more.
    pub async fn room(&self, bytes: usize) { unimplemented!() }
    /// Waits for room, submits and awaits the outcome.
    pub async fn append(&self, records: smallvec::SmallVec<[crate::record::Prepared; 1]>, durability: Durability) -> Result<Receipt, AppendError> { unimplemented!() }
    /// Appends state changes as one system record.
    pub async fn change(&self, changes: &[Change], durability: Durability) -> Result<Receipt, AppendError> { unimplemented!() }
    pub fn bounds(&self, queue: QueueId) -> Bounds { unimplemented!() }
    /// Reads from the tail without blocking if all of it is in memory; `None` if the disk has to be asked: use `read`.
    pub fn try_read(&self, queue: QueueId, from: u64, limits: ReadLimits, filter: &TagFilter) -> Option<Result<ReadOutcome, ReadError>> { unimplemented!() }
    pub async fn read(&self, queue: QueueId, from: u64, limits: ReadLimits, filter: &TagFilter) -> Result<ReadOutcome, ReadError> { unimplemented!() }
    /// Completes when an entry at or after `from` that matches may have arrived. Dropping it cancels.
    pub async fn arrival(&self, queue: QueueId, from: u64, filter: &TagFilter) { unimplemented!() }
    pub fn offset_by_time(&self, queue: QueueId, ms: i64, boundary: Boundary) -> u64 { unimplemented!() }
    /// Store time of the first readable record.
    pub fn earliest_ms(&self, queue: QueueId) -> Option<i64> { unimplemented!() }
    /// Store time of the last record.
    pub fn latest_ms(&self, queue: QueueId) -> Option<i64> { unimplemented!() }
    pub async fn read_at(&self, position: Position) -> Result<Message, ReadError> { unimplemented!() }
    /// Messages found under a key hash, stored within [from_ms, to_ms], newest first; may contain hash collisions.
    pub async fn by_key(&self, key: u64, from_ms: i64, to_ms: i64, max: usize) -> Result<Vec<Message>, ReadError> { unimplemented!() }
    pub fn row(&self, table: TableId, key: &[u8]) -> Option<Bytes> { unimplemented!() }
    pub fn rows(&self, table: TableId, prefix: &[u8]) -> Vec<(Bytes, Bytes)> { unimplemented!() }
    pub fn group_position(&self, group: GroupId, queue: QueueId) -> Option<u64> { unimplemented!() }
    pub fn group_positions(&self, group: GroupId) -> Vec<(QueueId, u64)> { unimplemented!() }
    pub fn pending_timers(&self) -> u64 { unimplemented!() }
    /// Log start and end, for key queries' answers and statistics.
    pub fn log_bounds(&self) -> (Position, Position) { unimplemented!() }
    /// Time by the store's clock, milliseconds since 1970.
    pub fn now_ms(&self) -> i64 { unimplemented!() }
    /// Syncs, seals, stops the threads.
    pub async fn close(&self) { unimplemented!() }
}
