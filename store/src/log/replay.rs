//! Reading the log in order: verified blocks and their records, for rebuilding what is derived from them.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::Record;
use crate::types::Position;

use super::block::BlockHeader;
use super::error::ReadError;
use super::reader::Shared;
use super::segment::{Mark, Segment};
use super::superblock::Hole;
use super::walk::{Segments, Stop, Walked, Walker};

/// A verified block with records.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its header.
    pub header: BlockHeader,
    payload: Bytes,
    holes: Vec<Hole>,
}

impl From<Walked> for Block {
    fn from(walked: Walked) -> Self {
        Self {
            header: walked.header,
            payload: walked.payload,
            holes: walked.holes,
        }
    }
}

impl Block {
    /// The records, in order, as slices of what was read. A range that a repair set aside shows as one error; the
    /// records behind it follow.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { block: self, at: 0 }
    }

    /// Where the next block stands; what a view that applied this block has applied.
    #[must_use]
    pub fn next(&self) -> Position {
        self.header.next()
    }
}

/// Iterator over the records of a block.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    block: &'a Block,
    at: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let payload = &self.block.payload;
        if self.at >= payload.len() {
            return None;
        }
        let position = self.block.header.first_record().plus(self.at as u64);
        let hole = self
            .block
            .holes
            .iter()
            .find(|h| h.from <= position && position < h.to);
        if let Some(hole) = hole {
            self.at += (hole.to.0 - position.0) as usize;
            return Some(Err(isolated(*hole)));
        }
        // The body was verified when the block was read.
        match Record::decode(&payload.slice(self.at..), position, false) {
            Ok(record) => {
                self.at += record.bytes as usize;
                Some(Ok(record))
            }
            Err(_) => {
                self.at = payload.len();
                Some(Err(ReadError::Damaged {
                    from: position,
                    to: position,
                    isolated: false,
                }))
            }
        }
    }
}

fn isolated(hole: Hole) -> ReadError {
    ReadError::Damaged {
        from: hole.from,
        to: hole.to,
        isolated: true,
    }
}

impl Segments for Arc<Shared> {
    fn at(&self, position: Position) -> Option<Arc<Segment>> {
        self.segment(position)
    }
}

/// Iterator over the blocks that were written when it is asked; it ends at the written mark and goes on when more was
/// written. After an error that is not an isolated range it stays where it is.
#[derive(Debug)]
pub struct Blocks {
    walker: Walker<Arc<Shared>>,
    is_stuck: bool,
}

impl Blocks {
    pub(super) fn new(shared: &Arc<Shared>, from: Position) -> Self {
        let mark = Mark {
            position: from,
            wall_ms: i64::MIN,
            ..Mark::default()
        };
        let walker = Walker::new(Arc::clone(shared), shared.holes(), shared.log, mark, false);
        Self {
            walker,
            is_stuck: false,
        }
    }

    /// Where the next block is looked for.
    #[must_use]
    pub fn next_position(&self) -> Position {
        self.walker.mark.position
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_stuck {
            return None;
        }
        let end = self.walker.segments.written();
        let error = match self.walker.step(end) {
            Ok(walked) => return walked.map(Block::from).map(Ok),
            Err(Stop::Isolated(hole)) => return Some(Err(isolated(hole))),
            Err(Stop::Io(e)) => ReadError::Io(e),
            Err(Stop::NoSegment { at }) if at < self.walker.segments.start() => {
                let start = self.walker.segments.start();
                ReadError::TooOld { start }
            }
            Err(Stop::Invalid { .. } | Stop::Headless | Stop::NoSegment { .. }) => {
                let at = self.next_position();
                ReadError::Damaged {
                    from: at,
                    to: at,
                    isolated: false,
                }
            }
        };
        self.is_stuck = true;
        Some(Err(error))
    }
}
