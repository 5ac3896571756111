//! From proposals to committed blocks.
//!
//! [`LogEngine`] is the boundary that a replicated log will share with the one-member [`LocalLog`]: above it, appending
//! and committing are two moments, and nothing is visible before it is committed.

pub mod core;
pub mod inbox;
pub mod keeper;
pub mod local;
mod sync;
pub mod timer;

use std::fmt;

use tokio::sync::watch;

use crate::api::{Batch, Refused};
use crate::types::Position;

pub use self::local::LocalLog;

/// How far the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// End of what the operating system holds.
    pub written: Position,
    /// End of what is synced.
    pub durable: Position,
    /// End of what is visible.
    pub committed: Position,
}

/// Part a member plays in its log, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes proposals, in this epoch.
    Leader {
        /// Number of the leadership term.
        epoch: u64,
    },
    /// Takes none: a write or sync failed.
    Fenced,
    /// Takes none: closed.
    Closed,
}

/// Turns proposed batches into committed blocks.
pub trait LogEngine: Send + Sync + fmt::Debug {
    /// Hands a batch over; its outcome goes to the batch's `done`, unless it is refused at once.
    ///
    /// # Errors
    /// The batch comes back when there is no room or the engine takes none.
    fn propose(&self, batch: Batch) -> Result<(), Box<Refused>>;

    /// As [`LogEngine::propose`], for a caller that calls [`LogEngine::drive`] as soon as it has nothing more to add.
    ///
    /// # Errors
    /// As [`LogEngine::propose`].
    fn add(&self, batch: Batch) -> Result<(), Box<Refused>>;

    /// Writes what was added, on this thread if it is little and can be done without waiting.
    fn drive(&self);

    /// Follows the marks.
    fn marks(&self) -> watch::Receiver<Marks>;

    /// Follows the role and the epoch.
    fn role(&self) -> watch::Receiver<Role>;

    /// Drops the log below a position, as far as whole segments allow.
    fn trim(&self, before: Position);
}
