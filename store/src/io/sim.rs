//! A disk and a clock for tests: everything in memory, everything decided by a seed.
//!
//! The disk keeps, for every 512-byte sector written since the last sync, what the platter still holds. Power loss then
//! decides sector by sector whether the new bytes, the old bytes or a mixture survive; creations, renames and removals
//! that no [`Disk::sync_dir`] followed may be undone, latest first. Faults are planned by count. All state is behind one
//! lock, shared by the clones of a disk; [`SimDisk::crash`] ends the life of all handles given out before it.

mod clock;
mod file;
mod rng;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

pub use clock::SimClock;
pub use rng::Rng;

use file::{Contents, SimFile};

use super::{Disk, Entry, File, IoError, Space, split};

/// Unit in which un-synced bytes survive or not.
pub const SECTOR: usize = 512;

/// How a life of the disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// The process ends; the operating system keeps everything that was handed to it.
    Process,
    /// The machine loses power; what was not synced is kept, lost or torn.
    Power,
}

/// Faults that are still to come, counted down by the operations they meet.
#[derive(Clone, Debug, Default)]
struct Faults {
    fail_write: Option<u64>,
    short_write: Option<u64>,
    fail_sync: Option<u64>,
    fail_read: Option<u64>,
    broken: bool,
    lie_about_sync: bool,
}

impl Faults {
    fn due(count: &mut Option<u64>) -> bool {
        match count {
            Some(0) => {
                *count = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

/// How often each operation was called, to aim faults at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of [`File::write_at`].
    pub writes: u64,
    /// Calls of [`File::sync_data`] and [`Disk::sync_dir`].
    pub syncs: u64,
    /// Calls of [`File::read_at`].
    pub reads: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, Inode),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn folder(&self) -> &str {
        let (Self::Create(name, _) | Self::Rename(name, _) | Self::Remove(name)) = self;
        name.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    fn apply(&self, names: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// Number of a file's contents.
type Inode = u64;

#[derive(Debug)]
struct State {
    rng: Rng,
    life: u64,
    next_inode: Inode,
    contents: BTreeMap<Inode, Contents>,
    /// Names as the process sees them.
    live: BTreeMap<String, Inode>,
    /// Names as they are on the platter.
    stable: BTreeMap<String, Inode>,
    /// Changes of names that are not on the platter yet, in order.
    journal: Vec<Change>,
    faults: Faults,
    counters: Counters,
    capacity: u64,
}

impl State {
    fn used(&self) -> u64 {
        self.live
            .values()
            .filter_map(|inode| self.contents.get(inode))
            .map(Contents::len)
            .sum()
    }

    /// Frees what no name leads to. Only between lives: an open handle keeps a removed file readable.
    fn forget_unnamed(&mut self) {
        let live = &self.live;
        let stable = &self.stable;
        self.contents.retain(|inode, _| {
            live.values().any(|i| i == inode) || stable.values().any(|i| i == inode)
        });
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

fn broken(operation: &'static str) -> IoError {
    IoError::Io {
        operation,
        cause: "simulated fault".to_owned(),
    }
}

impl SimDisk {
    /// An empty disk without a limit on its size.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                rng: Rng::new(seed),
                life: 0,
                next_inode: 0,
                contents: BTreeMap::new(),
                live: BTreeMap::new(),
                stable: BTreeMap::new(),
                journal: Vec::new(),
                faults: Faults::default(),
                counters: Counters::default(),
                capacity: u64::MAX,
            })),
            life: 0,
        }
    }

    /// Ends this life of the disk and begins the next, in which all planned faults are forgotten. Handles of the old
    /// life answer [`IoError::Stale`] from now on.
    #[must_use]
    pub fn crash(&self, kind: CrashKind) -> Self {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.life += 1;
        let lie_about_sync = state.faults.lie_about_sync;
        state.faults = Faults {
            lie_about_sync,
            ..Faults::default()
        };
        if kind == CrashKind::Power {
            let mut left: BTreeMap<String, usize> = BTreeMap::new();
            for change in &state.journal {
                *left.entry(change.folder().to_owned()).or_default() += 1;
            }
            for count in left.values_mut() {
                *count = state.rng.below(*count as u64 + 1) as usize;
            }
            for change in std::mem::take(&mut state.journal) {
                if let Some(count) = left.get_mut(change.folder()).filter(|c| **c > 0) {
                    *count -= 1;
                    change.apply(&mut state.stable);
                }
            }
            state.live = state.stable.clone();
            for contents in state.contents.values_mut() {
                contents.lose_power(&mut state.rng);
            }
            state.forget_unnamed();
        }
        Self {
            state: Arc::clone(&self.state),
            life: state.life,
        }
    }

    /// An independent copy of the disk as it is now, for looking at one state twice.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state.lock();
        Self {
            state: Arc::new(Mutex::new(State {
                rng: state.rng.clone(),
                life: state.life,
                next_inode: state.next_inode,
                contents: state.contents.clone(),
                live: state.live.clone(),
                stable: state.stable.clone(),
                journal: state.journal.clone(),
                faults: state.faults.clone(),
                counters: state.counters,
                capacity: state.capacity,
            })),
            life: self.life,
        }
    }

    /// The write after `skip` more fails and changes nothing.
    pub fn fail_write(&self, skip: u64) {
        self.state.lock().faults.fail_write = Some(skip);
    }

    /// The write after `skip` more writes only some of its bytes, then fails.
    pub fn short_write(&self, skip: u64) {
        self.state.lock().faults.short_write = Some(skip);
    }

    /// The sync (of a file or a folder) after `skip` more fails; un-synced bytes may be lost without another word.
    pub fn fail_sync(&self, skip: u64) {
        self.state.lock().faults.fail_sync = Some(skip);
    }

    /// The read after `skip` more fails.
    pub fn fail_read(&self, skip: u64) {
        self.state.lock().faults.fail_read = Some(skip);
    }

    /// Forgets the faults that are still planned.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        let lie_about_sync = state.faults.lie_about_sync;
        state.faults = Faults {
            lie_about_sync,
            ..Faults::default()
        };
    }

