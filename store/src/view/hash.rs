//! A hash of all logical state, to see that two ways led to the same.
//!
//! Every item is hashed on its own and the hashes are added, so that neither order nor where an item is kept matters.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;

use super::{Bounds, ViewError, Views};

/// Entries read at a time.
const PORTION: usize = 1024;

#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, item: impl Hash) {
        self.0 = self.0.wrapping_add(FixedState::default().hash_one(item));
    }
}

impl Views {
    /// Hash of everything the views can answer with. Reads all of it; only of meaning while nothing is applied.
    ///
    /// # Errors
    /// The database failed or is damaged.
    pub fn state_hash(&self) -> Result<u64, ViewError> {
        let mut sum = Sum::default();
        sum.add(("applied", self.applied().0));
        for (queue, head) in self.queues.heads() {
            let Bounds { min, max } = self.queues.bounds(queue)?;
            sum.add(("queue", queue, min, max, head.last_position, head.last_ms));
            let (mut from, mut entries) = (min, Vec::new());
            while self.queues.entries(queue, from, PORTION, &mut entries)? > 0 {
                for e in entries.drain(..) {
                    from = e.end();
                    let place = (e.offset, e.count, e.position.0, e.bytes);
                    sum.add(("entry", queue, place, e.tag_hash, e.stored_ms));
                }
            }
        }
        self.keys
            .for_each(|hash, position, ms| sum.add(("key", hash, position, ms)))?;
        self.tables
            .for_each(|table, key, value| sum.add(("row", table, key, value)));
        self.positions.for_each(|group, queue, offset| {
            sum.add(("position", group, queue, offset));
        });
        self.timers.for_each(|t| {
            sum.add(("timer", t.due_ms, t.position.0, t.bytes, t.target));
        })?;
        Ok(sum.0)
    }
}
