//! Spare segment files: pre-written ahead of the writer, or given back by retention.
//!
//! The pool also keeps the account of all bytes the log takes on disk. It is shared by the writer, which takes and gives
//! back, and the [`Prewriter`], which fills on whatever thread drives it; its lock is never held across I/O of the
//! latter.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::io::{Disk, Entry, File, IoError};

use super::FOLDER;
use super::block::BLOCK_ALIGN;
use super::config::LogConfig;
use super::error::LogError;

/// Zeros written at once.
const ZEROS: usize = 256 * 1024;
static ZERO: [u8; ZEROS] = [0; ZEROS];

fn free_name(number: u64) -> String {
    format!("{FOLDER}/free-{number:08}")
}

fn fill_name(number: u64) -> String {
    format!("{FOLDER}/fill-{number:08}")
}

fn spare_number(name: &str) -> Option<(u64, bool)> {
    let file = name.strip_prefix(FOLDER)?.strip_prefix('/')?;
    if let Some(digits) = file.strip_prefix("free-") {
        return Some((digits.parse().ok()?, true));
    }
    Some((file.strip_prefix("fill-")?.parse().ok()?, false))
}

/// True for the name of a spare file.
pub(super) fn is_spare(name: &str) -> bool {
    spare_number(name).is_some()
}

/// A file that can become a segment.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: Arc<dyn File>,
}

#[derive(Debug)]
struct Filling {
    spare: Spare,
    number: u64,
    filled: u64,
}

#[derive(Debug)]
struct State {
    ready: Vec<Spare>,
    filling: Option<Filling>,
    /// A prewriter has the filling file in its hands.
    is_busy: bool,
    next_number: u64,
    /// Bytes of all files of the log, including those being filled.
    used: u64,
    /// File size of the next segment.
    target: u64,
}

/// Spare files and the account of disk use.
#[derive(Debug)]
pub(super) struct Pool {
    disk: Arc<dyn Disk>,
    config: LogConfig,
    state: Mutex<State>,
}

impl Pool {
    pub(super) fn new(disk: Arc<dyn Disk>, config: LogConfig) -> Self {
        let target = config.first_segment_bytes;
        Self {
            disk,
            config,
            state: Mutex::new(State {
                ready: Vec::new(),
                filling: None,
                is_busy: false,
                next_number: 0,
                used: 0,
                target,
            }),
        }
    }

    /// Adds bytes of files that are not spare to the account.
    pub(super) fn account(&self, bytes: u64) {
        self.state.lock().used += bytes;
    }

    /// Bytes of all files of the log.
    pub(super) fn used(&self) -> u64 {
        self.state.lock().used
    }

    /// Says how large the active segment is; the next is sized after it.
    pub(super) fn size_after(&self, active_bytes: u64) {
        self.state.lock().target = self.config.next_segment_bytes(active_bytes);
    }

    /// Takes over the spare files found at start-up; those of no use are removed.
    pub(super) fn adopt(&self, entries: &[Entry]) -> Result<(), IoError> {
        let mut state = self.state.lock();
        for entry in entries {
            let Some((number, is_filled)) = spare_number(&entry.name) else {
                continue;
            };
            state.next_number = state.next_number.max(number + 1);
            let wanted = is_filled
                && entry.len == state.target
                && state.ready.len() < self.config.ready_ahead
                && state.used + entry.len <= self.config.disk_bytes_max;
            if wanted {
                let file = self.disk.open(&entry.name)?;
                state.used += entry.len;
                state.ready.push(Spare {
                    name: entry.name.clone(),
                    file,
                });
            } else {
                self.disk.remove(&entry.name)?;
            }
        }
        Ok(())
    }

    /// A file of at least `needed` bytes: a ready one, one that is being filled, or a new one.
    pub(super) fn take(&self, needed: u64) -> Result<Spare, LogError> {
        let mut state = self.state.lock();
        if let Some(at) = state.ready.iter().position(|s| s.file.len() >= needed) {
            return Ok(state.ready.swap_remove(at));
        }
        if let Some(filling) = state.filling.take_if(|f| f.spare.file.len() >= needed) {
            return Ok(filling.spare);
        }
        let needed = needed.next_multiple_of(BLOCK_ALIGN as u64);
        let regular = state.target.max(needed);
        let smallest = self.config.first_segment_bytes.max(needed);
        for bytes in [regular, smallest] {
            match self.make(&mut state, bytes) {
                Err(LogError::Full) => {}
                other => return other,
            }
        }
        // What is ready is too small for this block, and in its way.
        let too_small = std::mem::take(&mut state.ready).into_iter();
        let filling = state.filling.take().map(|f| f.spare);
        for spare in too_small.chain(filling) {
            state.used -= spare.file.len();
            self.disk.remove(&spare.name).map_err(LogError::Io)?;
        }
        self.make(&mut state, smallest)
    }

