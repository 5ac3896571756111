//! Sorted, immutable runs of keys in the database.
//!
//! A run is a row that tells its extent and blocks of sorted keys, found by run, first hash and number. Blocks are
//! written before their row, rows are exchanged in one batch, and blocks without a row are deleted when the index is
//! opened. Neighbouring small runs are merged, so that a search reads few of them.

use super::{Key, Search};
use crate::kv::{Batch, KvError, KvStore, Order, Space};
use crate::view::ViewError;
use crate::view::queue::chunk::{u32_at, u64_at};

/// Keys of a block.
const BLOCK_KEYS: usize = 2048;
const KEY_BYTES: usize = 24;
const ROW_BYTES: usize = 52;
/// Runs merged at a time.
const MERGE_RUNS: usize = 8;
/// Largest run made by merging.
const MERGED_KEYS_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of merged blocks written by one batch.
const MERGE_BATCH: usize = 1024 * 1024;

/// Extent of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: u64,
    pub(super) keys: u64,
    pub(super) level: u32,
    pub(super) min_position: u64,
    pub(super) max_position: u64,
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
}

impl Run {
    fn empty(id: u64) -> Self {
        Self {
            id,
            keys: 0,
            level: 0,
            min_position: u64::MAX,
            max_position: 0,
            min_ms: i64::MAX,
            max_ms: i64::MIN,
        }
    }

    fn count(&mut self, key: &Key) {
        self.keys += 1;
        self.min_position = self.min_position.min(key.position);
        self.max_position = self.max_position.max(key.position);
        self.min_ms = self.min_ms.min(key.stored_ms);
        self.max_ms = self.max_ms.max(key.stored_ms);
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(ROW_BYTES);
        row.extend_from_slice(&self.keys.to_le_bytes());
        row.extend_from_slice(&self.level.to_le_bytes());
        row.extend_from_slice(&self.min_position.to_le_bytes());
        row.extend_from_slice(&self.max_position.to_le_bytes());
        row.extend_from_slice(&self.min_ms.to_le_bytes());
        row.extend_from_slice(&self.max_ms.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.id.to_le_bytes()), &row);
        row.extend_from_slice(&u64::from(crc).to_le_bytes());
        row
    }

    fn decode(id: u64, row: &[u8]) -> Option<Self> {
        let run = Self {
            id,
            keys: u64_at(row, 0)?,
            level: u32_at(row, 8)?,
            min_position: u64_at(row, 12)?,
            max_position: u64_at(row, 20)?,
            min_ms: u64_at(row, 28)? as i64,
            max_ms: u64_at(row, 36)? as i64,
        };
        (run.encode() == row).then_some(run)
    }
}

