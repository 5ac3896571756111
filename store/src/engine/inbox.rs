//! The inbox of a log: batches wait here, bounded in bytes, until somebody with the right to write takes them.
//!
//! Any thread adds. What gathers while a block is written or synced becomes the next block.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::api::{AppendError, Batch, Refused};
use crate::types::Durability;

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// A batch asks for more than a write.
    has_durable: bool,
    closed: bool,
    parked: bool,
}

/// Batches on their way to the log.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Notify,
    bytes_max: usize,
}

/// What became of an attempt to take a few batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// They were taken.
    Some,
    /// There are none.
    None,
    /// They are more than a few, or need a sync.
    TooMany,
}

/// Bytes a batch counts for against the bound.
fn weight(batch: &Batch) -> usize {
    batch
        .records
        .iter()
        .map(crate::record::Prepared::bytes)
        .sum()
}

pub(crate) fn refuse(error: AppendError, batch: Batch) -> Box<Refused> {
    Box::new(Refused { error, batch })
}

impl Inbox {
    /// An inbox that holds at most `bytes_max` bytes of records, or one batch that alone is larger.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            room: Notify::new(),
            bytes_max,
        }
    }

    /// Adds a batch and wakes the log's thread.
    ///
    /// # Errors
    /// As [`Inbox::add`].
    pub fn submit(&self, batch: Batch) -> Result<(), Box<Refused>> {
        if self.put(batch)? {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Adds a batch and wakes nobody: the caller sees to it that it is taken.
    ///
    /// # Errors
    /// The batch is handed back when the inbox is full ([`AppendError::Busy`]) or closed.
    pub fn add(&self, batch: Batch) -> Result<(), Box<Refused>> {
        self.put(batch).map(|_| ())
    }

    /// Adds a batch; true if the log's thread sleeps.
    fn put(&self, batch: Batch) -> Result<bool, Box<Refused>> {
        let bytes = weight(&batch);
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(refuse(AppendError::Closed, batch));
        }
        if waiting.bytes > 0 && waiting.bytes + bytes > self.bytes_max {
            return Err(refuse(AppendError::Busy, batch));
        }
        waiting.bytes += bytes;
        waiting.has_durable |= batch.durability == Durability::Durable;
        waiting.batches.push_back(batch);
        Ok(waiting.parked)
    }

    /// Wakes the log's thread if something waits and it sleeps.
    pub fn call(&self) {
        let waiting = self.waiting.lock();
        let wake = waiting.parked && !waiting.batches.is_empty();
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Waits until `bytes` more have room, or the inbox is closed.
    pub async fn room(&self, bytes: usize) {
        loop {
            let freed = self.room.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            {
                let waiting = self.waiting.lock();
                if waiting.closed || waiting.bytes == 0 || waiting.bytes + bytes <= self.bytes_max {
                    return;
                }
            }
            freed.await;
        }
    }

    /// Waits up to `patience` for something to come. Returns false once the inbox is closed and empty.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.batches.is_empty() && !waiting.closed {
            waiting.parked = true;
            self.arrived.wait_for(&mut waiting, patience);
            waiting.parked = false;
        }
        !waiting.closed || !waiting.batches.is_empty()
    }

    /// Moves everything that waits into `out`.
    pub fn drain(&self, out: &mut VecDeque<Batch>) {
        self.take(out, |_, _| true);
    }

    /// Moves everything that waits into `out`, if none of it needs a sync and `is_few` says of number and bytes that they are
    /// few.
    pub fn drain_few(
        &self,
        out: &mut VecDeque<Batch>,
        is_few: impl FnOnce(usize, usize) -> bool,
    ) -> Taken {
        self.take(out, |waiting, bytes| {
            !waiting.has_durable && is_few(waiting.batches.len(), bytes)
        })
    }

    fn take(&self, out: &mut VecDeque<Batch>, may: impl FnOnce(&Waiting, usize) -> bool) -> Taken {
        let mut waiting = self.waiting.lock();
        if waiting.batches.is_empty() {
            return Taken::None;
        }
        if !may(&waiting, waiting.bytes) {
            return Taken::TooMany;
        }
        if out.is_empty() {
            std::mem::swap(out, &mut waiting.batches);
        } else {
            out.append(&mut waiting.batches);
        }
        waiting.bytes = 0;
        waiting.has_durable = false;
        drop(waiting);
        self.room.notify_waiters();
        Taken::Some
    }

    /// Refuses further batches; what already waits is still drained.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    /// True if nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().batches.is_empty()
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.waiting.lock().bytes
    }
}
