//! What can be learnt from bytes that are not a whole log: later blocks that testify, and records that were lost.

use std::sync::Arc;

use crate::io::{Disk, Entry, File, IoError};
use crate::record::{RECORD_HEADER, Record, announced};
use crate::types::{Position, QueueId};

use super::FOLDER;
use super::block::{BLOCK_ALIGN, BlockHeader};
use super::config::LogId;
use super::segment::{Mark, SEGMENT_HEADER, SegmentHeader, base_of};
use super::walk::Window;

/// Most lost ranges named by one damage; more are only counted.
const LOST_MAX: usize = 4096;
/// Bytes searched at once.
const SEARCH_BYTES: u64 = 256 << 10;

/// What is wrong with a range of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// No block that continues the log.
    Block,
    /// Records inside a block whose header is sound.
    Records,
    /// The segment's file is missing or too short.
    Segment,
    /// The segment's header page; its blocks may be sound.
    Header,
}

/// Offsets of a queue whose records stood in a damaged range, as far as their headers can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRecords {
    /// The queue.
    pub queue: QueueId,
    /// First offset lost.
    pub offset: u64,
    /// Number of consecutive offsets lost.
    pub count: u64,
}

/// A damaged range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// First damaged position.
    pub from: Position,
    /// First position that is sound again.
    pub to: Position,
    /// What stood there, as far as it can be read.
    pub lost: Vec<LostRecords>,
    /// More was readable than is listed.
    pub is_lost_cut_short: bool,
}

impl Damage {
    pub(super) fn new(kind: DamageKind, from: Position, to: Position) -> Self {
        Self {
            kind,
            from,
            to,
            lost: Vec::new(),
            is_lost_cut_short: false,
        }
    }

    /// A damaged header page; no bytes of the log are lost by it.
    pub(super) fn header(base: Position) -> Self {
        Self::new(DamageKind::Header, base, base)
    }

    pub(super) fn list(damage: &[Self]) -> String {
        let one = |d: &Self| {
            let lost: Vec<_> = d
                .lost
                .iter()
                .map(|l| format!("{:?} {}..{}", l.queue, l.offset, l.offset + l.count))
                .collect();
            let readable = if lost.is_empty() {
                "nothing readable".into()
            } else {
                lost.join(" ")
            };
            format!("{:?} from {} to {} ({readable})", d.kind, d.from, d.to)
        };
        damage.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// A segment file as it was found, whatever its header says.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) base: Position,
    pub(super) file: Arc<dyn File>,
    /// The header page, if it is whole and fits name, length and log.
    pub(super) header: Option<SegmentHeader>,
}

impl Found {
    /// The end its length tells, which a damaged header cannot.
    pub(super) fn end(&self) -> Position {
        let blocks = self.file.len().saturating_sub(SEGMENT_HEADER);
        Position(
            self.base
                .0
                .saturating_add(blocks / BLOCK_ALIGN as u64 * BLOCK_ALIGN as u64),
        )
    }

    fn offset(&self, position: Position) -> u64 {
        SEGMENT_HEADER + position.0.saturating_sub(self.base.0)
    }
}

/// The segment files of a listing, by base.
pub(super) fn find(disk: &dyn Disk, log: LogId, files: &[Entry]) -> Result<Vec<Found>, IoError> {
    let mut found = Vec::new();
    for entry in files {
        let Some(base) = base_of(&entry.name) else {
            continue;
        };
        let file = disk.open(&entry.name)?;
        let header = SegmentHeader::read(file.as_ref())?.filter(|h| {
            h.log == log
                && h.entry.position == base
                && h.capacity.checked_add(SEGMENT_HEADER) == Some(file.len())
        });
        found.push(Found {
            name: entry.name.clone(),
            base,
            file,
            header,
        });
    }
    found.sort_by_key(|f| f.base);
    Ok(found)
}

pub(super) fn list(disk: &dyn Disk) -> Result<Vec<Entry>, IoError> {
    disk.list(FOLDER)
}

/// What later blocks say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// Highest durable position a later block was sealed with.
    pub(super) durable: Position,
    /// Highest epoch of a later block.
    pub(super) epoch: u64,
    /// First later block that can be part of the log.
    pub(super) next: Option<Position>,
    /// A block that was not cut off before is left at or behind the place.
    pub(super) has_leftovers: bool,
}

