//! Walking the log block by block, checking each against the one before. Shared by recovery, replay and verification.

use std::sync::Arc;

use bytes::Bytes;

use crate::io::{File, IoError};
use crate::record::{RECORD_HEADER, Record};
use crate::types::Position;

use super::block::{
    BLOCK_FOOTER, BLOCK_HEADER, BlockError, BlockHeader, BlockKind, FooterSum, chain_of,
};
use super::config::LogId;
use super::segment::{Mark, Segment};
use super::superblock::Hole;

/// Bytes read from a file at once.
const WINDOW: u64 = 2 << 20;

/// Finds segments by position.
pub(super) trait Segments {
    fn at(&self, position: Position) -> Option<Arc<Segment>>;
}

impl Segments for Vec<Arc<Segment>> {
    fn at(&self, position: Position) -> Option<Arc<Segment>> {
        let after = self.partition_point(|s| s.base() <= position);
        let found = self.get(after.checked_sub(1)?)?;
        found.holds(position).then(|| Arc::clone(found))
    }
}

/// A piece of one file, read ahead.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    at: u64,
    bytes: Bytes,
}

impl Window {
    /// `len` bytes of `file` at `at`, reading ahead as far as `limit`.
    pub(super) fn get(
        &mut self,
        file: &dyn File,
        at: u64,
        len: u64,
        limit: u64,
    ) -> Result<Bytes, IoError> {
        let have = self.at..self.at + self.bytes.len() as u64;
        if !(have.contains(&at) && at + len <= have.end) {
            let ahead = len.max(WINDOW.min(limit.saturating_sub(at)));
            let ahead = ahead.min(file.len().saturating_sub(at)).max(len);
            // Checked before anything is allocated: a length from a damaged header must not cost memory.
            if at.checked_add(ahead).is_none_or(|end| end > file.len()) {
                return Err(IoError::Bounds {
                    at,
                    len,
                    file_len: file.len(),
                });
            }
            let mut bytes = vec![0; ahead as usize];
            file.read_at(at, &mut bytes)?;
            *self = Self {
                at,
                bytes: bytes.into(),
            };
        }
        let from = (at - self.at) as usize;
        Ok(self.bytes.slice(from..from + len as usize))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Why a walk does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// No block that continues the log stands at the mark. `header` is there if it is whole and for this place.
    Invalid {
        why: BlockError,
        header: Option<BlockHeader>,
    },
    /// The segment that begins here has no header. The walk goes on if `entered` names it.
    Headless,
    /// No segment holds this position.
    NoSegment { at: Position },
    /// A range that was set aside. The walk goes on behind it.
    Isolated(Hole),
    /// The file cannot be read.
    Io(IoError),
}

/// A verified block of records.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    pub(super) header: BlockHeader,
    pub(super) payload: Bytes,
    /// Ranges inside the payload that were set aside.
    pub(super) holes: Vec<Hole>,
}

/// A position in the log and what the next block must fit.
#[derive(Debug)]
pub(super) struct Walker<S> {
    pub(super) segments: S,
    pub(super) holes: Vec<Hole>,
    pub(super) mark: Mark,
    /// False behind a gap or at an arbitrary block: the next header's chain and index are taken as they are.
    pub(super) is_linked: bool,
    /// From this position on only blocks of this epoch or a later one are real: the superblock that says so was
    /// durable before they were written.
    pub(super) floor: (Position, u64),
    /// Base of a segment without a header that may be walked.
    pub(super) entered: Option<Position>,
    log: LogId,
    current: Option<Arc<Segment>>,
    window: Window,
}

impl<S: Segments> Walker<S> {
    pub(super) fn new(
        segments: S,
        holes: Vec<Hole>,
        log: LogId,
        mark: Mark,
        is_linked: bool,
    ) -> Self {
        Self {
            segments,
            holes,
            mark,
            is_linked,
            floor: (Position::ZERO, 0),
            entered: None,
            log,
            current: None,
            window: Window::default(),
        }
    }

