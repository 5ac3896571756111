//! The inbox of a log: batches wait here, bounded in bytes, until the log's thread takes them.
//!
//! Any thread submits; one thread drains. What gathers while a sync runs becomes the next block.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::api::{AppendError, Batch, Refused};

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    closed: bool,
    woken: bool,
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

/// Bytes a batch counts for against the bound.
fn weight(batch: &Batch) -> usize {
    batch
        .records
        .iter()
        .map(crate::record::Prepared::bytes)
        .sum()
}

pub(super) fn refuse(error: AppendError, batch: Batch) -> Box<Refused> {
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

    /// Adds a batch.
    ///
    /// # Errors
    /// The batch is handed back when the inbox is full ([`AppendError::Busy`]) or closed.
    pub fn submit(&self, batch: Batch) -> Result<(), Box<Refused>> {
        let bytes = weight(&batch);
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(refuse(AppendError::Closed, batch));
        }
        if waiting.bytes > 0 && waiting.bytes + bytes > self.bytes_max {
            return Err(refuse(AppendError::Busy, batch));
        }
        waiting.bytes += bytes;
        waiting.batches.push_back(batch);
        let wake = waiting.parked;
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
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

    /// Moves everything that waits into `out`; waits up to `patience` for something to come.
    ///
    /// Returns false once the inbox is closed and empty.
    pub fn drain(&self, out: &mut VecDeque<Batch>, patience: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.batches.is_empty() && !waiting.closed && !waiting.woken {
            waiting.parked = true;
            self.arrived.wait_for(&mut waiting, patience);
            waiting.parked = false;
        }
        waiting.woken = false;
        if out.is_empty() {
            std::mem::swap(out, &mut waiting.batches);
        } else {
            out.append(&mut waiting.batches);
        }
        waiting.bytes = 0;
        let open = !waiting.closed || !out.is_empty();
        drop(waiting);
        self.room.notify_waiters();
        open
    }

    /// Makes the draining thread return from its wait at once.
    pub fn wake(&self) {
        self.waiting.lock().woken = true;
        self.arrived.notify_one();
    }

    /// Refuses further batches; what already waits is still drained.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.waiting.lock().bytes
    }
}