/// Looks for block headers of this log at or behind `mark`, in the rest of its segment and in all later ones, reading at
/// most `limit` bytes. Blocks that an earlier recovery cut off are told by `floor` (see [`super::walk::Walker`]).
pub(super) fn search(
    segments: &[Found],
    log: LogId,
    mark: &Mark,
    floor: (Position, u64),
    limit: u64,
) -> Result<Evidence, IoError> {
    let mut evidence = Evidence::default();
    let mut left = limit;
    let mut buffer = Vec::new();
    for segment in segments {
        let mut at = segment.base.max(mark.position);
        while at < segment.end() && left > 0 {
            let bytes = (segment.end().0 - at.0).min(SEARCH_BYTES);
            buffer.resize(bytes as usize, 0);
            segment.file.read_at(segment.offset(at), &mut buffer)?;
            for sector in buffer.chunks_exact(BLOCK_ALIGN) {
                if let Ok(header) = BlockHeader::decode(sector, log)
                    && header.position == at
                {
                    evidence.note(&header, mark, floor);
                }
                at = at.plus(BLOCK_ALIGN as u64);
            }
            left = left.saturating_sub(bytes);
        }
    }
    Ok(evidence)
}

impl Evidence {
    fn note(&mut self, header: &BlockHeader, mark: &Mark, floor: (Position, u64)) {
        let at = header.position;
        let floor = if at >= floor.0 { floor.1 } else { 0 };
        let is_stale = header.epoch < mark.epoch.max(floor);
        self.has_leftovers |= !is_stale;
        self.durable = self.durable.max(header.durable);
        self.epoch = self.epoch.max(header.epoch);
        let is_newer = !is_stale && header.index > mark.index;
        if at > mark.position && is_newer && self.next.is_none() {
            self.next = Some(at);
        }
    }
}

/// Names the records in a range whose headers can be read.
pub(super) fn name_lost(segments: &[Found], damage: &mut Damage) -> Result<(), IoError> {
    let (from, to) = (damage.from, damage.to);
    for segment in segments.iter().filter(|s| s.base < to && from < s.end()) {
        let (mut at, end) = (segment.base.max(from), segment.end().min(to));
        at = Position(at.0.next_multiple_of(8));
        let mut window = Window::default();
        let limit = segment.offset(segment.end());
        while at.plus(RECORD_HEADER as u64) <= end {
            let file = segment.file.as_ref();
            let offset = segment.offset(at);
            let head = window.get(file, offset, RECORD_HEADER as u64, limit)?;
            let mut step = 8;
            if head[8..16] == at.0.to_le_bytes()
                && let Ok(total) = announced(&head)
                && offset + total as u64 <= limit
            {
                let bytes = window.get(file, offset, total as u64, limit)?;
                if let Ok(record) = Record::view(&bytes, at, false) {
                    add_lost(damage, &record);
                    step = total as u64;
                }
            }
            at = at.plus(step);
        }
    }
    Ok(())
}

fn add_lost(damage: &mut Damage, record: &Record<&[u8]>) {
    let own = (record.queue, record.offset, u64::from(record.count));
    let others = record.dispatch().map(|(queue, offset)| (queue, offset, 1));
    for (queue, offset, count) in std::iter::once(own).chain(others) {
        if queue.is_none() {
            continue;
        }
        // Neighbours are close together; looking at a few keeps naming linear.
        let recent = damage.lost.len().saturating_sub(16);
        let follows = |l: &LostRecords| l.queue == queue && l.offset + l.count == offset;
        let at = damage.lost.iter().skip(recent).position(follows);
        if let Some(lost) = at.and_then(|at| damage.lost.get_mut(recent + at)) {
            lost.count += count;
        } else if damage.lost.len() < LOST_MAX {
            let lost = LostRecords {
                queue,
                offset,
                count,
            };
            damage.lost.push(lost);
        } else {
            damage.is_lost_cut_short = true;
        }
    }
}
