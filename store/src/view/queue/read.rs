//! Reading the queue table: bounds, entries from an offset, the offset at a time.
//!
//! What is in memory is read under the shard's lock. For older entries the lock is let go and the database asked; a chunk
//! leaves memory only after the database has it, so that the two together never miss an entry.

use super::chunk::{Chunk, Entry, Run};
use super::{Bounds, Hot, Idle, QueueTable, UNKNOWN};
use crate::kv::{Order, Space};
use crate::types::QueueId;
use crate::view::ViewError;

/// Which of two neighbours a search by time answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Boundary {
    /// The first offset stored at the time or after it.
    #[default]
    Lower,
    /// The last offset stored at the time or before it.
    Upper,
}

/// What is known of a queue without the database.
struct Known {
    min: u64,
    min_position: u64,
    next: u64,
    last_position: u64,
    memory_first: u64,
}

impl From<&Hot> for Known {
    fn from(hot: &Hot) -> Self {
        Self {
            memory_first: hot.memory_first(),
            ..Self::from(&hot.idle())
        }
    }
}

impl From<&Idle> for Known {
    fn from(idle: &Idle) -> Self {
        Self {
            min: idle.min,
            min_position: idle.min_position,
            next: idle.next,
            last_position: idle.last_position,
            memory_first: idle.next,
        }
    }
}

/// Key of a chunk.
pub(super) fn chunk_key(queue: QueueId, first: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&queue.0.to_be_bytes());
    key[8..].copy_from_slice(&first.to_be_bytes());
    key
}

/// First offset of a chunk, from its key.
fn first_of(key: &[u8]) -> Option<u64> {
    let raw = key.get(8..16)?.try_into().ok()?;
    Some(u64::from_be_bytes(raw))
}

impl QueueTable {
    fn known(&self, queue: QueueId) -> Option<Known> {
        let shard = self.shard(queue).read();
        match shard.hot.get(&queue) {
            Some(hot) => hot.exists().then(|| hot.into()),
            None => shard.idle.get(&queue).map(Known::from),
        }
    }

    /// Runs `visit` on the queue's entries in memory at `from` and after; `None` if `from` is not in memory.
    fn in_memory<T>(&self, queue: QueueId, from: u64, visit: impl FnOnce(&Hot) -> T) -> Option<T> {
        let shard = self.shard(queue).read();
        let hot = shard.hot.get(&queue)?;
        (hot.memory_first() <= from).then(|| visit(hot))
    }

    /// The stored chunk that takes `from`, or the first one after it, below `to`.
    fn stored_from(&self, queue: QueueId, from: u64, to: u64) -> Result<Option<Chunk>, ViewError> {
        let floor = self.stored(queue, 0, from.saturating_add(1), Order::Descending)?;
        if let Some(chunk) = floor.filter(|c| c.run().end > from) {
            return Ok(Some(chunk));
        }
        self.stored(queue, from.saturating_add(1), to, Order::Ascending)
    }

    /// The first stored chunk of a range of first offsets, in the given order.
    fn stored(
        &self,
        queue: QueueId,
        from: u64,
        to: u64,
        order: Order,
    ) -> Result<Option<Chunk>, ViewError> {
        let mut found = None;
        let (from, to) = (chunk_key(queue, from), chunk_key(queue, to));
        self.kv
            .range(Space::Chunks, &from, Some(&to), order, &mut |key, value| {
                found = Some(first_of(key).and_then(|first| Chunk::decode(queue, first, value)));
                false
            })?;
        match found {
            Some(None) => Err(ViewError::Damaged("chunk of queue entries")),
            Some(chunk) => Ok(chunk),
            None => Ok(None),
        }
    }

    /// The first and the next offset; both 0 for an unknown queue.
    pub(crate) fn bounds(&self, queue: QueueId) -> Result<Bounds, ViewError> {
        let Some(known) = self.known(queue) else {
            return Ok(Bounds::default());
        };
        let max = known.next;
        let log_start = self.log_start();
        if known.min >= max || known.last_position < log_start {
            return Ok(Bounds { min: max, max });
        }
        if known.min_position != UNKNOWN && known.min_position >= log_start {
            return Ok(Bounds {
                min: known.min,
                max,
            });
        }
        let first = self.first_live(queue, &known, log_start)?;
        let Some(first) = first else {
            return Ok(Bounds { min: max, max });
        };
        let min = first.offset.max(known.min);
        self.remember_min(queue, min, first.position.0);
        Ok(Bounds { min, max })
    }

