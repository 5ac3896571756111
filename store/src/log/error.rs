//! What the log's operations can fail with: one enum for writing, one for reading, one for opening.

use crate::io::IoError;
use crate::types::Position;

use super::config::ConfigError;
use super::evidence::Damage;

/// Why an append, a sync or a trim did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// An earlier write or sync failed. Only opening the log again can tell what is there.
    #[error("the log is fenced, suspect from {suspect}: {cause}")]
    Fenced {
        /// Durable position when it happened.
        suspect: Position,
        /// The failure.
        cause: IoError,
    },
    /// There is no room for another segment. Appends work again once segments were trimmed.
    #[error("the log is full")]
    Full,
    /// The record is larger than a record may be.
    #[error("record of {0} bytes is too large")]
    TooLarge(usize),
    /// The record does not fit the block any more; write the block and begin the next.
    #[error("the block is full")]
    BlockFull,
    /// The stamp names another position than the record would take.
    #[error("record is stamped {found} and would stand at {expected}")]
    Misplaced {
        /// Position in the stamp.
        found: Position,
        /// Position the record would take.
        expected: Position,
    },
    /// No block was begun, or nothing was pushed to it.
    #[error("there is no block to work on")]
    NoBlock,
    /// A file could not be prepared or put away. The log itself is not affected.
    #[error(transparent)]
    Io(IoError),
}

/// Why bytes of the log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The range was trimmed.
    #[error("the log begins at {start}")]
    TooOld {
        /// First position that can be read.
        start: Position,
    },
    /// The range was not written yet.
    #[error("the log ends at {end}")]
    Beyond {
        /// First position not written.
        end: Position,
    },
    /// The range is longer than a read may be, or crosses the end of a segment.
    #[error("the range is not one that records stand in")]
    Range,
    /// The bytes are damaged.
    #[error("the log is damaged from {from} to {to}")]
    Damaged {
        /// First damaged position.
        from: Position,
        /// First position known to be sound again; equals `from` if that is not known.
        to: Position,
        /// Set aside by an explicit repair; reading goes on behind it.
        isolated: bool,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a log cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Bytes that were durable are damaged. Nothing was changed.
    #[error("the log was durable up to {durable} and is damaged below that: {}", Damage::list(.damage))]
    Damaged {
        /// Position up to which the log was durable.
        durable: Position,
        /// What is damaged.
        damage: Vec<Damage>,
    },
    /// There are segments, but neither superblock slot can be read.
    #[error("both superblock slots are damaged")]
    Superblock,
    /// More separate damages than can be set aside.
    #[error("more damaged ranges than can be isolated")]
    TooMuchDamage,
}
