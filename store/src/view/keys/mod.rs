//! The key index: under which positions the records with a key hash are.
//!
//! The applier appends to a short open segment; full segments are set aside unsorted. A checkpoint sorts what was set
//! aside into one immutable run in the database, see [`run`]. A search goes from the newest to the oldest.

mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use self::run::Run;
use crate::kv::{Batch, KvStore};
use crate::types::Position;
use crate::view::ViewError;

/// Keys of a segment.
const SEGMENT_KEYS: usize = 8192;
/// Bytes of a key in memory.
const KEY_BYTES: usize = 24;

/// One key of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    hash: u64,
    position: u64,
    stored_ms: i64,
}

/// Keys in the order they came. The hashes stand side by side, because a search reads all of them.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    hashes: Vec<u64>,
    places: Vec<(u64, i64)>,
}

impl Segment {
    fn push(&mut self, key: Key) {
        if self.hashes.capacity() == 0 {
            self.hashes.reserve_exact(SEGMENT_KEYS);
            self.places.reserve_exact(SEGMENT_KEYS);
        }
        self.hashes.push(key.hash);
        self.places.push((key.position, key.stored_ms));
    }

    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let pairs = self.hashes.iter().zip(&self.places);
        pairs.map(|(hash, (position, stored_ms))| Key {
            hash: *hash,
            position: *position,
            stored_ms: *stored_ms,
        })
    }

    fn find(&self, search: &mut Search) {
        for (at, hash) in self.hashes.iter().enumerate().rev() {
            if *hash != search.hash {
                continue;
            }
            if let Some((position, stored_ms)) = self.places.get(at) {
                search.take(*position, *stored_ms);
            }
            if search.is_done() {
                return;
            }
        }
    }
}

/// A search on its way from the newest key to the oldest.
#[derive(Debug)]
struct Search {
    hash: u64,
    from_ms: i64,
    to_ms: i64,
    log_start: u64,
    max: usize,
    found: Vec<Position>,
}

impl Search {
    fn take(&mut self, position: u64, stored_ms: i64) {
        let fits = (self.from_ms..=self.to_ms).contains(&stored_ms) && position >= self.log_start;
        // What is being flushed may be met in memory and in its run.
        if fits && self.found.last().is_none_or(|last| position < last.0) {
            self.found.push(Position(position));
        }
    }

    fn is_done(&self) -> bool {
        self.found.len() >= self.max
    }
}

/// The key index.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    open: Mutex<Segment>,
    sealed: RwLock<Vec<Arc<Segment>>>,
    /// Ordered by position; held for reading during a search, so that no run is deleted under it.
    runs: RwLock<Vec<Run>>,
    kv: Arc<dyn KvStore>,
    log_start: AtomicU64,
}

impl KeyIndex {
    /// Opens the index with the runs the database has.
    pub(crate) fn open(kv: Arc<dyn KvStore>, log_start: Position) -> Result<Self, ViewError> {
        let runs = run::load(&*kv)?;
        Ok(Self {
            open: Mutex::default(),
            sealed: RwLock::default(),
            runs: RwLock::new(runs),
            kv,
            log_start: AtomicU64::new(log_start.0),
        })
    }

    /// Adds a key of a record.
    pub(crate) fn push(&self, hash: u64, position: Position, stored_ms: i64) {
        let mut open = self.open.lock();
        open.push(Key {
            hash,
            position: position.0,
            stored_ms,
        });
        if open.hashes.len() == SEGMENT_KEYS {
            self.seal(&mut open);
        }
    }

    fn seal(&self, open: &mut Segment) {
        if !open.hashes.is_empty() {
            self.sealed.write().push(Arc::new(std::mem::take(open)));
        }
    }

    /// Sets everything added so far aside for a checkpoint.
    pub(crate) fn cut(&self) -> Vec<Arc<Segment>> {
        let mut open = self.open.lock();
        self.seal(&mut open);
        self.sealed.read().clone()
    }

