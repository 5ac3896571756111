//! The block codec: how a run of records is framed, placed and checked.
//!
//! Header, 64 bytes, little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic |
//! | 4 | 1+1+2 | version, kind, flags (0) |
//! | 8 | 8 | position |
//! | 16 | 8 | index: number of the block, consecutive |
//! | 24 | 8 | epoch |
//! | 32 | 4+4 | payload bytes, record count |
//! | 40 | 8 | wall clock, milliseconds, never falling |
//! | 48 | 4 | chain: header checksum of the previous block |
//! | 52 | 8 | position up to which the log was durable when this block was sealed |
//! | 60 | 4 | CRC32C of the log's identity and bytes 0..60 |
//!
//! The identity in the checksum makes blocks of another log, and header look-alikes inside a producer's payload, fail.
//! Records follow, then a footer of 8 bytes: CRC32C of the header's and all records' header checksums, and a magic. It
//! ties the records to their header, so that records left over from an earlier epoch at the same place cannot slip in.
//! A block begins at a multiple of 512 bytes; what is left of its last sector is ignored.

use crate::record::{RECORD_HEADER, RECORD_MAX};
use crate::types::Position;

use super::config::LogId;

/// Bytes of a block header.
pub const BLOCK_HEADER: usize = 64;
/// Bytes of the footer behind the records.
pub const BLOCK_FOOTER: usize = 8;
/// Blocks begin at multiples of this.
pub const BLOCK_ALIGN: usize = 512;
/// Most record bytes in a block; a larger one is damage. Bounds what is allocated for a length read from disk.
pub const PAYLOAD_MAX: usize = RECORD_MAX;
const MAGIC: u32 = 0x4B4C_4258;
const FOOTER_MAGIC: u32 = 0x444E_4558;
const VERSION: u8 = 1;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockKind {
    /// Records of producers.
    Data = 1,
    /// System records.
    System = 2,
    /// Both.
    Mixed = 3,
    /// A change of the group's members (reserved for replication).
    Membership = 4,
    /// The unused rest of a segment.
    Pad = 5,
    /// Ends what an earlier epoch left behind it.
    Cut = 6,
    /// The place a snapshot was taken at (reserved for replication).
    SnapshotMark = 7,
}

impl BlockKind {
    fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Data,
            2 => Self::System,
            3 => Self::Mixed,
            4 => Self::Membership,
            5 => Self::Pad,
            6 => Self::Cut,
            7 => Self::SnapshotMark,
            _ => return None,
        })
    }

    /// True for blocks whose payload is records.
    #[must_use]
    pub fn has_records(self) -> bool {
        matches!(self, Self::Data | Self::System | Self::Mixed)
    }
}

/// A decoded block header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the block holds.
    pub kind: BlockKind,
    /// Where it stands.
    pub position: Position,
    /// Its number.
    pub index: u64,
    /// Epoch of its writer.
    pub epoch: u64,
    /// Bytes of its records, or of the gap after a pad.
    pub payload_bytes: u32,
    /// Number of its records.
    pub records: u32,
    /// Wall clock of its writer.
    pub wall_ms: i64,
    /// Header checksum of the block before.
    pub chain: u32,
    /// Up to where the log was durable when the block was sealed.
    pub durable: Position,
}