    /// Goes on at `position` without knowing what stood before it.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.mark.position = position;
        self.is_linked = false;
    }

    pub(super) fn segment(&mut self) -> Option<Arc<Segment>> {
        let at = self.mark.position;
        if self.current.as_ref().is_none_or(|s| !s.holds(at)) {
            self.current = self.segments.at(at);
            self.window.clear();
        }
        self.current.clone()
    }

    /// The next block of records that ends at or below `limit`; `None` at the limit.
    pub(super) fn step(&mut self, limit: Position) -> Result<Option<Walked>, Stop> {
        loop {
            let at = self.mark.position;
            if at >= limit {
                return Ok(None);
            }
            if let Some(hole) = self.holes.iter().find(|h| h.from <= at && at < h.to) {
                let hole = *hole;
                self.skip_to(hole.to);
                return Err(Stop::Isolated(hole));
            }
            let segment = self.segment().ok_or(Stop::NoSegment { at })?;
            if at == segment.base() {
                self.enter(&segment)?;
            }
            let (raw, header) = self.header(&segment, limit)?;
            let walked = match header.kind {
                BlockKind::Pad => None,
                kind if kind.has_records() => Some(self.records(&segment, &raw, header)?),
                _ => None,
            };
            segment.note_block(header.wall_ms);
            self.pass(&raw, &header);
            if walked.is_some() {
                return Ok(walked);
            }
        }
    }

    /// Moves behind a block.
    pub(super) fn pass(&mut self, raw: &[u8; BLOCK_HEADER], header: &BlockHeader) {
        self.mark = Mark {
            position: header.next(),
            chain: chain_of(raw),
            index: header.index.wrapping_add(1),
            epoch: header.epoch,
            wall_ms: header.wall_ms,
        };
        self.is_linked = true;
    }

    fn enter(&mut self, segment: &Segment) -> Result<(), Stop> {
        let entry = segment.header.entry;
        let at = self.mark.position;
        if !segment.has_header {
            let may_enter = self.entered == Some(at);
            return if may_enter {
                Ok(())
            } else {
                Err(Stop::Headless)
            };
        }
        if self.is_linked && (entry.chain, entry.index) != (self.mark.chain, self.mark.index) {
            let why = BlockError::Chain("segment");
            return Err(Stop::Invalid { why, header: None });
        }
        if !self.is_linked {
            self.mark = entry;
            self.is_linked = true;
        }
        Ok(())
    }

    /// Reads and checks the header at the mark, and that the block fits its place.
    pub(super) fn header(
        &mut self,
        segment: &Segment,
        limit: Position,
    ) -> Result<([u8; BLOCK_HEADER], BlockHeader), Stop> {
        let at = self.mark.position;
        let invalid = |why, header| Stop::Invalid { why, header };
        let limit = segment.offset(limit.min(segment.end()));
        let bytes = self.window.get(
            segment.file.as_ref(),
            segment.offset(at),
            BLOCK_HEADER as u64,
            limit,
        );
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(IoError::Bounds { .. }) => return Err(invalid(BlockError::Short, None)),
            Err(e) => return Err(Stop::Io(e)),
        };
        let header = BlockHeader::decode(&bytes, self.log).map_err(|e| invalid(e, None))?;
        if header.position != at {
            return Err(invalid(BlockError::Position, None));
        }
        let found = Some(header);
        let mark = &self.mark;
        if self.is_linked && header.chain != mark.chain {
            return Err(invalid(BlockError::Chain("chain"), found));
        }
        if self.is_linked && header.index != mark.index || header.index < mark.index {
            return Err(invalid(BlockError::Chain("index"), found));
        }
        let floor = if at >= self.floor.0 { self.floor.1 } else { 0 };
        if header.epoch < mark.epoch.max(floor) {
            return Err(invalid(BlockError::Chain("epoch"), found));
        }
        if header.wall_ms < mark.wall_ms {
            return Err(invalid(BlockError::Chain("wall clock"), found));
        }
        let room = segment.end().0 - at.0;
        let is_pad = header.kind == BlockKind::Pad;
        if header.span() > room || is_pad && header.span() != room {
            return Err(invalid(BlockError::Malformed("span"), found));
        }
        let mut raw = [0; BLOCK_HEADER];
        raw.copy_from_slice(&bytes);
        Ok((raw, header))
    }

    fn records(
        &mut self,
        segment: &Segment,
        raw: &[u8; BLOCK_HEADER],
        header: BlockHeader,
    ) -> Result<Walked, Stop> {
        let at = header.position;
        let invalid = |why| Stop::Invalid {
            why,
            header: Some(header),
        };
        let bytes = self.body(segment, &header).map_err(|e| match e {
            IoError::Bounds { .. } => invalid(BlockError::Short),
            e => Stop::Io(e),
        })?;
        let holes: Vec<Hole> = self
            .holes
            .iter()
            .filter(|h| h.meets(at, header.next()))
            .copied()
            .collect();
        let payload_bytes = header.payload_bytes as usize;
        let payload = bytes.slice(..payload_bytes);
        let mut sum = FooterSum::new(raw);
        let mut next = header.first_record();
        let mut rest: &[u8] = &payload;
        let mut seen = 0;
        while !rest.is_empty() {
            let skipped = match holes.iter().find(|h| h.from <= next && next < h.to) {
                Some(hole) => (hole.to.0 - next.0).min(rest.len() as u64) as usize,
                None => {
                    let record = Record::view(rest, next, true);
                    let record = record.map_err(|_| invalid(BlockError::Record))?;
                    sum.add(rest);
                    seen += 1;
                    record.bytes as usize
                }
            };
            next = next.plus(skipped as u64);
            rest = rest.get(skipped..).unwrap_or_default();
        }
        let footer = &bytes[payload_bytes..];
        if holes.is_empty() && (seen != header.records || footer != sum.encode()) {
            return Err(invalid(BlockError::Footer));
        }
        Ok(Walked {
            header,
            payload,
            holes,
        })
    }

    /// Payload and footer of a block.
    pub(super) fn body(
        &mut self,
        segment: &Segment,
        header: &BlockHeader,
    ) -> Result<Bytes, IoError> {
        let at = segment.offset(header.first_record());
        let len = u64::from(header.payload_bytes) + BLOCK_FOOTER as u64;
        let limit = segment.offset(segment.end());
        self.window.get(segment.file.as_ref(), at, len, limit)
    }
}

/// Ranges of a block's payload that no sound record covers, found by looking for the next record header that is whole
/// and for its place.
pub(super) fn unsound(payload: &[u8], first: Position) -> Vec<Hole> {
    let mut holes: Vec<Hole> = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let position = first.plus(at as u64);
        let rest = &payload[at..];
        let step = match Record::view(rest, position, true) {
            Ok(record) => {
                at += record.bytes as usize;
                continue;
            }
            // The header is sound and tells where the next record begins.
            Err(_) => match Record::view(rest, position, false) {
                Ok(record) => record.bytes as usize,
                Err(_) => RECORD_HEADER.min(rest.len()).min(8),
            },
        };
        let to = first.plus((at + step) as u64);
        match holes.last_mut().filter(|h| h.to == position) {
            Some(hole) => hole.to = to,
            None => holes.push(Hole { from: position, to }),
        }
        at += step;
    }
    holes
}
