//! Opening a log: where did it end, is everything below the durable mark there, and what is left over behind the end.
//!
//! Recovery changes nothing before it has decided to open. It then makes the accepted end durable, starts a new epoch
//! and writes a cut over what an earlier epoch left behind, so that it can never be taken for part of the log.

use std::sync::Arc;

use crate::io::{Clock, Disk, IoError};
use crate::types::Position;

use super::FOLDER;
use super::block::{BLOCK_ALIGN, BLOCK_HEADER, BlockHeader, BlockKind};
use super::config::LogConfig;
use super::error::OpenError;
use super::evidence::{Damage, DamageKind, Evidence, Found, find, list, name_lost, search};
use super::pool::{Pool, is_spare};
use super::reader::Shared;
use super::segment::{Mark, Segment};
use super::superblock::{Hole, Superblock, SuperblockFile};
use super::walk::{Segments, Stop, Walker};
use super::writer::{Parts, mark_after};

/// Bytes rewritten at once when the accepted tail is made durable.
const REWRITE: u64 = 1 << 20;

/// What was left behind the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the log was cut.
    pub at: Position,
    /// Position up to which it had been durable for certain.
    pub durable: Position,
}

/// What opening a log found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// There was no log.
    pub is_new: bool,
    /// The last writer ended in order.
    pub was_clean: bool,
    /// First position of the log.
    pub start: Position,
    /// End of the log; everything below is durable now.
    pub end: Position,
    /// Position up to which the last superblock knew the log as committed.
    pub commit: Position,
    /// Epoch of the new writer.
    pub epoch: u64,
    /// Bytes of blocks that were read and checked.
    pub scanned_bytes: u64,
    /// Un-synced leftovers were cut off.
    pub cut: Option<Cut>,
    /// A write or sync of the last writer failed when the log was durable up to here.
    pub suspect: Option<Position>,
    /// Wall clock of the last block.
    pub last_ms: i64,
}

pub(super) fn recover(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    config: LogConfig,
) -> Result<(Parts, Recovery), OpenError> {
    let files = list(disk.as_ref())?;
    let has_segments = files
        .iter()
        .any(|f| super::segment::base_of(&f.name).is_some());
    let (superblock, is_new) = match SuperblockFile::open(disk.as_ref())? {
        Some(superblock) => (superblock, false),
        None if has_segments => return Err(OpenError::Superblock),
        None => {
            let state = Superblock::new(config.new_log_id, config.node_id, config.new_reach_bytes);
            (SuperblockFile::create(disk.as_ref(), state)?, true)
        }
    };
    let found = find(disk.as_ref(), superblock.state.log_id, &files)?;
    let end = find_end(&superblock.state, &found, &config)?;

    // From here on the log is accepted, and files are changed.
    let opening = Opening {
        disk,
        clock,
        config,
        superblock,
        found,
        end,
    };
    let spares: Vec<_> = files.into_iter().filter(|f| is_spare(&f.name)).collect();
    opening.accept(is_new, &spares)
}

/// The end of the log and how it was found.
#[derive(Debug)]
pub(super) struct End {
    pub(super) mark: Mark,
    pub(super) evidence: Evidence,
    pub(super) durable: Position,
    pub(super) scanned_bytes: u64,
    /// Segments of the log, without leftovers.
    pub(super) segments: Vec<Arc<Segment>>,
}