/// Why bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Fewer bytes than a header.
    #[error("block is cut short")]
    Short,
    /// No block was ever written here, or another log's.
    #[error("no block header")]
    Magic,
    /// The header checksum differs.
    #[error("block header checksum differs")]
    Checksum,
    /// The header is whole but impossible.
    #[error("block header is malformed: {0}")]
    Malformed(&'static str),
    /// The header belongs elsewhere.
    #[error("block carries another position")]
    Position,
    /// The block does not follow the block before it.
    #[error("block does not continue the log: {0}")]
    Chain(&'static str),
    /// A record is damaged.
    #[error("a record of the block is damaged")]
    Record,
    /// The footer does not fit the records.
    #[error("block footer checksum differs")]
    Footer,
}

impl BlockHeader {
    /// Encodes the header.
    #[must_use]
    pub fn encode(&self, log: LogId) -> [u8; BLOCK_HEADER] {
        let mut out = [0u8; BLOCK_HEADER];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(4, &[VERSION, self.kind as u8, 0, 0]);
        put(8, &self.position.0.to_le_bytes());
        put(16, &self.index.to_le_bytes());
        put(24, &self.epoch.to_le_bytes());
        put(32, &self.payload_bytes.to_le_bytes());
        put(36, &self.records.to_le_bytes());
        put(40, &self.wall_ms.to_le_bytes());
        put(48, &self.chain.to_le_bytes());
        put(52, &self.durable.0.to_le_bytes());
        let crc = header_crc(log, &out);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes and checks a header by itself: its checksum and its bounds, not its place.
    ///
    /// # Errors
    /// The bytes are not a header of this log.
    pub fn decode(bytes: &[u8], log: LogId) -> Result<Self, BlockError> {
        let raw: &[u8; BLOCK_HEADER] = bytes.first_chunk().ok_or(BlockError::Short)?;
        if u32_at(raw, 0) != MAGIC {
            return Err(BlockError::Magic);
        }
        if header_crc(log, raw) != u32_at(raw, 60) {
            return Err(BlockError::Checksum);
        }
        if raw[4] != VERSION {
            return Err(BlockError::Malformed("version"));
        }
        if raw[6..8] != [0, 0] {
            return Err(BlockError::Malformed("flags"));
        }
        let kind = BlockKind::from_u8(raw[5]).ok_or(BlockError::Malformed("kind"))?;
        let header = Self {
            kind,
            position: Position(u64_at(raw, 8)),
            index: u64_at(raw, 16),
            epoch: u64_at(raw, 24),
            payload_bytes: u32_at(raw, 32),
            records: u32_at(raw, 36),
            wall_ms: u64_at(raw, 40) as i64,
            chain: u32_at(raw, 48),
            durable: Position(u64_at(raw, 52)),
        };
        let payload = header.payload_bytes as usize;
        if kind != BlockKind::Pad && payload > PAYLOAD_MAX {
            return Err(BlockError::Malformed("payload length"));
        }
        if header.records as usize > payload / RECORD_HEADER {
            return Err(BlockError::Malformed("record count"));
        }
        if kind.has_records() != (header.records > 0) {
            return Err(BlockError::Malformed("records of this kind"));
        }
        if !header.position.0.is_multiple_of(BLOCK_ALIGN as u64) {
            return Err(BlockError::Malformed("alignment"));
        }
        if header.durable > header.position {
            return Err(BlockError::Malformed("durable position"));
        }
        Ok(header)
    }

    /// Bytes the block takes in the log.
    #[must_use]
    pub fn span(&self) -> u64 {
        match self.kind {
            BlockKind::Pad => BLOCK_HEADER as u64 + u64::from(self.payload_bytes),
            _ => span_of(self.payload_bytes as usize),
        }
    }

    /// Where the next block stands.
    #[must_use]
    pub fn next(&self) -> Position {
        self.position.plus(self.span())
    }

    /// Where the first record stands.
    #[must_use]
    pub fn first_record(&self) -> Position {
        self.position.plus(BLOCK_HEADER as u64)
    }
}

/// Bytes a block of records with this payload takes in the log.
#[must_use]
pub fn span_of(payload_bytes: usize) -> u64 {
    (BLOCK_HEADER + payload_bytes + BLOCK_FOOTER).next_multiple_of(BLOCK_ALIGN) as u64
}

fn header_crc(log: LogId, header: &[u8; BLOCK_HEADER]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&log.0.to_le_bytes()), &header[..60])
}

/// The checksum an encoded header carries; the next block's chain.
#[must_use]
pub fn chain_of(header: &[u8; BLOCK_HEADER]) -> u32 {
    u32_at(header, 60)
}

/// The running checksum of a footer.
#[derive(Clone, Copy, Debug)]
pub struct FooterSum(u32);

impl FooterSum {
    /// Starts with the header's checksum.
    #[must_use]
    pub fn new(header: &[u8; BLOCK_HEADER]) -> Self {
        Self(crc32c::crc32c(&header[60..]))
    }

    /// Adds the header checksum of the record that `record` begins with.
    pub fn add(&mut self, record: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, record.get(92..RECORD_HEADER).unwrap_or_default());
    }

    /// The footer.
    #[must_use]
    pub fn encode(self) -> [u8; BLOCK_FOOTER] {
        let mut out = [0; BLOCK_FOOTER];
        out[..4].copy_from_slice(&self.0.to_le_bytes());
        out[4..].copy_from_slice(&FOOTER_MAGIC.to_le_bytes());
        out
    }
}

fn u32_at(b: &[u8; BLOCK_HEADER], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&b[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn u64_at(b: &[u8; BLOCK_HEADER], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOG: LogId = LogId(0x1234_5678_9abc_def0);

    fn any_header() -> impl Strategy<Value = BlockHeader> {
        let kind = prop_oneof![
            Just(BlockKind::Data),
            Just(BlockKind::System),
            Just(BlockKind::Mixed),
            Just(BlockKind::Pad),
            Just(BlockKind::Cut),
        ];
        (
            kind,
            0..1u64 << 50,
            any::<u64>(),
            any::<u64>(),
            1..1000u32,
            any::<i64>(),
            any::<u32>(),
            any::<u64>(),
        )
            .prop_map(
                |(kind, at, index, epoch, records, wall_ms, chain, durable)| {
                    let position = Position(at * BLOCK_ALIGN as u64);
                    let records = if kind.has_records() { records } else { 0 };
                    BlockHeader {
                        kind,
                        position,
                        index,
                        epoch,
                        payload_bytes: records * 104,
                        records,
                        wall_ms,
                        chain,
                        durable: Position(durable % (position.0 + 1)),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn headers_round_trip(header in any_header()) {
            prop_assert_eq!(BlockHeader::decode(&header.encode(LOG), LOG), Ok(header));
        }

        #[test]
        fn every_flipped_bit_is_noticed(header in any_header(), bit in 0..512usize) {
            let mut raw = header.encode(LOG);
            raw[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(BlockHeader::decode(&raw, LOG).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = BlockHeader::decode(&bytes, LOG);
        }

        #[test]
        fn a_header_of_another_log_is_refused(header in any_header(), other in any::<u64>()) {
            prop_assume!(other != LOG.0);
            prop_assert!(BlockHeader::decode(&header.encode(LogId(other)), LOG).is_err());
        }
    }
}