    /// From now on, until the next crash, every write and sync fails.
    pub fn break_down(&self) {
        self.state.lock().faults.broken = true;
    }

    /// Makes every later sync return success without making anything durable. For proving that a test can see a loss;
    /// survives crashes.
    pub fn lie_about_sync(&self, lie: bool) {
        self.state.lock().faults.lie_about_sync = lie;
    }

    /// Bounds the sum of all file lengths; a creation beyond it is refused with [`IoError::Full`].
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// How often operations were called so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// Turns one bit of a file, on the platter and in memory. False if there is no such byte.
    pub fn flip_bit(&self, name: &str, at: u64, bit: u8) -> bool {
        self.with_contents(name, |contents| contents.flip_bit(at, bit))
            .unwrap_or(false)
    }

    /// Overwrites bytes of a file behind everybody's back, on the platter and in memory. False beyond its length.
    pub fn scribble(&self, name: &str, at: u64, bytes: &[u8]) -> bool {
        self.with_contents(name, |contents| contents.scribble(at, bytes))
            .unwrap_or(false)
    }

    /// Cuts a file short behind everybody's back. False if there is no such file.
    pub fn truncate(&self, name: &str, len: u64) -> bool {
        self.with_contents(name, |contents| contents.truncate(len))
            .is_some()
    }

    /// Removes a file behind everybody's back. False if there is no such file.
    pub fn lose(&self, name: &str) -> bool {
        let mut state = self.state.lock();
        state.stable.remove(name);
        state.live.remove(name).is_some()
    }

    fn with_contents<T>(&self, name: &str, f: impl FnOnce(&mut Contents) -> T) -> Option<T> {
        let mut state = self.state.lock();
        let inode = *state.live.get(name)?;
        state.contents.get_mut(&inode).map(f)
    }

    fn check(&self, state: &State) -> Result<(), IoError> {
        if state.life == self.life {
            Ok(())
        } else {
            Err(IoError::Stale)
        }
    }

    /// Refuses a change of names on a disk that broke down.
    fn meet_fault(state: &State, operation: &'static str) -> Result<(), IoError> {
        if state.faults.broken {
            Err(broken(operation))
        } else {
            Ok(())
        }
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str, len: u64) -> Result<Arc<dyn File>, IoError> {
        split(name)?;
        let mut state = self.state.lock();
        self.check(&state)?;
        Self::meet_fault(&state, "create")?;
        if state.live.contains_key(name) {
            return Err(IoError::Exists(name.to_owned()));
        }
        if state.used().saturating_add(len) > state.capacity {
            return Err(IoError::Full);
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.contents.insert(inode, Contents::new(len));
        let change = Change::Create(name.to_owned(), inode);
        change.apply(&mut state.live);
        state.journal.push(change);
        Ok(Arc::new(SimFile::new(self.clone(), inode, len)))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, IoError> {
        split(name)?;
        let state = self.state.lock();
        self.check(&state)?;
        let found = state
            .live
            .get(name)
            .and_then(|i| Some((*i, state.contents.get(i)?.len())));
        let (inode, len) = found.ok_or_else(|| IoError::NotFound(name.to_owned()))?;
        Ok(Arc::new(SimFile::new(self.clone(), inode, len)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        let (from_folder, _) = split(from)?;
        let (to_folder, _) = split(to)?;
        if from_folder != to_folder {
            return Err(IoError::Name(to.to_owned()));
        }
        let mut state = self.state.lock();
        self.check(&state)?;
        Self::meet_fault(&state, "rename")?;
        if !state.live.contains_key(from) {
            return Err(IoError::NotFound(from.to_owned()));
        }
        let change = Change::Rename(from.to_owned(), to.to_owned());
        change.apply(&mut state.live);
        state.journal.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), IoError> {
        let mut state = self.state.lock();
        self.check(&state)?;
        Self::meet_fault(&state, "remove")?;
        if !state.live.contains_key(name) {
            return Err(IoError::NotFound(name.to_owned()));
        }
        let change = Change::Remove(name.to_owned());
        change.apply(&mut state.live);
        state.journal.push(change);
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, IoError> {
        let state = self.state.lock();
        self.check(&state)?;
        let inside = |name: &str| name.rsplit_once('/').map_or("", |(f, _)| f) == folder;
        Ok(state
            .live
            .iter()
            .filter(|(name, _)| inside(name))
            .filter_map(|(name, inode)| {
                let len = state.contents.get(inode)?.len();
                Some(Entry {
                    name: name.clone(),
                    len,
                })
            })
            .collect())
    }

    fn sync_dir(&self, folder: &str) -> Result<(), IoError> {
        let mut guard = self.state.lock();
        self.check(&guard)?;
        let state = &mut *guard;
        state.counters.syncs += 1;
        if Faults::due(&mut state.faults.fail_sync) || state.faults.broken {
            return Err(broken("sync folder"));
        }
        if state.faults.lie_about_sync {
            return Ok(());
        }
        let stable = &mut state.stable;
        state.journal.retain(|change| {
            let synced = change.folder() == folder;
            if synced {
                change.apply(stable);
            }
            !synced
        });
        Ok(())
    }

    fn space(&self) -> Result<Space, IoError> {
        let state = self.state.lock();
        self.check(&state)?;
        let total = state.capacity;
        Ok(Space {
            total,
            free: total.saturating_sub(state.used()),
        })
    }
}

#[cfg(test)]
mod tests;