fn find_end(state: &Superblock, found: &[Found], config: &LogConfig) -> Result<End, OpenError> {
    let durable = state.durable.position;
    let damage = missing(state, found);
    if !damage.is_empty() {
        return Err(refuse(durable, damage, found));
    }
    let sound = found.iter().filter(|f| f.base >= state.start);
    let mut segments: Vec<Arc<Segment>> = sound
        .filter_map(|f| Some(Arc::new(Segment::new(f.header?, true, Arc::clone(&f.file)))))
        .collect();
    let mut walker = Walker::new(
        segments.clone(),
        state.holes.clone(),
        state.log_id,
        state.durable,
        true,
    );
    let floor = (durable, state.epoch);
    walker.floor = floor;
    if config.verify_on_open && durable > state.start {
        walker.mark = Mark {
            wall_ms: i64::MIN,
            ..Mark::default()
        };
        walker.skip_to(state.start);
    }
    let scan_from = walker.mark.position;
    if !state.is_clean || config.verify_on_open {
        walk_to_end(&mut walker)?;
    }
    let mark = walker.mark;
    let evidence = if state.is_clean && mark.position >= durable {
        Evidence::default()
    } else {
        search(found, state.log_id, &mark, floor, config.search_bytes())?
    };
    let durable = durable.max(evidence.durable);
    if durable > mark.position {
        let to = evidence.next.unwrap_or(durable);
        let damage = Damage::new(DamageKind::Block, mark.position, to);
        return Err(refuse(durable, vec![damage], found));
    }
    // A segment at the end belongs to the log only if it was entered from this very log.
    segments.retain(|s| {
        let entry = s.header.entry;
        s.base() < mark.position
            || s.base() == mark.position && (entry.chain, entry.index) == (mark.chain, mark.index)
    });
    let scanned_bytes = mark.position.0 - scan_from.0;
    Ok(End {
        mark,
        evidence,
        durable,
        scanned_bytes,
        segments,
    })
}

/// Walks until nothing continues the log.
fn walk_to_end<S: Segments>(walker: &mut Walker<S>) -> Result<(), IoError> {
    loop {
        match walker.step(Position(u64::MAX)) {
            Ok(_) | Err(Stop::Isolated(_)) => {}
            Err(Stop::Invalid { .. } | Stop::NoSegment { .. } | Stop::Headless) => return Ok(()),
            Err(Stop::Io(e)) => return Err(e),
        }
    }
}

/// Segments that must be there and are not, or whose header is damaged.
pub(super) fn missing(state: &Superblock, found: &[Found]) -> Vec<Damage> {
    let durable = state.durable.position;
    let mut damage = Vec::new();
    let mut at = state.start;
    while at < durable {
        if let Some(hole) = state.holes.iter().find(|h| h.from <= at && at < h.to) {
            let Hole { to, .. } = *hole;
            at = found
                .iter()
                .find(|f| f.header.is_some() && f.base < to && to < f.end())
                .map_or(to, Found::end);
            continue;
        }
        let segment = found.iter().find(|f| f.base == at);
        if let Some(segment) = segment.filter(|f| f.header.is_some()) {
            at = segment.end();
            continue;
        }
        let next = found
            .iter()
            .find(|f| f.base > at)
            .map_or(durable, |f| f.base.min(durable));
        let is_whole = segment.is_some_and(|f| f.end() >= next);
        let kind = if is_whole {
            DamageKind::Header
        } else {
            DamageKind::Segment
        };
        damage.push(Damage::new(kind, at, next));
        at = next;
    }
    damage
}

fn refuse(durable: Position, mut damage: Vec<Damage>, found: &[Found]) -> OpenError {
    for one in &mut damage {
        if let Err(e) = name_lost(found, one) {
            return e.into();
        }
    }
    OpenError::Damaged { durable, damage }
}

struct Opening {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    config: LogConfig,
    superblock: SuperblockFile,
    found: Vec<Found>,
    end: End,
}