    /// The first entry at the known minimum or after it that the log still has.
    fn first_live(
        &self,
        queue: QueueId,
        known: &Known,
        log_start: u64,
    ) -> Result<Option<Entry>, ViewError> {
        let live = |run: &Run<'_>, from: u64| {
            run.entry(run.at_position(log_start).max(run.at_offset(from)))
        };
        let mut from = known.min;
        loop {
            let found = self.in_memory(queue, from, |hot| {
                hot.runs().find_map(|run| live(&run, from))
            });
            if let Some(found) = found {
                return Ok(found);
            }
            let Some(now) = self.known(queue) else {
                return Ok(None);
            };
            match self.stored_from(queue, from, now.memory_first)? {
                Some(chunk) => {
                    if let Some(entry) = live(&chunk.run(), from) {
                        return Ok(Some(entry));
                    }
                    from = chunk.run().end;
                }
                None if now.memory_first >= now.next => return Ok(None),
                None => from = from.max(now.memory_first),
            }
        }
    }

    /// Caches what was found out about the first kept entry.
    fn remember_min(&self, queue: QueueId, min: u64, position: u64) {
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        let (known, known_position) = match shard.hot.get_mut(&queue) {
            Some(hot) => (&mut hot.min, &mut hot.min_position),
            None => match shard.idle.get_mut(&queue) {
                Some(idle) => (&mut idle.min, &mut idle.min_position),
                None => return,
            },
        };
        if min >= *known {
            *known = min;
            *known_position = position;
        }
    }

    /// Appends up to `max` entries from `from` on to `out`, beginning with the one that takes `from`; returns how many.
    pub(crate) fn entries(
        &self,
        queue: QueueId,
        from: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<usize, ViewError> {
        let log_start = self.log_start();
        let before = out.len();
        let mut from = from;
        while out.len() - before < max {
            let room = max - (out.len() - before);
            let read = self.in_memory(queue, from, |hot| {
                let floor = from.max(hot.min);
                copy(hot.runs(), floor, log_start, room, out);
            });
            if read.is_some() {
                break;
            }
            let Some(known) = self.known(queue) else {
                break;
            };
            if from >= known.next {
                break;
            }
            from = from.max(known.min);
            if from >= known.memory_first {
                if known.memory_first >= known.next {
                    break;
                }
                continue;
            }
            match self.stored_from(queue, from, known.memory_first)? {
                Some(chunk) => {
                    copy(std::iter::once(chunk.run()), from, log_start, room, out);
                    from = chunk.run().end;
                }
                None => from = known.memory_first,
            }
        }
        Ok(out.len() - before)
    }

    /// The offset a search by time answers with; 0 for an unknown queue.
    pub(crate) fn offset_by_time(
        &self,
        queue: QueueId,
        ms: i64,
        boundary: Boundary,
    ) -> Result<u64, ViewError> {
        let Bounds { min, max } = self.bounds(queue)?;
        if min == max {
            return Ok(max);
        }
        let offset = match boundary {
            Boundary::Lower => self.first_at(queue, min, ms)?,
            Boundary::Upper => match ms.checked_add(1) {
                Some(after) => self.first_at(queue, min, after)?.saturating_sub(1),
                None => max - 1,
            },
        };
        Ok(offset.clamp(min, max))
    }

    /// First offset at or after `min` stored at `ms` or later.
    fn first_at(&self, queue: QueueId, min: u64, ms: i64) -> Result<u64, ViewError> {
        let (mut high, mut answer) = {
            let shard = self.shard(queue).read();
            let Some(hot) = shard.hot.get(&queue) else {
                let next = shard.idle.get(&queue).map_or(0, |i| i.next);
                drop(shard);
                return self.first_stored_at(queue, (min, next), ms, next);
            };
            let found = hot.runs().find_map(|run| run.entry(run.at_time(ms)));
            (hot.memory_first(), found.map_or(hot.next, |e| e.offset))
        };
        if answer > high {
            // An older entry is in memory and is too early, and so is everything before it.
            high = min;
        }
        if min < high {
            answer = self.first_stored_at(queue, (min, high), ms, answer)?;
        }
        Ok(answer)
    }

    /// As [`Self::first_at`] for the chunks of a range of offsets; `otherwise` if all of them are too early.
    fn first_stored_at(
        &self,
        queue: QueueId,
        range: (u64, u64),
        ms: i64,
        otherwise: u64,
    ) -> Result<u64, ViewError> {
        let (mut low, mut high) = range;
        let mut answer = otherwise;
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(chunk) = self.stored_from(queue, middle, high)? else {
                high = middle;
                continue;
            };
            let run = chunk.run();
            match run.entry(run.at_time(ms)) {
                None => low = run.end,
                Some(e) if e.offset > run.first => return Ok(e.offset),
                Some(e) => {
                    answer = e.offset;
                    high = run.first.min(middle);
                }
            }
        }
        Ok(answer)
    }
}

/// Copies entries at `from` and after that the log still has.
fn copy<'a>(
    runs: impl Iterator<Item = Run<'a>>,
    from: u64,
    log_start: u64,
    max: usize,
    out: &mut Vec<Entry>,
) {
    let full = out.len() + max;
    for run in runs.skip_while(|r| r.end <= from) {
        let start = run.at_offset(from).max(run.at_position(log_start));
        for at in start..run.entries.len() {
            if out.len() == full {
                return;
            }
            out.extend(run.entry(at));
        }
    }
}
