//! The commit log: blocks of records in pre-written, recycled segments, two superblock slots, recovery.
//!
//! One [`LogWriter`] owns the log and is driven by one thread; it starts no thread and never sleeps. Any number of
//! [`LogReader`]s read what the writer has published while it goes on writing. A position is a byte address over all
//! segments; block `p` of the segment with base `b` stands at file offset `4096 + p - b`.
//!
//! The rules that keep it honest: a sector that holds acknowledged bytes is never written again (except with the same
//! bytes, by recovery); the first failed write or sync fences the writer for good; a full disk refuses appends and
//! nothing else; recovery cuts what cannot have been acknowledged as durable and refuses to open over anything else.

pub mod block;
mod config;
mod error;
mod evidence;
mod pool;
mod reader;
mod recover;
mod replay;
mod segment;
mod superblock;
mod verify;
mod walk;
mod writer;

pub use config::{ConfigError, LogConfig, LogId, NodeId};
pub use error::{LogError, OpenError, ReadError};
pub use evidence::{Damage, DamageKind, LostRecords};
pub use pool::Prewriter;
pub use reader::{LogReader, SegmentView};
pub use recover::{Cut, Recovery};
pub use replay::{Block, Blocks, Records};
pub use superblock::Superblock;
pub use verify::{Report, repair, verify};
pub use writer::{BlockSpan, LogWriter, SyncJob, Trimmed};

/// Folder of the segments.
const FOLDER: &str = "log";
