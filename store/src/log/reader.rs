//! Reading what was written, by position, from any thread, while the writer goes on.
//!
//! The writer owns the marks and the table of segments in [`Shared`]; readers look at them. A range below the written
//! mark never changes, so a slice of the mapping is as good as a copy; the segment stays in place while one is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::record::RECORD_MAX;
use crate::types::Position;

use super::config::LogId;
use super::error::ReadError;
use super::replay::Blocks;
use super::segment::Segment;
use super::superblock::Hole;
use super::walk::Segments;

/// Most bytes of one read.
const READ_MAX: usize = RECORD_MAX;

/// What the writer publishes.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) log: LogId,
    start: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By base; gaps only where a repair set ranges aside.
    segments: Vec<Arc<Segment>>,
    holes: Vec<Hole>,
}

impl Shared {
    pub(super) fn new(
        log: LogId,
        start: Position,
        end: Position,
        segments: Vec<Arc<Segment>>,
        holes: Vec<Hole>,
    ) -> Self {
        Self {
            log,
            start: AtomicU64::new(start.0),
            written: AtomicU64::new(end.0),
            durable: AtomicU64::new(end.0),
            table: RwLock::new(Table { segments, holes }),
        }
    }

    pub(super) fn start(&self) -> Position {
        Position(self.start.load(Ordering::Acquire))
    }

    pub(super) fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    pub(super) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn publish_written(&self, position: Position) {
        self.written.store(position.0, Ordering::Release);
    }

    pub(super) fn publish_durable(&self, position: Position) {
        self.durable.store(position.0, Ordering::Release);
    }

    pub(super) fn segment(&self, position: Position) -> Option<Arc<Segment>> {
        self.table.read().segments.at(position)
    }

    pub(super) fn holes(&self) -> Vec<Hole> {
        self.table.read().holes.clone()
    }

    pub(super) fn add(&self, segment: Arc<Segment>) {
        self.table.write().segments.push(segment);
    }

    /// Where the log would start if everything that ends at or below `before` went.
    pub(super) fn start_after_trim(&self, before: Position) -> Position {
        let table = self.table.read();
        let kept = table.segments.iter().find(|s| s.end() > before);
        kept.map_or_else(|| self.start(), |s| s.base())
    }

    /// Moves the start and takes out the segments below it.
    pub(super) fn trim(&self, start: Position) -> Vec<Arc<Segment>> {
        self.start.store(start.0, Ordering::Release);
        let mut table = self.table.write();
        table.holes.retain(|h| h.to > start);
        let kept = table.segments.partition_point(|s| s.end() <= start);
        table.segments.drain(..kept).collect()
    }

    fn views(&self) -> Vec<SegmentView> {
        let written = self.written();
        let table = self.table.read();
        let view = |s: &Arc<Segment>| {
            let (first_ms, last_ms) = s.times();
            SegmentView {
                base: s.base(),
                end: s.end(),
                file_bytes: s.file.len(),
                written_bytes: written.min(s.end()).0.saturating_sub(s.base().0),
                created_ms: s.header.created_ms,
                first_ms,
                last_ms,
            }
        };
        table.segments.iter().map(view).collect()
    }
}

/// A segment as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentView {
    /// First position.
    pub base: Position,
    /// First position of the next segment.
    pub end: Position,
    /// Bytes the file takes on disk.
    pub file_bytes: u64,
    /// Bytes of the log in it.
    pub written_bytes: u64,
    /// When the file became this segment.
    pub created_ms: i64,
    /// Store time of the first block, or of the block before it.
    pub first_ms: i64,
    /// Store time of the last block known.
    pub last_ms: i64,
}

/// Reads the log by position. Cheap to clone, used by any number of threads.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }

    /// First position that was not trimmed.
    #[must_use]
    pub fn start(&self) -> Position {
        self.shared.start()
    }

    /// First position that was not written.
    #[must_use]
    pub fn end(&self) -> Position {
        self.shared.written()
    }

    /// First position that is not known to be durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.shared.durable()
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentView> {
        self.shared.views()
    }

    /// The blocks from `from` on, which must be the start of the log or where a block ended.
    #[must_use]
    pub fn blocks(&self, from: Position) -> Blocks {
        Blocks::new(&self.shared, from)
    }

    fn locate(&self, position: Position, len: usize) -> Result<Arc<Segment>, ReadError> {
        let end = self.shared.written();
        if len > READ_MAX {
            return Err(ReadError::Range);
        }
        let to = position
            .0
            .checked_add(len as u64)
            .map(Position)
            .ok_or(ReadError::Range)?;
        if to > end {
            return Err(ReadError::Beyond { end });
        }
        let table = self.shared.table.read();
        let start = self.shared.start();
        if position < start {
            return Err(ReadError::TooOld { start });
        }
        if let Some(hole) = table.holes.iter().find(|h| h.meets(position, to)) {
            return Err(ReadError::Damaged {
                from: hole.from,
                to: hole.to,
                isolated: true,
            });
        }
        let segment = table.segments.at(position).ok_or(ReadError::Range)?;
        if to > segment.end() {
            Err(ReadError::Range)
        } else {
            Ok(segment)
        }
    }

    /// A slice of the mapped log, without a copy. May wait for the disk; see [`LogReader::is_hot`].
    ///
    /// # Errors
    /// The range is not readable.
    pub fn read(&self, position: Position, len: usize) -> Result<Bytes, ReadError> {
        let segment = self.locate(position, len)?;
        Ok(segment.mapping()?.slice(segment.offset(position), len)?)
    }

    /// The same bytes in memory of their own, read with a call that reports a failing disk as an error.
    ///
    /// # Errors
    /// The range is not readable.
    pub fn read_cold(&self, position: Position, len: usize) -> Result<Bytes, ReadError> {
        let segment = self.locate(position, len)?;
        let mut bytes = vec![0; len];
        segment.file.read_at(segment.offset(position), &mut bytes)?;
        Ok(bytes.into())
    }

    /// A hint whether [`LogReader::read`] would be answered from memory.
    #[must_use]
    pub fn is_hot(&self, position: Position, len: usize) -> bool {
        self.locate(position, len)
            .is_ok_and(|segment| segment.file.is_resident(segment.offset(position), len))
    }
}
