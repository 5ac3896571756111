//! Serialises changes of the same name, so that ten requests that create one topic create it once. Names share a fixed
//! number of locks; changes of different names run side by side.

use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use tokio::sync::{Mutex, MutexGuard};

const LOCKS: usize = 256;

#[derive(Debug)]
pub(crate) struct Flights {
    locks: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::default(),
        }
    }
}

impl Flights {
    fn slot(&self, name: &str) -> usize {
        (self.hasher.hash_one(name) % LOCKS as u64) as usize
    }

    /// Waits until no other change of `name` is under way.
    pub(crate) async fn enter(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        match self.locks.get(self.slot(name)) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }

    /// As [`Flights::enter`] for many names at once; locks are taken in their order, so that two callers cannot block
    /// each other.
    pub(crate) async fn enter_all<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let mut slots: Vec<usize> = names.map(|name| self.slot(name)).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut guards = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Some(lock) = self.locks.get(slot) {
                guards.push(lock.lock().await);
            }
        }
        guards
    }
}
