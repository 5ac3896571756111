//! What a view can fail with.

use crate::io::IoError;
use crate::kv::KvError;
use crate::types::Position;

/// A view could not answer, checkpoint or open. Applying never fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The index database failed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// A value of the index database is not what was written. The database is rebuilt at the next start.
    #[error("index database is damaged: {0}")]
    Damaged(&'static str),
    /// A snapshot could not be written or listed.
    #[error("snapshot: {0}")]
    Snapshot(#[from] IoError),
    /// The log begins after the newest usable snapshot: definitions and positions before it are gone.
    #[error("the log begins at {log_start} and no usable snapshot reaches it")]
    StateLost {
        /// First position of the log.
        log_start: Position,
    },
    /// As many waiters as allowed are waiting.
    #[error("too many waiters")]
    WaitersFull,
}
