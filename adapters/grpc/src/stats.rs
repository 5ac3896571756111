//! Counters of the adapter: plain atomics, read by the metrics exporter and by tests. One set serves all connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the adapter started.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) calls: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) held_polls: AtomicU64,
    pub(crate) held_polls_refused: AtomicU64,
    pub(crate) telemetry_streams: AtomicU64,
    pub(crate) telemetry_dropped: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) records_skipped: AtomicU64,
    pub(crate) large_requests_refused: AtomicU64,
    pub(crate) silent_closed: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Calls of every method.
    pub calls: u64,
    /// Calls that were answered with another status than OK.
    pub refused: u64,
    /// Messages stored.
    pub messages_in: u64,
    /// Messages handed out.
    pub messages_out: u64,
    /// Requests for messages that wait now.
    pub held_polls: u64,
    /// Requests for messages that could not wait because too many do.
    pub held_polls_refused: u64,
    /// Telemetry streams that are open now.
    pub telemetry_streams: u64,
    /// Commands to clients that were dropped because they do not read.
    pub telemetry_dropped: u64,
    /// Clients that are known now.
    pub sessions: u64,
    /// Stored messages this protocol cannot show.
    pub records_skipped: u64,
    /// Send requests refused because too many large ones were half-received.
    pub large_requests_refused: u64,
    /// Connections closed because they did not begin to speak HTTP/2.
    pub silent_closed: u64,
    /// Bytes received.
    pub bytes_in: u64,
}

impl Stats {
    pub(crate) fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// The counters at this moment.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            calls: get(&self.calls),
            refused: get(&self.refused),
            messages_in: get(&self.messages_in),
            messages_out: get(&self.messages_out),
            held_polls: get(&self.held_polls),
            held_polls_refused: get(&self.held_polls_refused),
            telemetry_streams: get(&self.telemetry_streams),
            telemetry_dropped: get(&self.telemetry_dropped),
            sessions: get(&self.sessions),
            records_skipped: get(&self.records_skipped),
            large_requests_refused: get(&self.large_requests_refused),
            silent_closed: get(&self.silent_closed),
            bytes_in: get(&self.bytes_in),
        }
    }
}

/// Counts something that is there until dropped.
#[derive(Debug)]
pub(crate) struct Present<F: Fn(&Stats) -> &AtomicU64> {
    stats: std::sync::Arc<Stats>,
    which: F,
}

impl<F: Fn(&Stats) -> &AtomicU64> Present<F> {
    pub(crate) fn new(stats: &std::sync::Arc<Stats>, which: F) -> Self {
        Stats::count(which(stats));
        Self {
            stats: std::sync::Arc::clone(stats),
            which,
        }
    }
}

impl<F: Fn(&Stats) -> &AtomicU64> Drop for Present<F> {
    fn drop(&mut self) {
        (self.which)(&self.stats).fetch_sub(1, Ordering::Relaxed);
    }
}
