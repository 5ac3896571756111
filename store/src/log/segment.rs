//! One segment: a file of fixed length with a header page and blocks. Shared, immutable but for its times and mapping.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::io::{File, IoError, Mapping};
use crate::types::Position;

use super::FOLDER;
use super::block::BLOCK_ALIGN;
use super::config::{LogId, SEGMENT_BYTES_LIMIT};

/// Bytes of the header page.
pub(super) const SEGMENT_HEADER: u64 = 4096;
const PAGE: usize = SEGMENT_HEADER as usize;
const MAGIC: u64 = 0x3147_4553_4B43_4F44;
const VERSION: u32 = 1;

/// Where the log stands between two blocks: everything the next block must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// Where the next block stands.
    pub(super) position: Position,
    /// Header checksum of the last block.
    pub(super) chain: u32,
    /// Number of the next block.
    pub(super) index: u64,
    /// Epoch of the last block.
    pub(super) epoch: u64,
    /// Wall clock of the last block.
    pub(super) wall_ms: i64,
}

/// The header page of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log: LogId,
    /// Bytes for blocks.
    pub(super) capacity: u64,
    pub(super) created_ms: i64,
    /// The log at the base of the segment.
    pub(super) entry: Mark,
}

pub(super) fn put(page: &mut [u8; PAGE], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(super) fn get<const N: usize>(page: &[u8; PAGE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&page[at..at + N]);
    out
}

pub(super) fn seal(page: &mut [u8; PAGE]) {
    let crc = crc32c::crc32c(&page[..PAGE - 4]);
    page[PAGE - 4..].copy_from_slice(&crc.to_le_bytes());
}

pub(super) fn is_sealed(page: &[u8; PAGE]) -> bool {
    crc32c::crc32c(&page[..PAGE - 4]).to_le_bytes() == page[PAGE - 4..]
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        put(&mut page, 0, &MAGIC.to_le_bytes());
        put(&mut page, 8, &VERSION.to_le_bytes());
        put(&mut page, 16, &self.log.0.to_le_bytes());
        put(&mut page, 24, &self.entry.position.0.to_le_bytes());
        put(&mut page, 32, &self.capacity.to_le_bytes());
        put(&mut page, 40, &self.created_ms.to_le_bytes());
        put(&mut page, 48, &self.entry.chain.to_le_bytes());
        put(&mut page, 56, &self.entry.index.to_le_bytes());
        put(&mut page, 64, &self.entry.epoch.to_le_bytes());
        put(&mut page, 72, &self.entry.wall_ms.to_le_bytes());
        seal(&mut page);
        page
    }

    /// The header in `page`, if it is whole.
    pub(super) fn decode(page: &[u8; PAGE]) -> Option<Self> {
        if !is_sealed(page)
            || u64::from_le_bytes(get(page, 0)) != MAGIC
            || u32::from_le_bytes(get(page, 8)) != VERSION
        {
            return None;
        }
        let header = Self {
            log: LogId(u64::from_le_bytes(get(page, 16))),
            capacity: u64::from_le_bytes(get(page, 32)),
            created_ms: i64::from_le_bytes(get(page, 40)),
            entry: Mark {
                position: Position(u64::from_le_bytes(get(page, 24))),
                chain: u32::from_le_bytes(get(page, 48)),
                index: u64::from_le_bytes(get(page, 56)),
                epoch: u64::from_le_bytes(get(page, 64)),
                wall_ms: i64::from_le_bytes(get(page, 72)),
            },
        };
        let aligned = |n: u64| n.is_multiple_of(BLOCK_ALIGN as u64);
        let sane = aligned(header.capacity)
            && aligned(header.entry.position.0)
            && (1..=SEGMENT_BYTES_LIMIT).contains(&header.capacity)
            && header
                .entry
                .position
                .0
                .checked_add(header.capacity)
                .is_some();
        sane.then_some(header)
    }

    pub(super) fn read(file: &dyn File) -> Result<Option<Self>, IoError> {
        let mut page = [0; PAGE];
        match file.read_at(0, &mut page) {
            Ok(()) => Ok(Self::decode(&page)),
            Err(IoError::Bounds { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

pub(super) fn name_of(base: Position) -> String {
    format!("{FOLDER}/{:020}", base.0)
}

/// The base position a file name tells, if it is a segment's.
pub(super) fn base_of(name: &str) -> Option<Position> {
    let digits = name.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(Position)).flatten()
}

/// A segment that holds, or will hold, blocks.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    /// False if the header page could not be read and `header` was pieced together.
    pub(super) has_header: bool,
    pub(super) file: Arc<dyn File>,
    mapping: OnceLock<Arc<dyn Mapping>>,
    /// Wall clock of the first block; `i64::MIN` if none was seen.
    first_ms: AtomicI64,
    last_ms: AtomicI64,
}

impl Segment {
    pub(super) fn new(header: SegmentHeader, has_header: bool, file: Arc<dyn File>) -> Self {
        Self {
            header,
            has_header,
            file,
            mapping: OnceLock::new(),
            first_ms: AtomicI64::new(i64::MIN),
            last_ms: AtomicI64::new(header.entry.wall_ms),
        }
    }

    pub(super) fn base(&self) -> Position {
        self.header.entry.position
    }

    pub(super) fn end(&self) -> Position {
        self.base().plus(self.header.capacity)
    }

    pub(super) fn holds(&self, position: Position) -> bool {
        (self.base()..self.end()).contains(&position)
    }

    pub(super) fn name(&self) -> String {
        name_of(self.base())
    }

    /// Offset in the file of a position this segment holds.
    pub(super) fn offset(&self, position: Position) -> u64 {
        SEGMENT_HEADER + position.0.saturating_sub(self.base().0)
    }

    pub(super) fn mapping(&self) -> Result<Arc<dyn Mapping>, IoError> {
        if let Some(mapping) = self.mapping.get() {
            return Ok(Arc::clone(mapping));
        }
        let made = self.file.map()?;
        Ok(Arc::clone(self.mapping.get_or_init(|| made)))
    }

    /// Gives the file up for reuse if no slice of it is alive.
    pub(super) fn into_unread_file(self) -> Option<Arc<dyn File>> {
        let Self { file, mapping, .. } = self;
        match mapping.into_inner() {
            Some(mapping) if Arc::strong_count(&mapping) > 1 => None,
            _ => Some(file),
        }
    }

    pub(super) fn note_block(&self, wall_ms: i64) {
        let unset = self.first_ms.load(Ordering::Relaxed) == i64::MIN;
        if unset {
            self.first_ms.store(wall_ms, Ordering::Relaxed);
        }
        self.note_last(wall_ms);
    }

    pub(super) fn note_last(&self, wall_ms: i64) {
        self.last_ms.fetch_max(wall_ms, Ordering::Relaxed);
    }

    /// Wall clocks of the first and the last block, as closely as they are known.
    pub(super) fn times(&self) -> (i64, i64) {
        let first = self.first_ms.load(Ordering::Relaxed);
        let first = if first == i64::MIN {
            self.header.entry.wall_ms
        } else {
            first
        };
        (first, self.last_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            log: LogId(7),
            capacity: 8192,
            created_ms: 5,
            entry: Mark {
                position: Position(1024),
                chain: 9,
                index: 3,
                epoch: 2,
                wall_ms: 77,
            },
        }
    }

    #[test]
    fn header_pages_round_trip() {
        assert_eq!(SegmentHeader::decode(&header().encode()), Some(header()));
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_page_is_noticed() {
        for at in (0..PAGE).step_by(7) {
            let mut page = header().encode();
            page[at] ^= 1;
            assert_eq!(SegmentHeader::decode(&page), None, "byte {at}");
        }
    }

    #[test]
    fn names_tell_bases() {
        assert_eq!(base_of(&name_of(Position(1024))), Some(Position(1024)));
        for other in [
            "log/free-1",
            "log/1",
            "superblock",
            "log/000000000000000000x0",
        ] {
            assert_eq!(base_of(other), None);
        }
    }
}
