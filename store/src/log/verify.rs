//! Checking a closed log from its start to its end, and setting damaged ranges aside when an operator says so.
//!
//! [`verify`] changes nothing. [`repair`] records every damaged range in the superblock, rebuilds damaged segment headers
//! and short files, and lets the log open again; reads of those ranges answer *damaged* for ever. It is never run by
//! itself: what is set aside was acknowledged to somebody.

use std::sync::Arc;

use crate::io::{Disk, IoError};
use crate::record::RECORD_MAX;
use crate::types::Position;

use super::FOLDER;
use super::block::{BLOCK_FOOTER, BlockError, BlockHeader};
use super::config::LogId;
use super::error::OpenError;
use super::evidence::{Damage, DamageKind, Evidence, Found, find, list, name_lost, search};
use super::recover::make_durable;
use super::segment::{Mark, SEGMENT_HEADER, Segment, SegmentHeader};
use super::superblock::{HOLES_MAX, Hole, Superblock, SuperblockFile};
use super::walk::{Stop, Walker, unsound};

/// Bytes copied at once when a file is rebuilt.
const COPY: u64 = 1 << 20;

/// What a check of the whole log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// First position.
    pub start: Position,
    /// End of the log.
    pub end: Position,
    /// Position up to which the log was durable for certain.
    pub durable: Position,
    /// Sound blocks with records.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// Damage below the durable position that is not set aside.
    pub damage: Vec<Damage>,
    /// Ranges that were set aside before.
    pub isolated: Vec<(Position, Position)>,
    /// Un-synced leftovers stand behind the end; opening cuts them.
    pub is_tail_torn: bool,
}

/// Checks every block and record of a closed log.
///
/// # Errors
/// There is no log, or a file cannot be read. Damage is not an error but part of the report.
pub fn verify(disk: &dyn Disk) -> Result<Report, OpenError> {
    let superblock = SuperblockFile::open(disk)?.ok_or(OpenError::Superblock)?;
    Ok(Survey::of(disk, superblock.state)?.report)
}

/// Sets every damaged range of a closed log aside, so that it opens again. Returns what [`verify`] found before.
///
/// # Errors
/// There is no log, a file cannot be read or written, or there are too many separate damages.
pub fn repair(disk: &dyn Disk) -> Result<Report, OpenError> {
    let mut superblock = SuperblockFile::open(disk)?.ok_or(OpenError::Superblock)?;
    let survey = Survey::of(disk, superblock.state.clone())?;
    if survey.report.damage.is_empty() {
        return Ok(survey.report);
    }
    if survey.walker.holes.len() > HOLES_MAX {
        return Err(OpenError::TooMuchDamage);
    }
    for rebuild in &survey.rebuilds {
        rebuild.run(disk)?;
    }
    let (from, to) = (superblock.state.durable.position, survey.report.end);
    // A short file was copied and synced when it was rebuilt.
    let mut segments = survey.walker.segments;
    segments.retain(|s| s.file.len() == s.header.capacity + SEGMENT_HEADER);
    make_durable(disk, &segments, from.min(to), to)?;
    let state = &mut superblock.state;
    state.holes = survey.walker.holes;
    if state.durable.position != to {
        state.durable = survey.walker.mark;
    }
    // What stands behind the end belongs to an earlier epoch from now on.
    state.epoch = state.epoch.max(survey.epoch) + 1;
    state.is_clean = false;
    superblock.write()?;
    superblock.write()?;
    SuperblockFile::sync_name(disk)?;
    Ok(survey.report)
}

/// A segment file whose header page or length has to be made right.
struct Rebuild {
    name: String,
    file: Arc<dyn crate::io::File>,
    header: SegmentHeader,
}

