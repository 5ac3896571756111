//! fjall behind the narrow door.
//!
//! All spaces share one keyspace: fjall flushes keyspaces one by one, and only within one of them does a loss of power
//! leave whole batches. The journal is not synced by a write; [`KvStore::persist`] syncs it once. Whatever goes wrong
//! while opening, the folder is emptied and a new database made: nothing in it is worth a refusal to start.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::fjall::config::{BlockSizePolicy, CompressionPolicy};
use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use bytes::Bytes;
use parking_lot::RwLock;

use super::{Batch, KvError, KvStats, KvStore, Order, Space, Write, spaced, spaced_end};

const KEYSPACE: &str = "views";
/// Block cache. Small, because the hot part of every view is in memory already.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Size at which a memtable is written out.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
/// Journals kept at most; the smallest fjall allows.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
const OPEN_FILES_MAX: usize = 128;
/// Keys deleted by one batch of a range deletion.
const DELETE_BATCH: usize = 4096;

struct Open {
    keyspace: Keyspace,
    database: Database,
}

impl Open {
    fn new(path: &Path) -> ::fjall::Result<Self> {
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .manual_journal_persist(true)
            .worker_threads(1)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let keyspace = database.keyspace(KEYSPACE, || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(MEMTABLE_BYTES)
                .data_block_size_policy(BlockSizePolicy::all(8 * 1024))
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        })?;
        Ok(Self { keyspace, database })
    }
}

/// A fjall database in a folder of its own.
pub struct FjallKv {
    path: PathBuf,
    /// `None` only while the database is closed to be wiped or opened again, or after that failed.
    open: RwLock<Option<Open>>,
    /// A write failed, on a full disk perhaps: fjall takes none any more until it is opened again.
    is_poisoned: AtomicBool,
    persists: AtomicU64,
    /// True if the database had to be made anew because it could not be opened.
    pub was_wiped: bool,
}

impl std::fmt::Debug for FjallKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallKv")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn failed(error: impl std::fmt::Display) -> KvError {
    KvError(error.to_string())
}

/// Orders writes by key and keeps the last one of each: to fjall all writes of a batch are equally new.
fn last_of_each(mut writes: Vec<Write>) -> Vec<Write> {
    writes.sort_by(|a, b| a.0.cmp(&b.0));
    writes.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
    writes
}

/// Removes a folder so that it stays removed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match path.parent() {
        Some(parent) if parent.is_dir() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

impl FjallKv {
    /// Opens the database in a folder that belongs to it alone, made if it is missing and emptied if it is damaged.
    ///
    /// # Errors
    /// Not even an empty database can be made there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KvError> {
        let path = path.into();
        let (open, was_wiped) = match Open::new(&path) {
            Ok(open) => (open, false),
            Err(e) => {
                tracing::warn!(error = %e, "index database cannot be opened and is made anew");
                remove(&path).map_err(failed)?;
                (Open::new(&path).map_err(failed)?, true)
            }
        };
        Ok(Self {
            path,
            open: RwLock::new(Some(open)),
            is_poisoned: AtomicBool::new(false),
            persists: AtomicU64::new(0),
            was_wiped,
        })
    }

    /// Runs a write; after one that failed the database is opened again first. What was persisted is there then, and what
    /// was not is as if power had been lost.
    fn write<T>(&self, run: impl FnOnce(&Open) -> ::fjall::Result<T>) -> Result<T, KvError> {
        if self.is_poisoned.load(Ordering::Acquire) {
            let mut open = self.open.write();
            *open = None;
            *open = Some(Open::new(&self.path).map_err(failed)?);
            self.is_poisoned.store(false, Ordering::Release);
            tracing::info!("the index database was opened again after a failed write");
        }
        let outcome = self.with(|open| run(open).map_err(failed));
        if outcome.is_err() {
            self.is_poisoned.store(true, Ordering::Release);
        }
        outcome
    }

    fn with<T>(&self, run: impl FnOnce(&Open) -> Result<T, KvError>) -> Result<T, KvError> {
        match self.open.read().as_ref() {
            Some(open) => run(open),
            None => Err(KvError("the database is closed".to_owned())),
        }
    }
}

impl KvStore for FjallKv {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.with(|open| {
            let value = open.keyspace.get(spaced(space, key)).map_err(failed)?;
            Ok(value.map(|v| Bytes::copy_from_slice(&v)))
        })
    }

    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), KvError> {
        let (from, to) = (spaced(space, from), spaced_end(space, to));
        if from >= to {
            return Ok(());
        }
        // The iterator outlives the lock: it holds a snapshot of its own.
        let mut rows = self.with(|open| Ok(open.keyspace.range(from..to)))?;
        loop {
            let row = match order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some(row) = row else { return Ok(()) };
            let (key, value) = row.into_inner().map_err(failed)?;
            if !visit(key.get(1..).unwrap_or_default(), &value) {
                return Ok(());
            }
        }
    }

    fn batch(&self, batch: Batch) -> Result<(), KvError> {
        self.write(|open| {
            let writes = last_of_each(batch.writes);
            let mut out =
                ::fjall::OwnedWriteBatch::with_capacity(open.database.clone(), writes.len());
            for (key, value) in writes {
                match value {
                    Some(value) => out.insert(&open.keyspace, key, value),
                    None => out.remove(&open.keyspace, key),
                }
            }
            out.commit()
        })
    }

    fn delete_range(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Result<(), KvError> {
        let mut from = from.to_vec();
        loop {
            let mut batch = Batch::default();
            let mut last = None;
            self.range(space, &from, to, Order::Ascending, &mut |key, _| {
                batch.delete(space, key);
                last = Some(key.to_vec());
                batch.writes.len() < DELETE_BATCH
            })?;
            let Some(last) = last else { return Ok(()) };
            let full = batch.writes.len() == DELETE_BATCH;
            self.batch(batch)?;
            if !full {
                return Ok(());
            }
            from = last;
            from.push(0);
        }
    }

    fn persist(&self) -> Result<(), KvError> {
        self.write(|open| open.database.persist(PersistMode::SyncData))?;
        self.persists.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn wipe(&self) -> Result<(), KvError> {
        let mut open = self.open.write();
        *open = None;
        remove(&self.path).map_err(failed)?;
        *open = Some(Open::new(&self.path).map_err(failed)?);
        Ok(())
    }

    fn stats(&self) -> KvStats {
        let bytes = self.with(|open| open.database.disk_space().map_err(failed));
        KvStats {
            bytes: bytes.unwrap_or_default(),
            persists: self.persists.load(Ordering::Relaxed),
        }
    }
}
