//! The bytes of a simulated file, and handles to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Faults, Inode, Rng, SECTOR, SimDisk, State, broken};
use crate::io::{File, IoError, Mapping, within};

/// What the platter holds of a sector whose newer bytes are in memory only.
#[derive(Clone, Debug)]
struct Unsynced {
    platter: [u8; SECTOR],
    /// A failed sync has marked the sector clean: no later sync will write it.
    abandoned: bool,
}

/// Bytes of one file.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// As the process sees them; padded to whole sectors.
    bytes: Vec<u8>,
    len: u64,
    len_is_stable: bool,
    unsynced: BTreeMap<u64, Unsynced>,
}

impl Contents {
    pub(super) fn new(len: u64) -> Self {
        Self {
            bytes: vec![0; (len as usize).next_multiple_of(SECTOR)],
            len,
            len_is_stable: false,
            unsynced: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn sector(&self, sector: u64) -> [u8; SECTOR] {
        let at = sector as usize * SECTOR;
        let mut out = [0; SECTOR];
        out.copy_from_slice(&self.bytes[at..at + SECTOR]);
        out
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let last = (at + bytes.len() as u64 - 1) / SECTOR as u64;
        for sector in at / SECTOR as u64..=last {
            let platter = self.sector(sector);
            self.unsynced
                .entry(sector)
                .and_modify(|u| u.abandoned = false)
                .or_insert(Unsynced {
                    platter,
                    abandoned: false,
                });
        }
        let at = at as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn sync(&mut self) {
        self.unsynced.retain(|_, u| u.abandoned);
        self.len_is_stable = true;
    }

    /// Linux marks the pages of a failed sync clean. Some may have been written, some stay readable until memory is
    /// short, some are gone at once.
    fn fail_sync(&mut self, rng: &mut Rng) {
        let mut gone = Vec::new();
        self.unsynced.retain(|sector, unsynced| match rng.below(4) {
            0 => false,
            1 => true,
            2 => {
                unsynced.abandoned = true;
                true
            }
            _ => {
                gone.push((*sector, unsynced.platter));
                false
            }
        });
        for (sector, platter) in gone {
            self.put_sector(sector, &platter);
        }
    }

    fn put_sector(&mut self, sector: u64, bytes: &[u8; SECTOR]) {
        let at = sector as usize * SECTOR;
        self.bytes[at..at + SECTOR].copy_from_slice(bytes);
    }

    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        for (sector, unsynced) in std::mem::take(&mut self.unsynced) {
            let mut survivor = self.sector(sector);
            match rng.below(8) {
                _ if unsynced.abandoned => survivor = unsynced.platter,
                0..=2 => {}
                3..=5 => survivor = unsynced.platter,
                6 => {
                    let cut = rng.below(SECTOR as u64) as usize;
                    survivor[cut..].copy_from_slice(&unsynced.platter[cut..]);
                }
                _ => {
                    let cut = rng.below(SECTOR as u64) as usize;
                    survivor[..cut].copy_from_slice(&unsynced.platter[..cut]);
                }
            }
            self.put_sector(sector, &survivor);
        }
        if !self.len_is_stable && rng.chance(1, 2) {
            self.truncate(0);
        }
    }

    pub(super) fn flip_bit(&mut self, at: u64, bit: u8) -> bool {
        if at >= self.len {
            return false;
        }
        let mask = 1 << (bit % 8);
        self.bytes[at as usize] ^= mask;
        if let Some(unsynced) = self.unsynced.get_mut(&(at / SECTOR as u64)) {
            unsynced.platter[at as usize % SECTOR] ^= mask;
        }
        true
    }

    pub(super) fn scribble(&mut self, at: u64, bytes: &[u8]) -> bool {
        if within(at, bytes.len(), self.len).is_err() {
            return false;
        }
        let from = at as usize;
        self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        let last = (at + bytes.len() as u64).div_ceil(SECTOR as u64);
        self.unsynced
            .retain(|sector, _| !(at / SECTOR as u64..last).contains(sector));
        true
    }

    pub(super) fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
        self.bytes
            .truncate((self.len as usize).next_multiple_of(SECTOR));
        let sectors = (self.bytes.len() / SECTOR) as u64;
        self.unsynced.retain(|sector, _| *sector < sectors);
    }
}

/// A handle to a simulated file.
#[derive(Clone, Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    inode: Inode,
    len: u64,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, inode: Inode, len: u64) -> Self {
        Self { disk, inode, len }
    }

    fn with<T>(
        &self,
        f: impl FnOnce(&mut State, Inode) -> Result<T, IoError>,
    ) -> Result<T, IoError> {
        let mut state = self.disk.state.lock();
        self.disk.check(&state)?;
        if !state.contents.contains_key(&self.inode) {
            return Err(IoError::Stale);
        }
        f(&mut state, self.inode)
    }

    fn copy(&self, at: u64, len: usize) -> Result<Vec<u8>, IoError> {
        within(at, len, self.len)?;
        self.with(|state, inode| {
            let contents = state.contents.get(&inode).ok_or(IoError::Stale)?;
            within(at, len, contents.len)?;
            let at = at as usize;
            Ok(contents.bytes[at..at + len].to_vec())
        })
    }
}

impl File for SimFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), IoError> {
        within(at, bytes.len(), self.len)?;
        self.with(|state, inode| {
            state.counters.writes += 1;
            let mut bytes = bytes;
            let mut result = Ok(());
            if Faults::due(&mut state.faults.fail_write) || state.faults.broken {
                return Err(broken("write"));
            }
            if Faults::due(&mut state.faults.short_write) {
                bytes = &bytes[..state.rng.below(bytes.len() as u64) as usize];
                result = Err(broken("write"));
            }
            let contents = state.contents.get_mut(&inode).ok_or(IoError::Stale)?;
            within(at, bytes.len(), contents.len)?;
            contents.write(at, bytes);
            result
        })
    }

    fn sync_data(&self) -> Result<(), IoError> {
        self.with(|state, inode| {
            state.counters.syncs += 1;
            let State {
                faults,
                rng,
                contents,
                ..
            } = state;
            let contents = contents.get_mut(&inode).ok_or(IoError::Stale)?;
            if Faults::due(&mut faults.fail_sync) || faults.broken {
                contents.fail_sync(rng);
                return Err(broken("sync"));
            }
            if !faults.lie_about_sync {
                contents.sync();
            }
            Ok(())
        })
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), IoError> {
        self.with(|state, _| {
            state.counters.reads += 1;
            if Faults::due(&mut state.faults.fail_read) {
                return Err(broken("read"));
            }
            Ok(())
        })?;
        out.copy_from_slice(&self.copy(at, out.len())?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn map(&self) -> Result<Arc<dyn Mapping>, IoError> {
        Ok(Arc::new(SimMap(self.clone())))
    }

    fn is_resident(&self, at: u64, len: usize) -> bool {
        within(at, len, self.len).is_ok()
    }
}

/// A mapping that copies; the copy keeps the mapping alive as a slice of real memory would.
#[derive(Debug)]
struct SimMap(SimFile);

struct Part {
    _map: Arc<SimMap>,
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Mapping for SimMap {
    fn slice(self: Arc<Self>, at: u64, len: usize) -> Result<Bytes, IoError> {
        let bytes = self.0.copy(at, len)?;
        Ok(Bytes::from_owner(Part { _map: self, bytes }))
    }
}