fn block_key(run: u64, first: u64, number: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(20);
    key.extend_from_slice(&run.to_be_bytes());
    key.extend_from_slice(&first.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn put_block(run: u64, number: u32, keys: &[Key], batch: &mut Batch) {
    let Some(first) = keys.first() else { return };
    let mut value = Vec::with_capacity(4 + keys.len() * KEY_BYTES);
    value.extend_from_slice(&[0; 4]);
    for key in keys {
        value.extend_from_slice(&key.hash.to_le_bytes());
        value.extend_from_slice(&key.position.to_le_bytes());
        value.extend_from_slice(&key.stored_ms.to_le_bytes());
    }
    let crc = crc32c::crc32c(&value[4..]);
    value[..4].copy_from_slice(&crc.to_le_bytes());
    batch.put(Space::Keys, block_key(run, first.hash, number), value);
}

fn read_block(value: &[u8]) -> Result<Vec<Key>, ViewError> {
    const DAMAGED: ViewError = ViewError::Damaged("block of keys");
    let crc = u32_at(value, 0).ok_or(DAMAGED)?;
    let body = value.get(4..).unwrap_or_default();
    if crc32c::crc32c(body) != crc || !body.len().is_multiple_of(KEY_BYTES) {
        return Err(DAMAGED);
    }
    let keys = body.chunks_exact(KEY_BYTES).map(|k| {
        Some(Key {
            hash: u64_at(k, 0)?,
            position: u64_at(k, 8)?,
            stored_ms: u64_at(k, 16)? as i64,
        })
    });
    keys.collect::<Option<_>>().ok_or(DAMAGED)
}

/// Writes sorted keys as a run.
pub(super) fn write(id: u64, keys: &[Key], batch: &mut Batch) -> Run {
    let mut run = Run::empty(id);
    keys.iter().for_each(|k| run.count(k));
    for (number, block) in keys.chunks(BLOCK_KEYS).enumerate() {
        put_block(id, number as u32, block, batch);
    }
    batch.put(Space::Runs, id.to_be_bytes(), run.encode());
    run
}

/// The runs of the database, oldest first. Blocks that belong to none are deleted.
pub(super) fn load(kv: &dyn KvStore) -> Result<Vec<Run>, ViewError> {
    let mut runs = Vec::new();
    let mut damaged = false;
    kv.range(Space::Runs, &[], None, Order::Ascending, &mut |key, row| {
        let id = key.try_into().map(u64::from_be_bytes).ok();
        match id.and_then(|id| Run::decode(id, row)) {
            Some(run) => runs.push(run),
            None => damaged = true,
        }
        !damaged
    })?;
    if damaged {
        return Err(ViewError::Damaged("run of keys"));
    }
    let mut free = 0;
    for run in &runs {
        kv.delete_range(
            Space::Keys,
            &block_key(free, 0, 0),
            Some(&block_key(run.id, 0, 0)),
        )?;
        free = run.id + 1;
    }
    kv.delete_range(Space::Keys, &block_key(free, 0, 0), None)?;
    runs.sort_unstable_by_key(|r| r.max_position);
    Ok(runs)
}

/// Deletes the blocks of a run.
pub(super) fn delete(kv: &dyn KvStore, id: u64) -> Result<(), KvError> {
    kv.delete_range(
        Space::Keys,
        &block_key(id, 0, 0),
        Some(&block_key(id + 1, 0, 0)),
    )
}

/// Deletes a run.
pub(super) fn forget(kv: &dyn KvStore, id: u64) -> Result<(), KvError> {
    let mut batch = Batch::default();
    batch.delete(Space::Runs, id.to_be_bytes());
    kv.batch(batch)?;
    delete(kv, id)
}

/// Searches a run, newest match first.
pub(super) fn find(kv: &dyn KvStore, run: &Run, search: &mut Search) -> Result<(), ViewError> {
    let from = block_key(run.id, 0, 0);
    let to = match search.hash.checked_add(1) {
        Some(after) => block_key(run.id, after, 0),
        None => block_key(run.id + 1, 0, 0),
    };
    let mut outcome = Ok(());
    kv.range(
        Space::Keys,
        &from,
        Some(&to),
        Order::Descending,
        &mut |_, value| {
            match read_block(value) {
                Ok(keys) => {
                    let hash = search.hash;
                    let matches = keys.iter().rev().skip_while(|k| k.hash > hash);
                    for key in matches.take_while(|k| k.hash == hash) {
                        search.take(key.position, key.stored_ms);
                        if search.is_done() {
                            return false;
                        }
                    }
                    // Earlier blocks can only match if this one begins with the hash.
                    keys.first().is_some_and(|k| k.hash == hash)
                }
                Err(e) => {
                    outcome = Err(e);
                    false
                }
            }
        },
    )?;
    outcome
}

/// Visits every key of a run.
pub(super) fn for_each(
    kv: &dyn KvStore,
    id: u64,
    visit: &mut impl FnMut(Key),
) -> Result<(), ViewError> {
    let mut outcome = Ok(());
    let (from, to) = (block_key(id, 0, 0), block_key(id + 1, 0, 0));
    kv.range(
        Space::Keys,
        &from,
        Some(&to),
        Order::Ascending,
        &mut |_, value| {
            match read_block(value) {
                Ok(keys) => keys.into_iter().for_each(&mut *visit),
                Err(e) => outcome = Err(e),
            }
            outcome.is_ok()
        },
    )?;
    outcome
}

/// Neighbouring runs of one level that are many enough to be merged, and where they begin.
pub(super) fn mergeable(runs: &[Run]) -> Option<(usize, Vec<Run>)> {
    let windows = runs.windows(MERGE_RUNS).enumerate();
    let small = windows.filter(|(_, w)| w.iter().map(|r| r.keys).sum::<u64>() <= MERGED_KEYS_MAX);
    let mut even = small.filter(|(_, w)| {
        w.iter()
            .all(|r| Some(r.level) == w.first().map(|f| f.level))
    });
    even.next().map(|(at, w)| (at, w.to_vec()))
}

/// Reads a run in order.
struct Cursor<'a> {
    kv: &'a dyn KvStore,
    from: Vec<u8>,
    to: Vec<u8>,
    block: std::vec::IntoIter<Key>,
    head: Option<Key>,
}

impl<'a> Cursor<'a> {
    fn new(kv: &'a dyn KvStore, id: u64) -> Result<Self, ViewError> {
        let mut cursor = Self {
            kv,
            from: block_key(id, 0, 0),
            to: block_key(id + 1, 0, 0),
            block: Vec::new().into_iter(),
            head: None,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        self.head = self.block.next();
        if self.head.is_some() {
            return Ok(());
        }
        let mut next = None;
        let (from, to) = (self.from.clone(), Some(self.to.as_slice()));
        self.kv.range(
            Space::Keys,
            &from,
            to,
            Order::Ascending,
            &mut |key, value| {
                next = Some((key.to_vec(), read_block(value)));
                false
            },
        )?;
        if let Some((mut key, block)) = next {
            key.push(0);
            self.from = key;
            self.block = block?.into_iter();
            self.head = self.block.next();
        }
        Ok(())
    }
}

/// Merges runs into one and puts its row in the place of theirs. Their blocks are left to be deleted.
pub(super) fn merge(kv: &dyn KvStore, id: u64, runs: &[Run]) -> Result<Run, ViewError> {
    let mut cursors = Vec::with_capacity(runs.len());
    for run in runs {
        cursors.push(Cursor::new(kv, run.id)?);
    }
    let mut merged = Run::empty(id);
    merged.level = runs.iter().map(|r| r.level).max().unwrap_or(0) + 1;
    let mut batch = Batch::default();
    let mut block = Vec::with_capacity(BLOCK_KEYS);
    let mut number = 0;
    loop {
        let smallest = cursors
            .iter_mut()
            .filter(|c| c.head.is_some())
            .min_by_key(|c| c.head);
        let Some(cursor) = smallest else { break };
        if let Some(key) = cursor.head {
            merged.count(&key);
            block.push(key);
        }
        cursor.advance()?;
        if block.len() == BLOCK_KEYS {
            put_block(id, number, &block, &mut batch);
            number += 1;
            block.clear();
            if batch.bytes() >= MERGE_BATCH {
                kv.batch(std::mem::take(&mut batch))?;
            }
        }
    }
    put_block(id, number, &block, &mut batch);
    for run in runs {
        batch.delete(Space::Runs, run.id.to_be_bytes());
    }
    batch.put(Space::Runs, id.to_be_bytes(), merged.encode());
    kv.batch(batch)?;
    Ok(merged)
}
