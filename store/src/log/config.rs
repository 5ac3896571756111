//! Settings of a log and the identities in its files.

use std::hash::{BuildHasher, RandomState};

use crate::record::RECORD_MAX;

use super::block::{BLOCK_ALIGN, span_of};
use super::segment::SEGMENT_HEADER;

/// Identity of one log, drawn when it is created. Part of every checksum, so that no other log's bytes pass for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub u64);

impl LogId {
    /// A random identity, from the operating system's entropy.
    #[must_use]
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }
}

/// Identity of the node that owns a copy of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NodeId(pub u64);

/// Settings of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Identity given to the log if this open creates it.
    pub new_log_id: LogId,
    /// Node that opens the log; kept in the superblock.
    pub node_id: NodeId,
    /// File size of the first segment. Each later one is four times as large, up to `segment_bytes_max`.
    pub first_segment_bytes: u64,
    /// File size of the largest regular segment. A record that needs more gets a segment of its own size.
    pub segment_bytes_max: u64,
    /// Bytes of records in a block, if it holds more than one.
    pub block_bytes: usize,
    /// Segments kept ready ahead of the writer.
    pub ready_ahead: usize,
    /// Most bytes all files of the log may take together.
    pub disk_bytes_max: u64,
    /// Bytes of the disk that no new file of the log takes, so that others, the index first of all, can go on.
    pub disk_spare_bytes: u64,
    /// Most bytes that may be written and not synced; a write beyond it syncs first. Bounds how far behind a torn block
    /// recovery has to look for witnesses.
    pub unsynced_bytes_max: u64,
    /// How far back in the log a record may borrow bytes, if this open creates the log; a log keeps what it was created
    /// with. What retention gives up stays on the disk for as many bytes more, so that no record loses what it borrows.
    pub new_reach_bytes: u64,
    /// Opening checks every block from the start of the log instead of from the last superblock.
    pub verify_on_open: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            new_log_id: LogId::random(),
            node_id: NodeId::default(),
            first_segment_bytes: 16 << 20,
            segment_bytes_max: 1 << 30,
            block_bytes: 1 << 20,
            ready_ahead: 1,
            disk_bytes_max: 64 << 30,
            disk_spare_bytes: 0,
            unsynced_bytes_max: 64 << 20,
            new_reach_bytes: 256 << 20,
            verify_on_open: false,
        }
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// Name of the setting.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Largest file of a segment: what one record may need and a regular segment may be.
pub(super) const SEGMENT_BYTES_LIMIT: u64 = 2 << 30;
/// Smallest file of a segment.
const SEGMENT_BYTES_MIN: u64 = SEGMENT_HEADER + 4 * BLOCK_ALIGN as u64;

impl LogConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |setting, problem| Err(ConfigError { setting, problem });
        if !self.first_segment_bytes.is_multiple_of(BLOCK_ALIGN as u64) {
            return wrong("first_segment_bytes", "must be a multiple of 512");
        }
        if self.first_segment_bytes < SEGMENT_BYTES_MIN {
            return wrong("first_segment_bytes", "is too small for a segment");
        }
        if !self.segment_bytes_max.is_multiple_of(BLOCK_ALIGN as u64) {
            return wrong("segment_bytes_max", "must be a multiple of 512");
        }
        if !(self.first_segment_bytes..=SEGMENT_BYTES_LIMIT).contains(&self.segment_bytes_max) {
            return wrong(
                "segment_bytes_max",
                "must be from first_segment_bytes to 2 GiB",
            );
        }
        if self.block_bytes == 0 || self.block_bytes > RECORD_MAX {
            return wrong("block_bytes", "must be from 1 to the largest record");
        }
        if self.ready_ahead > 16 {
            return wrong("ready_ahead", "must be at most 16");
        }
        if self.disk_bytes_max < 2 * self.first_segment_bytes {
            return wrong("disk_bytes_max", "must hold two first segments");
        }
        if self.unsynced_bytes_max == 0 {
            return wrong("unsynced_bytes_max", "must be more than 0");
        }
        Ok(())
    }

    /// File size of the segment after one of `current` bytes: growing, but never more than an eighth of what the log
    /// may take, so that retention can work in small steps on a small disk.
    pub(super) fn next_segment_bytes(&self, current: u64) -> u64 {
        let eighth = self.disk_bytes_max / 8 / BLOCK_ALIGN as u64 * BLOCK_ALIGN as u64;
        current
            .saturating_mul(4)
            .min(self.segment_bytes_max)
            .min(eighth)
            .max(self.first_segment_bytes)
    }

    /// How far behind a damaged block a witness stands at the latest. A block that begins `unsynced_bytes_max` behind it
    /// was sealed after it was synced, and the first such block begins at most one block later.
    pub(super) fn search_bytes(&self) -> u64 {
        self.unsynced_bytes_max + span_of(RECORD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(LogConfig::default().validate(), Ok(()));
    }

    #[test]
    fn segments_grow_and_stay_within_their_bounds() {
        let config = LogConfig::default();
        assert_eq!(config.next_segment_bytes(16 << 20), 64 << 20);
        assert_eq!(config.next_segment_bytes(1 << 30), 1 << 30);
        let small = LogConfig {
            disk_bytes_max: 256 << 20,
            ..config
        };
        assert_eq!(small.next_segment_bytes(1 << 30), 32 << 20);
        let tiny = LogConfig {
            disk_bytes_max: 40 << 20,
            ..small
        };
        assert_eq!(tiny.next_segment_bytes(16 << 20), 16 << 20);
    }

    #[test]
    fn impossible_settings_are_named() {
        let bad = LogConfig {
            first_segment_bytes: 1000,
            ..LogConfig::default()
        };
        assert_eq!(bad.validate().unwrap_err().setting, "first_segment_bytes");
        let bad = LogConfig {
            disk_bytes_max: 1 << 20,
            ..LogConfig::default()
        };
        assert_eq!(bad.validate().unwrap_err().setting, "disk_bytes_max");
    }
}
