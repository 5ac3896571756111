//! A table of shared definitions, found by name and by number. Read far more often than written: sharded, so that readers
//! of different names do not meet, and holding pointers only, so that a hundred thousand entries stay small.
//! Writers of one name are serialised by the caller.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;

const SHARDS: usize = 64;

/// Something with a name and a number, both unique.
pub(crate) trait Entry {
    fn name(&self) -> &str;
    fn number(&self) -> u32;
}

type Shard<T> = RwLock<HashTable<Arc<T>>>;

#[derive(Debug)]
pub(crate) struct Registry<T> {
    names: [Shard<T>; SHARDS],
    numbers: [Shard<T>; SHARDS],
    hasher: RandomState,
    len: AtomicUsize,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            names: std::array::from_fn(|_| RwLock::default()),
            numbers: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::default(),
            len: AtomicUsize::new(0),
        }
    }
}

/// The shard of a hash; bits the table itself does not use.
fn shard<T>(shards: &[Shard<T>; SHARDS], hash: u64) -> &Shard<T> {
    &shards[(hash >> 40) as usize % SHARDS]
}

impl<T: Entry> Registry<T> {
    fn name_hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn number_hash(&self, number: u32) -> u64 {
        self.hasher.hash_one(number)
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<T>> {
        let hash = self.name_hash(name);
        let table = shard(&self.names, hash).read();
        table.find(hash, |e| e.name() == name).cloned()
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<Arc<T>> {
        let hash = self.number_hash(number);
        let table = shard(&self.numbers, hash).read();
        table.find(hash, |e| e.number() == number).cloned()
    }

    /// Enters `entry`; returns the one of the same name that it replaces.
    pub(crate) fn put(&self, entry: Arc<T>) -> Option<Arc<T>> {
        let hash = self.name_hash(entry.name());
        let old = {
            let mut table = shard(&self.names, hash).write();
            swap(
                &mut table,
                hash,
                Arc::clone(&entry),
                |e| e.name() == entry.name(),
                |e| self.name_hash(e.name()),
            )
        };
        if old.is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        let number = entry.number();
        let hash = self.number_hash(number);
        let mut table = shard(&self.numbers, hash).write();
        swap(
            &mut table,
            hash,
            entry,
            |e| e.number() == number,
            |e| self.number_hash(e.number()),
        );
        old
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<T>> {
        let hash = self.name_hash(name);
        let old = {
            let mut table = shard(&self.names, hash).write();
            let found = table.find_entry(hash, |e| e.name() == name).ok()?;
            found.remove().0
        };
        self.len.fetch_sub(1, Ordering::Relaxed);
        let hash = self.number_hash(old.number());
        let mut table = shard(&self.numbers, hash).write();
        if let Ok(found) = table.find_entry(hash, |e| e.number() == old.number()) {
            found.remove();
        }
        Some(old)
    }

    /// Every entry, in no order.
    pub(crate) fn list(&self) -> Vec<Arc<T>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.names {
            all.extend(shard.read().iter().cloned());
        }
        all
    }
}

fn swap<T>(
    table: &mut HashTable<Arc<T>>,
    hash: u64,
    entry: Arc<T>,
    same: impl FnMut(&Arc<T>) -> bool,
    rehash: impl Fn(&Arc<T>) -> u64,
) -> Option<Arc<T>> {
    if let Some(slot) = table.find_mut(hash, same) {
        return Some(std::mem::replace(slot, entry));
    }
    table.insert_unique(hash, entry, rehash);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Thing(String, u32);

    impl Entry for Thing {
        fn name(&self) -> &str {
            &self.0
        }
        fn number(&self) -> u32 {
            self.1
        }
    }

    fn thing(name: &str, number: u32) -> Arc<Thing> {
        Arc::new(Thing(name.into(), number))
    }

    #[test]
    fn entries_are_found_by_name_and_number_until_removed() {
        let registry = Registry::default();
        for n in 0..10_000 {
            assert!(registry.put(thing(&format!("t{n}"), n)).is_none());
        }
        assert_eq!((registry.len(), registry.list().len()), (10_000, 10_000));
        for n in 0..10_000 {
            assert_eq!(registry.get(&format!("t{n}")).unwrap().1, n);
            assert_eq!(registry.by_number(n).unwrap().0, format!("t{n}"));
        }
        assert_eq!(registry.remove("t7").unwrap().1, 7);
        assert!(registry.get("t7").is_none() && registry.by_number(7).is_none());
        assert!(registry.remove("t7").is_none());
        assert_eq!(registry.len(), 9_999);
    }

    #[test]
    fn a_replaced_entry_is_handed_back_and_seen_by_number_too() {
        let registry = Registry::default();
        registry.put(thing("a", 1));
        let new = thing("a", 1);
        assert!(registry.put(Arc::clone(&new)).is_some());
        assert!(Arc::ptr_eq(&registry.by_number(1).unwrap(), &new));
        assert_eq!(registry.len(), 1);
    }
}
