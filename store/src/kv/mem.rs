//! A key-value store in memory that remembers what was durable, for simulation and tests.
//!
//! Every write keeps what it replaced until it is persisted, so that a crash can take it back, and a chosen number of
//! persisted versions can be returned to as if an old backup had been put beside a newer log.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Batch, KvError, KvStats, KvStore, Order, Space, spaced, spaced_end};

type Undo = Vec<(Vec<u8>, Option<Bytes>)>;

#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Bytes>,
    /// One list for each batch that is not durable yet, oldest first.
    unsynced: Vec<Undo>,
    /// What each of the last persists made durable, oldest first.
    versions: VecDeque<Undo>,
    versions_max: usize,
    persists: u64,
    fail: bool,
}

impl State {
    fn write(&mut self, undo: &mut Undo, key: Vec<u8>, value: Option<Bytes>) {
        let old = match value {
            Some(value) => self.rows.insert(key.clone(), value),
            None => self.rows.remove(&key),
        };
        undo.push((key, old));
    }

    fn take_back(&mut self, undo: Undo) {
        for (key, old) in undo.into_iter().rev() {
            match old {
                Some(old) => self.rows.insert(key, old),
                None => self.rows.remove(&key),
            };
        }
    }
}

/// A store in memory. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemKv(Arc<Mutex<State>>);

impl MemKv {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that can return to any of its last `versions` persisted states.
    #[must_use]
    pub fn with_history(versions: usize) -> Self {
        let kv = Self::default();
        kv.0.lock().versions_max = versions;
        kv
    }

    /// What a loss of power leaves: a store of its own with the last persisted content.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.crash_keeping(0)
    }

    /// As [`MemKv::crash`], with the first `batches` of the batches that were not persisted kept.
    #[must_use]
    pub fn crash_keeping(&self, batches: usize) -> Self {
        let mut state = self.0.lock().clone();
        while state.unsynced.len() > batches {
            if let Some(undo) = state.unsynced.pop() {
                state.take_back(undo);
            }
        }
        state.fail = false;
        Self(Arc::new(Mutex::new(state)))
    }

    /// A store of its own with the content `back` persists ago, or the oldest still known.
    #[must_use]
    pub fn restore(&self, back: usize) -> Self {
        let kv = self.crash();
        let mut state = kv.0.lock();
        for _ in 0..back {
            if let Some(undo) = state.versions.pop_back() {
                state.take_back(undo);
            }
        }
        drop(state);
        kv
    }

    /// Makes every later call fail, or work again.
    pub fn set_failing(&self, fail: bool) {
        self.0.lock().fail = fail;
    }

    /// Inverts one byte of a value, to see that damage is found. False without such a value.
    pub fn damage(&self, space: Space, key: &[u8], byte: usize) -> bool {
        let mut state = self.0.lock();
        let Some(value) = state.rows.get_mut(&spaced(space, key)) else {
            return false;
        };
        let mut bytes = value.to_vec();
        let Some(b) = bytes.get_mut(byte) else {
            return false;
        };
        *b = !*b;
        *value = bytes.into();
        true
    }

    /// Number of keys in a space.
    #[must_use]
    pub fn count(&self, space: Space) -> usize {
        let (from, to) = (spaced(space, &[]), spaced_end(space, None));
        self.0.lock().rows.range(from..to).count()
    }

    fn state(&self) -> Result<parking_lot::MutexGuard<'_, State>, KvError> {
        let state = self.0.lock();
        if state.fail {
            return Err(KvError("made to fail".to_owned()));
        }
        Ok(state)
    }
}

impl KvStore for MemKv {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        Ok(self.state()?.rows.get(&spaced(space, key)).cloned())
    }

    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), KvError> {
        let (mut from, mut to) = (spaced(space, from), spaced_end(space, to));
        // Visitors may call back into the store, so the lock is taken for one key at a time.
        while from < to {
            let state = self.state()?;
            let bounds = (Bound::Included(&from), Bound::Excluded(&to));
            let mut rows = state.rows.range::<Vec<u8>, _>(bounds);
            let found = match order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some((key, value)) = found.map(|(k, v)| (k.clone(), v.clone())) else {
                break;
            };
            drop(state);
            if !visit(&key[1..], &value) {
                break;
            }
            match order {
                Order::Ascending => {
                    from = key;
                    from.push(0);
                }
                Order::Descending => to = key,
            }
        }
        Ok(())
    }

    fn batch(&self, batch: Batch) -> Result<(), KvError> {
        let mut state = self.state()?;
        let mut undo = Undo::new();
        for (key, value) in batch.writes {
            state.write(&mut undo, key, value.map(Bytes::from));
        }
        state.unsynced.push(undo);
        Ok(())
    }

    fn delete_range(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Result<(), KvError> {
        let mut state = self.state()?;
        let (from, to) = (spaced(space, from), spaced_end(space, to));
        if from >= to {
            return Ok(());
        }
        let keys: Vec<_> = state.rows.range(from..to).map(|(k, _)| k.clone()).collect();
        let mut undo = Undo::new();
        for key in keys {
            state.write(&mut undo, key, None);
        }
        state.unsynced.push(undo);
        Ok(())
    }

    fn persist(&self) -> Result<(), KvError> {
        let mut state = self.state()?;
        let undo: Undo = std::mem::take(&mut state.unsynced)
            .into_iter()
            .flatten()
            .collect();
        if state.versions_max > 0 {
            if state.versions.len() == state.versions_max {
                state.versions.pop_front();
            }
            state.versions.push_back(undo);
        }
        state.persists += 1;
        Ok(())
    }

    fn wipe(&self) -> Result<(), KvError> {
        let mut state = self.state()?;
        state.rows.clear();
        state.unsynced.clear();
        state.versions.clear();
        Ok(())
    }

    fn stats(&self) -> KvStats {
        let state = self.0.lock();
        KvStats {
            bytes: state
                .rows
                .iter()
                .map(|(k, v)| (k.len() + v.len()) as u64)
                .sum(),
            persists: state.persists,
        }
    }
}
