//! Counters of outbound queues; one set serves all connections of an adapter. The writer counts
//! once per write, not once per frame.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the adapter started.
#[derive(Debug, Default)]
pub struct OutboundStats {
    frames: AtomicU64,
    bytes: AtomicU64,
    writes: AtomicU64,
    waited: AtomicU64,
    overflows: AtomicU64,
    stalled: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboundSnapshot {
    /// Frames the sockets have taken completely.
    pub frames: u64,
    /// Bytes the sockets have taken.
    pub bytes: u64,
    /// Gathered writes that took something; frames ÷ writes is the batching.
    pub writes: u64,
    /// Pushes that had to wait for room.
    pub waited: u64,
    /// `try_push` calls that found no room.
    pub overflows: u64,
    /// Connections closed because the client took nothing for the stall time.
    pub stalled: u64,
}

impl OutboundStats {
    #[must_use]
    pub fn snapshot(&self) -> OutboundSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutboundSnapshot {
            frames: get(&self.frames),
            bytes: get(&self.bytes),
            writes: get(&self.writes),
            waited: get(&self.waited),
            overflows: get(&self.overflows),
            stalled: get(&self.stalled),
        }
    }

    pub(super) fn written(&self, frames: usize, bytes: usize) {
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waited(&self) {
        self.waited.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn overflow(&self) {
        self.overflows.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stalled(&self) {
        self.stalled.fetch_add(1, Ordering::Relaxed);
    }
}