impl Rebuild {
    fn run(&self, disk: &dyn Disk) -> Result<(), IoError> {
        let len = self.header.capacity + SEGMENT_HEADER;
        if self.file.len() == len {
            self.file.write_at(0, &self.header.encode())?;
            return self.file.sync_data();
        }
        // Not the name of a segment: if this is interrupted, opening removes it.
        let name = format!("{FOLDER}/fill-0");
        match disk.remove(&name) {
            Ok(()) | Err(IoError::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
        let whole = disk.create(&name, len)?;
        let mut at = 0;
        let mut buffer = Vec::new();
        while at < self.file.len().min(len) {
            buffer.resize((self.file.len().min(len) - at).min(COPY) as usize, 0);
            self.file.read_at(at, &mut buffer)?;
            whole.write_at(at, &buffer)?;
            at += buffer.len() as u64;
        }
        whole.write_at(0, &self.header.encode())?;
        whole.sync_data()?;
        disk.rename(&name, &self.name)?;
        disk.sync_dir(FOLDER)
    }
}

struct Survey {
    state: Superblock,
    found: Vec<Found>,
    walker: Walker<Vec<Arc<Segment>>>,
    rebuilds: Vec<Rebuild>,
    epoch: u64,
    report: Report,
}

impl Survey {
    fn of(disk: &dyn Disk, state: Superblock) -> Result<Self, OpenError> {
        let found = find(disk, state.log_id, &list(disk)?)?;
        let found: Vec<_> = found
            .into_iter()
            .filter(|f| f.base >= state.start)
            .collect();
        let mut segments = Vec::new();
        for (at, file) in found.iter().enumerate() {
            segments.push(Arc::new(piece_together(
                state.log_id,
                file,
                found.get(at + 1),
            )?));
        }
        let mark = Mark {
            wall_ms: i64::MIN,
            ..Mark::default()
        };
        let mut walker = Walker::new(segments, state.holes.clone(), state.log_id, mark, false);
        walker.floor = (state.durable.position, state.epoch);
        walker.skip_to(state.start);
        let report = Report {
            start: state.start,
            end: state.start,
            durable: state.durable.position,
            blocks: 0,
            records: 0,
            damage: Vec::new(),
            isolated: state.holes.iter().map(|h| (h.from, h.to)).collect(),
            is_tail_torn: false,
        };
        let epoch = state.epoch;
        let mut survey = Self {
            state,
            found,
            walker,
            rebuilds: Vec::new(),
            epoch,
            report,
        };
        survey.walk()?;
        survey.note_skipped_segments();
        Ok(survey)
    }

    /// Headers of segments whose beginning lies in a range that was skipped. What stands behind that range needs them.
    fn note_skipped_segments(&mut self) {
        let (start, end) = (self.report.start, self.report.end);
        let noted = |name: &str, rebuilds: &[Rebuild]| rebuilds.iter().any(|r| r.name == name);
        for (file, segment) in self.found.iter().zip(&self.walker.segments) {
            let is_in_log = file.base >= start && file.base < end;
            if file.header.is_some() || !is_in_log || noted(&file.name, &self.rebuilds) {
                continue;
            }
            self.rebuilds.push(Rebuild {
                name: file.name.clone(),
                file: Arc::clone(&file.file),
                header: segment.header,
            });
            self.report.damage.push(Damage::header(file.base));
        }
    }

    fn walk(&mut self) -> Result<(), OpenError> {
        loop {
            let stop = match self.walker.step(Position(u64::MAX)) {
                Ok(Some(walked)) => {
                    self.report.blocks += 1;
                    self.report.records += u64::from(walked.header.records);
                    self.epoch = self.epoch.max(walked.header.epoch);
                    continue;
                }
                Ok(None) => return Ok(()),
                Err(stop) => stop,
            };
            let (header, why) = match stop {
                Stop::Isolated(_) => continue,
                Stop::Headless => {
                    if !self.note_segment()? {
                        return Ok(());
                    }
                    continue;
                }
                Stop::Io(e) => return Err(e.into()),
                Stop::NoSegment { .. } => (None, None),
                Stop::Invalid { header, why, .. } => (header, Some(why)),
            };
            let evidence = self.search()?;
            if self.ends_here(&evidence) {
                return Ok(());
            }
            let is_in_payload = matches!(why, Some(BlockError::Record | BlockError::Footer));
            match header.filter(|_| is_in_payload) {
                Some(header) => self.isolate_records(&header)?,
                None => self.isolate_blocks(&evidence, why.is_none())?,
            }
        }
    }

    /// True if the log ends at the mark; then the report is complete.
    fn ends_here(&mut self, evidence: &Evidence) -> bool {
        let at = self.walker.mark.position;
        self.report.durable = self.report.durable.max(evidence.durable);
        self.report.end = at;
        self.report.is_tail_torn = evidence.has_leftovers;
        self.epoch = self.epoch.max(evidence.epoch);
        self.report.durable <= at
    }

    fn search(&self) -> Result<Evidence, IoError> {
        let walker = &self.walker;
        let log = self.state.log_id;
        search(&self.found, log, &walker.mark, walker.floor, u64::MAX)
    }

    /// Notes the segment without a header at the mark and lets the walk in. False if the log ends before it.
    fn note_segment(&mut self) -> Result<bool, OpenError> {
        let at = self.walker.mark.position;
        self.walker.entered = Some(at);
        let Some(file) = self.found.iter().find(|f| f.base == at) else {
            return Ok(true);
        };
        let (name, file) = (file.name.clone(), Arc::clone(&file.file));
        let evidence = self.search()?;
        if self.ends_here(&evidence) {
            return Ok(false);
        }
        let Some(segment) = self.walker.segment() else {
            return Ok(true);
        };
        let mut header = segment.header;
        if self.walker.is_linked {
            header.entry = self.walker.mark;
        } else if let Ok((_, first)) = self.walker.header(&segment, segment.end()) {
            header.entry.chain = first.chain;
            header.entry.index = first.index;
            header.entry.epoch = first.epoch;
            header.entry.wall_ms = first.wall_ms;
        }
        self.rebuilds.push(Rebuild { name, file, header });
        self.report.damage.push(Damage::header(at));
        Ok(true)
    }

    /// Sets the damaged records of the block at the mark aside; its other records stay readable.
    fn isolate_records(&mut self, header: &BlockHeader) -> Result<(), OpenError> {
        let Some(segment) = self.walker.segment() else {
            let (from, to) = (header.position, header.next());
            return self.set_aside(DamageKind::Block, Hole { from, to });
        };
        let body = self.walker.body(&segment, header)?;
        let payload = &body[..(header.payload_bytes as usize).min(RECORD_MAX)];
        let known = self.walker.holes.len();
        for hole in unsound(payload, header.first_record()) {
            if !self
                .walker
                .holes
                .iter()
                .any(|h| h.from <= hole.from && hole.to <= h.to)
            {
                self.set_aside(DamageKind::Records, hole)?;
            }
        }
        if self.walker.holes.len() == known {
            let from = header.first_record().plus(u64::from(header.payload_bytes));
            let mut hole = Hole {
                from,
                to: from.plus(BLOCK_FOOTER as u64),
            };
            if self.walker.holes.contains(&hole) {
                hole = Hole {
                    from: header.position,
                    to: header.next(),
                };
            }
            self.set_aside(DamageKind::Records, hole)?;
        }
        Ok(())
    }

    /// Sets everything from the mark to the next block of the log aside.
    fn isolate_blocks(
        &mut self,
        evidence: &Evidence,
        is_segment_gone: bool,
    ) -> Result<(), OpenError> {
        let from = self.walker.mark.position;
        let to = evidence.next.unwrap_or(self.report.durable);
        let kind = if is_segment_gone {
            DamageKind::Segment
        } else {
            DamageKind::Block
        };
        self.set_aside(kind, Hole { from, to })
    }

    fn set_aside(&mut self, kind: DamageKind, hole: Hole) -> Result<(), OpenError> {
        let Hole { from, to } = hole;
        let mut damage = Damage::new(kind, from, to);
        name_lost(&self.found, &mut damage)?;
        self.report.damage.push(damage);
        let holes = &mut self.walker.holes;
        holes.push(hole);
        holes.sort_by_key(|h| h.from);
        Ok(())
    }
}

/// A segment from whatever can be read of it: its header page, its name, its length and its neighbour.
fn piece_together(log: LogId, file: &Found, next: Option<&Found>) -> Result<Segment, IoError> {
    let page = SegmentHeader::read(file.file.as_ref())?;
    let page = page.filter(|h| h.log == log && h.entry.position == file.base);
    let has_header = page.is_some();
    let header = page.unwrap_or_else(|| SegmentHeader {
        log,
        capacity: match next {
            Some(next) => next.base.0 - file.base.0,
            None => file.end().0 - file.base.0,
        },
        created_ms: 0,
        entry: Mark {
            position: file.base,
            wall_ms: i64::MIN,
            ..Mark::default()
        },
    });
    Ok(Segment::new(header, has_header, Arc::clone(&file.file)))
}