impl Opening {
    fn accept(
        mut self,
        is_new: bool,
        spares: &[crate::io::Entry],
    ) -> Result<(Parts, Recovery), OpenError> {
        let before = self.superblock.state.clone();
        let mut mark = self.end.mark;
        if !before.is_clean {
            let from = before.durable.position;
            make_durable(self.disk.as_ref(), &self.end.segments, from, mark.position)?;
        }
        let epoch = before.epoch.max(mark.epoch).max(self.end.evidence.epoch) + 1;
        let state = &mut self.superblock.state;
        state.node_id = self.config.node_id;
        state.epoch = epoch;
        state.durable = mark;
        state.commit = mark.position;
        state.is_clean = false;
        state.suspect = None;
        // Both slots, so that no older epoch can come back with a damaged one.
        self.superblock.write()?;
        self.superblock.write()?;
        SuperblockFile::sync_name(self.disk.as_ref())?;

        let pool = self.put_away(spares)?;
        let active = self.end.segments.last().cloned();
        let mut cut = None;
        if self.end.evidence.has_leftovers {
            cut = Some(Cut {
                at: mark.position,
                durable: self.end.durable,
            });
            if let Some(segment) = active.as_ref().filter(|s| s.holds(mark.position)) {
                mark = write_cut(&self.superblock.state, segment, mark, epoch)?;
            }
        }
        for pair in self.end.segments.windows(2) {
            if let [earlier, later] = pair {
                earlier.note_last(later.header.entry.wall_ms);
            }
        }
        if let Some(last) = &active {
            last.note_last(mark.wall_ms);
        }
        let recovery = Recovery {
            is_new,
            was_clean: before.is_clean && !is_new,
            start: before.start,
            end: mark.position,
            commit: before.commit,
            epoch,
            scanned_bytes: self.end.scanned_bytes,
            cut,
            suspect: before.suspect,
            last_ms: mark.wall_ms,
        };
        let shared = Shared::new(
            before.log_id,
            before.start,
            mark.position,
            self.end.segments,
            before.holes,
        );
        let parts = Parts {
            disk: self.disk,
            clock: self.clock,
            config: self.config,
            superblock: self.superblock,
            pool,
            shared: Arc::new(shared),
            active,
            mark,
            epoch,
        };
        Ok((parts, recovery))
    }

    /// Turns segments that are not part of the log into spares, and opens the account of disk use.
    fn put_away(&self, spares: &[crate::io::Entry]) -> Result<Arc<Pool>, OpenError> {
        let pool = Arc::new(Pool::new(Arc::clone(&self.disk), self.config.clone()));
        if let Some(active) = self.end.segments.last() {
            pool.size_after(active.file.len());
        }
        for file in &self.found {
            pool.account(file.file.len());
        }
        pool.adopt(spares)?;
        let kept = |base| self.end.segments.iter().any(|s| s.base() == base);
        for file in self.found.iter().filter(|f| !kept(f.base)) {
            pool.give(&file.name, file.file.len(), Some(Arc::clone(&file.file)))?;
        }
        self.disk.sync_dir(FOLDER)?;
        Ok(pool)
    }
}

/// Writes the bytes of a range again and syncs them. After a failed sync the system may take bytes for written that
/// never reached the disk; written again they are dirty again, and the sync means what it says.
pub(super) fn make_durable(
    disk: &dyn Disk,
    segments: &[Arc<Segment>],
    from: Position,
    to: Position,
) -> Result<(), IoError> {
    let mut buffer = Vec::new();
    for segment in segments.iter().filter(|s| s.base() < to && from < s.end()) {
        let mut at = segment.base().max(from);
        let end = segment.end().min(to);
        while at < end {
            buffer.resize((end.0 - at.0).min(REWRITE) as usize, 0);
            segment.file.read_at(segment.offset(at), &mut buffer)?;
            segment.file.write_at(segment.offset(at), &buffer)?;
            at = at.plus(buffer.len() as u64);
        }
        segment.file.sync_data()?;
    }
    disk.sync_dir(FOLDER)
}

fn write_cut(
    state: &Superblock,
    segment: &Segment,
    mark: Mark,
    epoch: u64,
) -> Result<Mark, IoError> {
    let header = BlockHeader {
        kind: BlockKind::Cut,
        position: mark.position,
        index: mark.index,
        epoch,
        payload_bytes: 0,
        records: 0,
        wall_ms: mark.wall_ms,
        chain: mark.chain,
        durable: mark.position,
    };
    let mut sector = [0; BLOCK_ALIGN];
    sector[..BLOCK_HEADER].copy_from_slice(&header.encode(state.log_id));
    segment
        .file
        .write_at(segment.offset(mark.position), &sector)?;
    segment.file.sync_data()?;
    Ok(mark_after(&sector, &header, mark.chain))
}
