//! What can be set about a store.

use std::time::Duration;

use crate::log::LogConfig;

/// Settings of a store. The defaults suit a laptop and a server alike.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes of segments and the share of the disk the log may use.
    pub log: LogConfig,
    /// Most bytes that wait to be appended.
    pub inbox_bytes: usize,
    /// Longest time written bytes stay unsynced when no append asks for more than [`crate::types::Durability::Written`].
    pub flush_interval: Duration,
    /// Bytes of log after which the views are checkpointed.
    pub checkpoint_bytes: u64,
    /// Longest time between checkpoints while the log grows.
    pub checkpoint_interval: Duration,
    /// Bytes before the end of the log that are read in place.
    pub hot_bytes: u64,
    /// Threads that read older records.
    pub cold_threads: usize,
    /// How long records are kept; none: no limit.
    pub retain_for: Option<Duration>,
    /// How many bytes of log are kept; none: no limit.
    pub retain_bytes: Option<u64>,
    /// Used share of the disk or of what the log may take, in percent, at which the oldest segments go before their time;
    /// of a disk never while more than 8 GiB are free.
    pub disk_clean_percent: u8,
    /// Used share of the disk, in percent, at which appends are refused; never while more than 4 GiB are free.
    pub disk_full_percent: u8,
    /// How often retention looks for expired segments.
    pub retention_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: LogConfig::default(),
            inbox_bytes: 64 << 20,
            flush_interval: Duration::from_millis(200),
            checkpoint_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(30),
            hot_bytes: 512 << 20,
            cold_threads: 2,
            retain_for: Some(Duration::from_secs(72 * 3600)),
            retain_bytes: None,
            disk_clean_percent: 85,
            disk_full_percent: 95,
            retention_interval: Duration::from_secs(10),
        }
    }
}
