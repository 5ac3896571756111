//! The superblock: two page-sized slots, written alternately, each with a sequence number and a checksum.
//!
//! It tells where recovery begins to scan, which epoch comes next, where the log starts and which ranges were set aside
//! as damaged. The writer of the log owns it; a torn slot leaves the other one.

use std::sync::Arc;

use crate::io::{Disk, File, IoError};
use crate::types::Position;

use super::config::{LogId, NodeId};
use super::segment::{Mark, SEGMENT_HEADER, get, is_sealed, put, seal};

/// Most damaged ranges that can be set aside.
pub(super) const HOLES_MAX: usize = 128;
const NAME: &str = "superblock";
const PAGE: usize = SEGMENT_HEADER as usize;
const FILE_BYTES: u64 = 2 * SEGMENT_HEADER;
const MAGIC: u64 = 0x3142_5553_4B43_4F44;
const VERSION: u32 = 1;
const HOLES_AT: usize = 256;
const FLAG_CLEAN: u32 = 1;
const FLAG_SUSPECT: u32 = 2;

/// A range set aside by a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: Position,
    pub(super) to: Position,
}

impl Hole {
    pub(super) fn meets(&self, from: Position, to: Position) -> bool {
        self.from < to && from < self.to
    }
}

/// The state of a log as its superblock tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Identity of the log.
    pub log_id: LogId,
    /// Node that wrote it.
    pub node_id: NodeId,
    /// Epoch of the writer.
    pub epoch: u64,
    /// First position of the log that was not trimmed.
    pub start: Position,
    /// Position up to which the log was known to be committed.
    pub commit: Position,
    /// How far back a record may borrow bytes. It decides where a trimmed log begins for readers, so it never changes.
    pub reach_bytes: u64,
    /// The writer ended in order.
    pub is_clean: bool,
    /// A write or sync failed when the log was durable up to here.
    pub suspect: Option<Position>,
    pub(super) sequence: u64,
    pub(super) durable: Mark,
    pub(super) holes: Vec<Hole>,
}

impl Superblock {
    pub(super) fn new(log_id: LogId, node_id: NodeId, reach_bytes: u64) -> Self {
        Self {
            log_id,
            node_id,
            epoch: 0,
            start: Position::ZERO,
            commit: Position::ZERO,
            reach_bytes,
            is_clean: true,
            suspect: None,
            sequence: 0,
            durable: Mark {
                wall_ms: i64::MIN,
                ..Mark::default()
            },
            holes: Vec::new(),
        }
    }

    /// Position up to which the log was known to be durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable.position
    }

    fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        let mut flags = 0;
        if self.is_clean {
            flags |= FLAG_CLEAN;
        }
        if self.suspect.is_some() {
            flags |= FLAG_SUSPECT;
        }
        put(&mut page, 0, &MAGIC.to_le_bytes());
        put(&mut page, 8, &VERSION.to_le_bytes());
        put(&mut page, 12, &flags.to_le_bytes());
        put(&mut page, 16, &self.sequence.to_le_bytes());
        put(&mut page, 24, &self.log_id.0.to_le_bytes());
        put(&mut page, 32, &self.node_id.0.to_le_bytes());
        put(&mut page, 40, &self.epoch.to_le_bytes());
        put(&mut page, 48, &self.start.0.to_le_bytes());
        put(&mut page, 56, &self.commit.0.to_le_bytes());
        put(
            &mut page,
            64,
            &self.suspect.unwrap_or_default().0.to_le_bytes(),
        );
        put(&mut page, 72, &self.durable.position.0.to_le_bytes());
        put(&mut page, 80, &self.durable.index.to_le_bytes());
        put(&mut page, 88, &self.durable.epoch.to_le_bytes());
        put(&mut page, 96, &self.durable.wall_ms.to_le_bytes());
        put(&mut page, 104, &self.durable.chain.to_le_bytes());
        let holes = &self.holes[..self.holes.len().min(HOLES_MAX)];
        put(&mut page, 108, &(holes.len() as u32).to_le_bytes());
        put(&mut page, 112, &self.reach_bytes.to_le_bytes());
        for (hole, at) in holes.iter().zip((HOLES_AT..).step_by(16)) {
            put(&mut page, at, &hole.from.0.to_le_bytes());
            put(&mut page, at + 8, &hole.to.0.to_le_bytes());
        }
        seal(&mut page);
        page
    }

    fn decode(page: &[u8; PAGE]) -> Option<Self> {
        let u64_at = |at| u64::from_le_bytes(get(page, at));
        let u32_at = |at| u32::from_le_bytes(get(page, at));
        let holes = u32_at(108) as usize;
        if !is_sealed(page) || u64_at(0) != MAGIC || u32_at(8) != VERSION || holes > HOLES_MAX {
            return None;
        }
        let flags = u32_at(12);
        Some(Self {
            log_id: LogId(u64_at(24)),
            node_id: NodeId(u64_at(32)),
            epoch: u64_at(40),
            start: Position(u64_at(48)),
            commit: Position(u64_at(56)),
            reach_bytes: u64_at(112),
            is_clean: flags & FLAG_CLEAN != 0,
            suspect: (flags & FLAG_SUSPECT != 0).then(|| Position(u64_at(64))),
            sequence: u64_at(16),
            durable: Mark {
                position: Position(u64_at(72)),
                index: u64_at(80),
                epoch: u64_at(88),
                wall_ms: u64_at(96) as i64,
                chain: u32_at(104),
            },
            holes: (0..holes)
                .map(|i| HOLES_AT + 16 * i)
                .map(|at| Hole {
                    from: Position(u64_at(at)),
                    to: Position(u64_at(at + 8)),
                })
                .collect(),
        })
    }
}

