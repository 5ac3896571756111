//! The narrow door to an embedded key-value store.
//!
//! Only derived data goes through it: everything in it can be rebuilt from the log, so it is never on the path of an
//! acknowledgement and a damaged one is wiped instead of repaired. A [`Batch`] is atomic; what was batched is safe from
//! a loss of power after [`KvStore::persist`] and not before.

mod fjall;
mod mem;

use std::fmt;

use bytes::Bytes;

pub use self::fjall::FjallKv;
pub use mem::MemKv;

/// Longest key, without its space.
pub const KV_KEY_MAX: usize = 8 * 1024;

/// The parts of the store. Keys of different spaces never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// What the store has applied.
    Meta = 1,
    /// Queue → next offset, last position and the unsealed entries.
    Queues = 2,
    /// Queue ‖ first offset → sealed entries.
    Chunks = 3,
    /// Queue → first offset kept by an explicit trim.
    Floors = 4,
    /// Queues dropped for good, while their records are still in the log.
    Retired = 5,
    /// Table ‖ key → value.
    Rows = 6,
    /// Group ‖ queue → offset.
    Positions = 7,
    /// Due time ‖ position → pending timer.
    Timers = 8,
    /// Position → due time of a pending timer.
    TimerAt = 9,
    /// Run ‖ first hash → sorted keys.
    Keys = 10,
    /// Run → its extent.
    Runs = 11,
    /// Log bucket → chunks that die with it.
    Expiry = 12,
}

/// Direction of a walk through a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// One write of a batch: a key that begins with the number of its space, and its new value or `None` to delete it.
type Write = (Vec<u8>, Option<Vec<u8>>);

/// Writes that happen together or not at all. A later write of a key wins over an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
    bytes: usize,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, space: Space, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.push(spaced(space, key.as_ref()), Some(value.into()));
    }

    /// Deletes a key, present or not.
    pub fn delete(&mut self, space: Space, key: impl AsRef<[u8]>) {
        self.push(spaced(space, key.as_ref()), None);
    }

    fn push(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.writes.push((key, value));
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True without writes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// The store failed. Its content must not be relied on any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("index database: {0}")]
pub struct KvError(pub String);

/// What a store says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvStats {
    /// Bytes held on disk, or in memory for a store without one.
    pub bytes: u64,
    /// Calls of [`KvStore::persist`] that succeeded.
    pub persists: u64,
}

/// An ordered key-value store. Methods may be called from many threads; batches are written by one at a time.
pub trait KvStore: Send + Sync + fmt::Debug {
    /// Value of a key.
    ///
    /// # Errors
    /// The store failed.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, KvError>;

    /// Walks the keys from `from` (inside) to `to` (outside; `None` for the end of the space) until `visit` says false.
    ///
    /// # Errors
    /// The store failed.
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), KvError>;

    /// Writes a batch, atomically.
    ///
    /// # Errors
    /// The store failed; whether the batch was written is unknown.
    fn batch(&self, batch: Batch) -> Result<(), KvError>;

    /// Deletes a range of keys; not atomic.
    ///
    /// # Errors
    /// The store failed; some of the keys may be gone.
    fn delete_range(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Result<(), KvError>;

    /// Makes all batches written so far durable.
    ///
    /// # Errors
    /// The store failed; what became durable is unknown.
    fn persist(&self) -> Result<(), KvError>;

    /// Empties the store, durably.
    ///
    /// # Errors
    /// The store could not be emptied.
    fn wipe(&self) -> Result<(), KvError>;

    /// What the store says about itself.
    fn stats(&self) -> KvStats;
}

/// The key as one store with all spaces keeps it.
fn spaced(space: Space, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(space as u8);
    full.extend_from_slice(key);
    full
}

/// The first key after a range that ends at `to`, or with its space.
fn spaced_end(space: Space, to: Option<&[u8]>) -> Vec<u8> {
    match to {
        Some(to) => spaced(space, to),
        None => vec![space as u8 + 1],
    }
}