    /// Writes what a cut set aside as one run. The run counts from [`KeyIndex::flushed`] on.
    pub(crate) fn flush(&self, cut: &[Arc<Segment>], batch: &mut Batch) -> Option<Flushed> {
        let mut keys: Vec<Key> = cut.iter().flat_map(|s| s.keys()).collect();
        if keys.is_empty() {
            return None;
        }
        keys.sort_unstable();
        let run = run::write(self.next_id(), &keys, batch);
        Some(Flushed {
            run,
            segments: cut.len(),
        })
    }

    fn next_id(&self) -> u64 {
        self.runs
            .read()
            .iter()
            .map(|r| r.id)
            .max()
            .map_or(1, |id| id + 1)
    }

    /// Counts a durable run and forgets the segments it was made of.
    pub(crate) fn flushed(&self, flushed: Flushed) {
        // A search reads memory before runs, so that it meets a key at least once.
        self.runs.write().push(flushed.run);
        self.sealed.write().drain(..flushed.segments);
    }

    /// Merges small neighbouring runs, if there are many. Returns the number of runs merged.
    pub(crate) fn merge(&self) -> Result<usize, ViewError> {
        let Some((at, chosen)) = run::mergeable(&self.runs.read()) else {
            return Ok(0);
        };
        let merged = run::merge(&*self.kv, self.next_id(), &chosen)?;
        let mut runs = self.runs.write();
        runs.splice(at..at + chosen.len(), [merged]);
        drop(runs);
        for old in &chosen {
            run::delete(&*self.kv, old.id)?;
        }
        Ok(chosen.len())
    }

    /// Drops the runs that end below the log's start.
    pub(crate) fn trim(&self, log_start: Position) -> Result<(), ViewError> {
        self.log_start.fetch_max(log_start.0, Ordering::AcqRel);
        let mut dropped = Vec::new();
        self.runs.write().retain(|run| {
            let keep = run.max_position >= log_start.0;
            if !keep {
                dropped.push(run.id);
            }
            keep
        });
        for id in dropped {
            run::forget(&*self.kv, id)?;
        }
        Ok(())
    }

    /// Positions of up to `max` records with this key hash stored from `from_ms` to `to_ms`, newest first.
    pub(crate) fn find(
        &self,
        hash: u64,
        from_ms: i64,
        to_ms: i64,
        max: usize,
    ) -> Result<Vec<Position>, ViewError> {
        let mut search = Search {
            hash,
            from_ms,
            to_ms,
            log_start: self.log_start.load(Ordering::Acquire),
            max,
            found: Vec::new(),
        };
        if max == 0 {
            return Ok(search.found);
        }
        let sealed = {
            let open = self.open.lock();
            open.find(&mut search);
            self.sealed.read().clone()
        };
        for segment in sealed.iter().rev() {
            if search.is_done() {
                return Ok(search.found);
            }
            segment.find(&mut search);
        }
        let runs = self.runs.read();
        for run in runs.iter().rev() {
            if search.is_done() {
                break;
            }
            if run.min_ms <= to_ms && run.max_ms >= from_ms {
                run::find(&*self.kv, run, &mut search)?;
            }
        }
        Ok(search.found)
    }

    /// Bytes of keys in memory.
    pub(crate) fn memory(&self) -> usize {
        let open = self.open.lock().hashes.len();
        let sealed: usize = self.sealed.read().iter().map(|s| s.hashes.len()).sum();
        (open + sealed) * KEY_BYTES
    }

    /// Visits hash, position and store time of every key the log still has, in no order.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u64, u64, i64)) -> Result<(), ViewError> {
        let log_start = self.log_start.load(Ordering::Acquire);
        let mut each = |key: Key| {
            if key.position >= log_start {
                visit(key.hash, key.position, key.stored_ms);
            }
        };
        let open = self.open.lock();
        open.keys().for_each(&mut each);
        for segment in self.sealed.read().iter() {
            segment.keys().for_each(&mut each);
        }
        for run in self.runs.read().iter() {
            run::for_each(&*self.kv, run.id, &mut each)?;
        }
        Ok(())
    }

    /// Number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.runs.read().len()
    }
}

/// A run that is written but not durable yet.
#[derive(Debug)]
pub(crate) struct Flushed {
    run: Run,
    segments: usize,
}