/// The file of the two slots, with the state last read or written.
#[derive(Debug)]
pub(super) struct SuperblockFile {
    file: Arc<dyn File>,
    pub(super) state: Superblock,
    /// A write or sync failed: the slot it was for may be torn, and the other one is all there is.
    is_spoilt: bool,
}

impl SuperblockFile {
    /// Opens the newest slot that is whole; `None` if there is none.
    pub(super) fn open(disk: &dyn Disk) -> Result<Option<Self>, IoError> {
        let file = match disk.open(NAME) {
            Ok(file) => file,
            Err(IoError::NotFound(_)) => return Ok(None),
            Err(e) => return Err(e),
        };
        // A file of another length is no superblock; slots must not be written alternately into half of one.
        if file.len() != FILE_BYTES {
            return Ok(None);
        }
        let mut newest: Option<Superblock> = None;
        for at in [0, SEGMENT_HEADER] {
            let mut page = [0; PAGE];
            file.read_at(at, &mut page)?;
            let slot = Superblock::decode(&page);
            newest = newest.into_iter().chain(slot).max_by_key(|s| s.sequence);
        }
        // What was read may not be on the disk yet: it must be before the other slot is written.
        file.sync_data()?;
        Ok(newest.map(|state| Self {
            file,
            state,
            is_spoilt: false,
        }))
    }

    /// Makes the file for a log that does not exist yet, without a slot in it.
    pub(super) fn create(disk: &dyn Disk, state: Superblock) -> Result<Self, IoError> {
        match disk.remove(NAME) {
            Ok(()) | Err(IoError::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
        let file = disk.create(NAME, FILE_BYTES)?;
        Ok(Self {
            file,
            state,
            is_spoilt: false,
        })
    }

    /// Writes the state to the slot that is not the newest, durably. After a failure never again: a second torn slot
    /// would be the last.
    pub(super) fn write(&mut self) -> Result<(), IoError> {
        if self.is_spoilt {
            return Err(IoError::Stale);
        }
        self.state.sequence += 1;
        let at = (self.state.sequence % 2) * SEGMENT_HEADER;
        let written = self
            .file
            .write_at(at, &self.state.encode())
            .and_then(|()| self.file.sync_data());
        self.is_spoilt = written.is_err();
        written
    }

    /// Makes the file's name durable.
    pub(super) fn sync_name(disk: &dyn Disk) -> Result<(), IoError> {
        disk.sync_dir("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{CrashKind, SimDisk};

    fn full() -> Superblock {
        Superblock {
            epoch: 4,
            start: Position(512),
            commit: Position(1024),
            is_clean: false,
            suspect: Some(Position(2048)),
            durable: Mark {
                position: Position(4096),
                chain: 1,
                index: 2,
                epoch: 3,
                wall_ms: -4,
            },
            holes: (0..HOLES_MAX as u64)
                .map(|i| Hole {
                    from: Position(i * 8),
                    to: Position(i * 8 + 8),
                })
                .collect(),
            ..Superblock::new(LogId(1), NodeId(2), 8192)
        }
    }

    #[test]
    fn slots_round_trip() {
        assert_eq!(Superblock::decode(&full().encode()), Some(full()));
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        for seed in 0..200 {
            let disk = SimDisk::new(seed);
            let mut file = SuperblockFile::create(&disk, full()).unwrap();
            file.write().unwrap();
            SuperblockFile::sync_name(&disk).unwrap();
            file.state.epoch = 5;
            file.write().unwrap();
            disk.fail_sync(0);
            file.state.epoch = 6;
            file.write().unwrap_err();
            let disk = disk.crash(CrashKind::Power);
            let found = SuperblockFile::open(&disk).unwrap().unwrap();
            assert!(
                [5, 6].contains(&found.state.epoch),
                "epoch {}",
                found.state.epoch
            );
        }
    }
}