    /// Whether a new file may take so many bytes more.
    fn check_room(&self, state: &State, bytes: u64) -> Result<(), LogError> {
        // Where the room is not known, the disk itself will say.
        let free = self.disk.space().map_or(u64::MAX, |space| space.free);
        let fits = state.used.saturating_add(bytes) <= self.config.disk_bytes_max
            && bytes.saturating_add(self.config.disk_spare_bytes) <= free;
        if fits { Ok(()) } else { Err(LogError::Full) }
    }

    fn make(&self, state: &mut State, bytes: u64) -> Result<Spare, LogError> {
        self.check_room(state, bytes)?;
        let name = free_name(state.next_number);
        state.next_number += 1;
        match self.disk.create(&name, bytes) {
            Ok(file) => {
                state.used += bytes;
                Ok(Spare { name, file })
            }
            Err(IoError::Full) => Err(LogError::Full),
            Err(e) => Err(LogError::Io(e)),
        }
    }

    /// Keeps the file called `name` as a spare if it is wanted. `file` is `None` if somebody still reads it.
    /// Returns whether it was kept; otherwise it was removed.
    pub(super) fn give(
        &self,
        name: &str,
        bytes: u64,
        file: Option<Arc<dyn File>>,
    ) -> Result<bool, IoError> {
        let mut state = self.state.lock();
        let room = state.ready.len() <= self.config.ready_ahead;
        if let Some(file) = file.filter(|_| room && bytes == state.target) {
            let spare = free_name(state.next_number);
            state.next_number += 1;
            self.disk.rename(name, &spare)?;
            state.ready.push(Spare { name: spare, file });
            return Ok(true);
        }
        self.disk.remove(name)?;
        state.used = state.used.saturating_sub(bytes);
        Ok(false)
    }
}

/// Fills segments with zeros ahead of the writer, a slice at a time. May be driven by a thread of its own.
#[derive(Clone, Debug)]
pub struct Prewriter {
    pool: Arc<Pool>,
}

impl Prewriter {
    /// Bytes all files of the log take on disk, spare ones included.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.pool.used()
    }

    pub(super) fn of(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
        }
    }

    /// Writes and syncs at most `budget` bytes of zeros. Returns whether there is more to do now; enough ready segments
    /// mean no.
    ///
    /// # Errors
    /// [`LogError::Full`] if there is no room for another segment; otherwise the file being filled was given up. The log
    /// is not affected.
    pub fn step(&self, budget: u64) -> Result<bool, LogError> {
        let Some(mut filling) = self.begin()? else {
            return Ok(false);
        };
        match self.fill(&mut filling, budget) {
            Ok(done) => {
                let mut state = self.pool.state.lock();
                state.is_busy = false;
                if done {
                    state.ready.push(filling.spare);
                } else {
                    state.filling = Some(filling);
                }
                Ok(!done || state.ready.len() < self.pool.config.ready_ahead)
            }
            Err(e) => {
                let mut state = self.pool.state.lock();
                state.is_busy = false;
                state.used -= filling.spare.file.len();
                // The file holds nothing. If it cannot be removed, the next start does so.
                let _ = self.pool.disk.remove(&filling.spare.name);
                Err(LogError::Io(e))
            }
        }
    }

    fn begin(&self) -> Result<Option<Filling>, LogError> {
        let pool = &self.pool;
        let mut state = pool.state.lock();
        if state.is_busy {
            return Ok(None);
        }
        if let Some(filling) = state.filling.take() {
            state.is_busy = true;
            return Ok(Some(filling));
        }
        let bytes = state.target;
        if state.ready.len() >= pool.config.ready_ahead {
            return Ok(None);
        }
        pool.check_room(&state, bytes)?;
        let number = state.next_number;
        state.next_number += 1;
        state.used += bytes;
        state.is_busy = true;
        drop(state);
        let name = fill_name(number);
        match pool.disk.create(&name, bytes) {
            Ok(file) => {
                let spare = Spare { name, file };
                Ok(Some(Filling {
                    spare,
                    number,
                    filled: 0,
                }))
            }
            Err(e) => {
                let mut state = pool.state.lock();
                state.used -= bytes;
                state.is_busy = false;
                Err(match e {
                    IoError::Full => LogError::Full,
                    e => LogError::Io(e),
                })
            }
        }
    }

    /// Returns whether the file is full of zeros, synced and renamed.
    fn fill(&self, filling: &mut Filling, budget: u64) -> Result<bool, IoError> {
        let len = filling.spare.file.len();
        let until = filling.filled.saturating_add(budget.max(1)).min(len);
        while filling.filled < until {
            let slice = (until - filling.filled).min(ZEROS as u64);
            filling
                .spare
                .file
                .write_at(filling.filled, &ZERO[..slice as usize])?;
            filling.filled += slice;
        }
        filling.spare.file.sync_data()?;
        if filling.filled < len {
            return Ok(false);
        }
        let name = free_name(filling.number);
        self.pool.disk.rename(&filling.spare.name, &name)?;
        filling.spare.name = name;
        Ok(true)
    }
}
