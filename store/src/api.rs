//! What callers of the store say and hear: appends, receipts, reads and their errors.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::record::{Prepared, Record};
use crate::types::{Durability, Position, QueueId};
use crate::view::ViewError;
pub use crate::view::{Boundary, Bounds};

/// Where one appended record came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Position in the log.
    pub position: Position,
    /// Bytes taken in the log.
    pub bytes: u32,
    /// Offset in the record's own queue; 0 for scheduled and system records.
    pub offset: u64,
    /// Store time.
    pub stored_ms: i64,
}

/// What a committed append is answered with: one place per record, in order. A record that fires or cancels a timer which
/// is not pending any more is left out and has none.
pub type Receipt = SmallVec<[Placed; 1]>;

/// Why an append did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk, or the share of it the log may use, is full. Did not happen; reads go on.
    #[error("the log is full: the disk, or what the log may take of it, has no room")]
    Full,
    /// More bytes wait to be appended than the queue may hold. Did not happen; try again.
    #[error("the append queue is full")]
    Busy,
    /// A record or batch is larger than the log takes. Did not happen.
    #[error("the batch is larger than a block may be")]
    TooLarge,
    /// A record borrows bytes of a record too far back, which may expire before it does. Did not happen; append a copy.
    #[error("the borrowed record is too far back in the log")]
    SourceTooOld,
    /// A write or sync failed earlier; the log takes nothing more until it is recovered. May have happened.
    #[error("the log is fenced after a failed write or sync")]
    Fenced,
    /// The store is closing. Did not happen.
    #[error("the store is closed")]
    Closed,
}

/// Receives the outcome of appends without an allocation per append.
pub trait Completion: Send + Sync + fmt::Debug {
    /// The append submitted with `token` is decided. Called from the log's thread: must be short and must not block.
    fn complete(&self, token: u64, outcome: Result<&Receipt, AppendError>);
    /// Everything decided in one block has been passed to [`Completion::complete`]; wake whoever waits.
    fn flush(&self) {}
}

/// Who hears the outcome of an append.
#[derive(Debug)]
pub enum Done {
    /// Nobody.
    Ignore,
    /// One waiting task.
    Once(oneshot::Sender<Result<Receipt, AppendError>>),
    /// A shared receiver that tells its appends apart by a token.
    Shared(Arc<dyn Completion>, u64),
}

/// Records to append together: they take neighbouring places in the log and are committed as one.
#[derive(Debug)]
pub struct Batch {
    /// The records, in order.
    pub records: SmallVec<[Prepared; 1]>,
    /// What the acknowledgement promises.
    pub durability: Durability,
    /// Who hears of it.
    pub done: Done,
}

/// A batch that was refused at once, handed back. Its `done` has heard nothing.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: AppendError,
    /// The batch.
    pub batch: Batch,
}

/// Which tags a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TagFilter {
    /// Every record.
    #[default]
    All,
    /// Records whose tag hash is one of these.
    Any(SmallVec<[i64; 4]>),
}

impl TagFilter {
    /// True if a record with this tag hash is wanted.
    #[must_use]
    pub fn wants(&self, tag_hash: i64) -> bool {
        match self {
            Self::All => true,
            Self::Any(hashes) => hashes.contains(&tag_hash),
        }
    }

    /// True if a record whose tag hash ends in these bits may be wanted. The index keeps no more of a hash.
    #[must_use]
    pub fn may_want(&self, low_half: u32) -> bool {
        match self {
            Self::All => true,
            Self::Any(hashes) => hashes.iter().any(|hash| *hash as u32 == low_half),
        }
    }
}

/// How much one read may return.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Most records.
    pub records: usize,
    /// Most bytes; the first record is returned whatever its size.
    pub bytes: usize,
    /// Most index entries looked at, matching or not.
    pub scanned: usize,
}

/// A record as a reader of one queue sees it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The record.
    pub record: Record<Bytes>,
    /// The queue it was read from.
    pub queue: QueueId,
    /// Its offset in that queue.
    pub offset: u64,
    /// The bytes before the record's own tail, when it takes them from an earlier record.
    pub prefix: Option<Bytes>,
}

/// Why a read ended without records, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// At least one record.
    Found,
    /// Records were looked at and none matched.
    NoMatch,
    /// The offset is the end of the queue.
    AtEnd,
    /// The queue holds nothing and never did, or everything expired.
    Empty,
    /// The offset lies before the first readable one.
    TooSmall,
    /// The offset lies beyond the end.
    TooLarge,
}

/// The outcome of a read.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    /// What happened.
    pub status: ReadStatus,
    /// The records found, in order.
    pub messages: Vec<Message>,
    /// Offset to continue at; always makes progress past looked-at entries, and lies within the bounds.
    pub next: u64,
    /// Bounds at the time of the read.
    pub bounds: Bounds,
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The record is older than the log's first position.
    #[error("position {0} has expired")]
    Expired(Position),
    /// No record begins there.
    #[error("no record at position {0}")]
    NotFound(Position),
    /// The record is damaged on disk.
    #[error("record at position {0} is damaged")]
    Damaged(Position),
    /// The disk failed.
    #[error("reading the log failed: {0}")]
    Io(String),
    /// The index cannot answer.
    #[error(transparent)]
    Index(ViewError),
}
