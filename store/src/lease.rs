//! Leases: which records of a queue a group has been given and has not settled yet.
//!
//! A [`Ledger`] is the state of one group in one queue. Offsets below [`Ledger::low`] are settled, offsets from
//! [`Ledger::next`] on were never given out; in between every offset is settled, leased, or waits to be given out again at
//! its original place. A lease ends with its time ([`Term::Until`]) or with its owner ([`Term::Owner`]), whichever it was
//! given for. What a lease is known by is the number of the delivery: it tells a late answer from a current one.
//!
//! A ledger is owned by whoever serves the group; it starts nothing, knows no time but the one it is told, and reads and
//! writes nothing: [`Ledger::flush`] says what is to be written to the table of leases, [`Ledger::load`] takes it back.
//! Settled offsets are written with the next flush. Leases are written only when they last longer than a moment: one
//! that is lost with the process is a record given out again early, never a record lost.

mod chunk;
mod row;

use std::collections::VecDeque;

use self::chunk::{CHUNK, Chunk, Slot};
use crate::change::Change;
use crate::types::{GroupId, QueueId, TableId};

pub use self::row::{key, prefix};

/// Offsets between the first that is not settled and the last that was given out, at most.
pub const WINDOW_MAX: u64 = 1 << 20;
/// Age at which a lease is written, milliseconds.
const WRITE_AFTER_MS: i64 = 1000;

/// Somebody whose leases all end together, without a clock. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerId(pub std::num::NonZeroU32);

/// What ends a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// A time, milliseconds since 1970. One that is past makes the record available at once.
    Until(i64),
    /// The end of its owner.
    Owner(OwnerId),
}

/// A record that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its offset.
    pub offset: u64,
    /// How many times it has been given out, this time included.
    pub attempt: u16,
}

/// Why a lease is not what the caller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The record is settled already.
    #[error("the record is settled")]
    Settled,
    /// The record has been given out again since.
    #[error("the record was given out again")]
    Stale,
    /// The record was never given out.
    #[error("the record was never given out")]
    Unknown,
}

/// The state of one group in one queue.
#[derive(Debug)]
pub struct Ledger {
    /// Of the whole chunks from the one that holds `low` to the one that holds `next`.
    chunks: VecDeque<Chunk>,
    low: u64,
    next: u64,
    /// Nothing in the window becomes available before this.
    ready_ms: i64,
    outstanding: usize,
    /// Bases of the chunks that differ from their rows.
    dirty: Vec<u64>,
    /// Bases of rows that no chunk needs any more.
    gone: Vec<u64>,
    written: (u64, u64),
}

/// What a flush has to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flush {
    /// State changes, to be written together.
    pub changes: Vec<Change>,
    /// A lease is too young to be written: flush again later.
    pub again: bool,
}

fn base_of(offset: u64) -> u64 {
    offset / CHUNK * CHUNK
}

impl Ledger {
    /// A group that has consumed everything below `low` and nothing else.
    #[must_use]
    pub fn new(low: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            low,
            next: low,
            ready_ms: i64::MAX,
            outstanding: 0,
            dirty: Vec::new(),
            gone: Vec::new(),
            written: (low, low),
        }
    }

    /// The state as its rows and the group's position tell it. Rows that cannot be read are left out: their records are
    /// given out again. Leases of owners have ended.
    #[must_use]
    pub fn load<'a>(low: u64, rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut ledger = Self::new(low);
        let mut chunks = Vec::new();
        for (key, value) in rows {
            match row::read(key, value) {
                Some(row::Row::Next(next)) => ledger.next = ledger.next.max(next),
                Some(row::Row::Chunk(base, chunk)) if base + CHUNK > low => {
                    chunks.push((base, chunk));
                }
                // It ends below the position, which was moved since.
                Some(row::Row::Chunk(base, _)) => ledger.gone.push(base),
                None => tracing::error!("a row of a lease cannot be read"),
            }
        }
        ledger.next = ledger.next.min(low.saturating_add(WINDOW_MAX));
        ledger.written = (low, ledger.next);
        ledger.cover();
        for (base, chunk) in chunks {
            if let Some(at) = ledger.index(base) {
                ledger.chunks[at] = chunk;
            } else {
                ledger.gone.push(base);
            }
        }
        for offset in low..ledger.next {
            let Some((chunk, bit)) = ledger.at(offset) else {
                continue;
            };
            if chunk.is_settled(bit) {
                continue;
            }
            // It was given out, or `next` would not be beyond it.
            if !chunk.slot(bit).is_given() {
                chunk.set(bit, Slot::available(1));
            } else if chunk.slot(bit).is_aside() {
                // Who set it aside and knew what for is gone.
                let attempts = chunk.slot(bit).attempts;
                chunk.set(bit, Slot::available(attempts));
            }
            let ready_ms = chunk.slot(bit).ready_ms();
            ledger.outstanding += 1;
            ledger.ready_ms = ledger.ready_ms.min(ready_ms);
        }
        ledger.advance();
        ledger
    }

    /// First offset that is not settled: the group's position.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.low
    }

    /// First offset that was never given out.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Records given out and not settled, whoever has them.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// How many more offsets the window has room for.
    #[must_use]
    pub fn room(&self) -> u64 {
        WINDOW_MAX.saturating_sub(self.next - self.low)
    }

    /// When a record that was given out becomes available again at the earliest; a time that is past means now.
    #[must_use]
    pub fn ready_ms(&self) -> Option<i64> {
        (self.ready_ms < i64::MAX).then_some(self.ready_ms)
    }

    /// When nobody will hold a record of this queue any more, if somebody does: the end of the last lease, and
    /// `i64::MAX` if one has an owner.
    #[must_use]
    pub fn held_until(&self, now_ms: i64) -> Option<i64> {
        let held = self.unsettled(self.low).map(|(_, slot)| slot);
        let held = held.filter(|slot| slot.is_held(now_ms));
        held.map(|slot| slot.ready_ms()).max()
    }

    /// Records that somebody holds, lowest offset first.
    #[must_use]
    pub fn held(&self, now_ms: i64) -> Vec<Lease> {
        let held = self.unsettled(self.low);
        let held = held.filter(|(_, slot)| slot.is_held(now_ms));
        let held = held.map(|(offset, slot)| Lease {
            offset,
            attempt: slot.attempts,
        });
        held.collect()
    }

    /// Records that may be given out again, lowest offset first, with the number of deliveries they have behind them.
    #[must_use]
    pub fn ready(&mut self, now_ms: i64, max: usize) -> Vec<Lease> {
        if self.ready_ms > now_ms || max == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut earliest = i64::MAX;
        let mut base = base_of(self.low);
        for chunk in &mut self.chunks {
            if chunk.ready_ms <= now_ms {
                let mut chunk_earliest = i64::MAX;
                for (bit, slot) in chunk.unsettled() {
                    let offset = base + bit;
                    if slot.is_ready(now_ms) && found.len() < max {
                        found.push(Lease {
                            offset,
                            attempt: slot.attempts,
                        });
                    }
                    chunk_earliest = chunk_earliest.min(slot.ready_ms());
                }
                chunk.ready_ms = chunk_earliest;
            }
            earliest = earliest.min(chunk.ready_ms);
            base += CHUNK;
            if found.len() == max {
                return found;
            }
        }
        self.ready_ms = earliest;
        found
    }

    /// Gives out a record that [`Ledger::ready`] named, or that was set aside.
    ///
    /// # Errors
    /// It has been settled, or given out, in between.
    pub fn give_again(
        &mut self,
        lease: Lease,
        term: Term,
        now_ms: i64,
    ) -> Result<Lease, LeaseError> {
        let slot = self.find(lease.offset, Some(lease.attempt))?;
        if slot.is_held(now_ms) {
            return Err(LeaseError::Stale);
        }
        let attempt = lease.attempt.saturating_add(1);
        self.put(lease.offset, Slot::of(term, attempt), now_ms);
        Ok(Lease { attempt, ..lease })
    }

    /// Goes on to `next`: gives out the offsets of `wanted`, which ascend, and settles what lies between them.
    pub fn give_new(
        &mut self,
        next: u64,
        wanted: impl IntoIterator<Item = u64>,
        term: Term,
        now_ms: i64,
    ) -> Vec<Lease> {
        let next = next.min(self.low.saturating_add(WINDOW_MAX)).max(self.next);
        let from = std::mem::replace(&mut self.next, next);
        self.cover();
        let mut given = Vec::new();
        let mut at = from;
        for offset in wanted.into_iter().filter(|o| (from..next).contains(o)) {
            self.settle_range(at, offset);
            self.outstanding += 1;
            self.put(offset, Slot::of(term, 1), now_ms);
            given.push(Lease { offset, attempt: 1 });
            at = offset + 1;
        }
        self.settle_range(at, next);
        self.advance();
        given
    }

    /// Settles a record for good. With an `attempt` the answer of an earlier delivery is refused.
    ///
    /// # Errors
    /// See [`LeaseError`]; nothing changed.
    pub fn settle(&mut self, offset: u64, attempt: Option<u16>) -> Result<(), LeaseError> {
        self.find(offset, attempt)?;
        self.mark(offset);
        self.outstanding -= 1;
        self.advance();
        Ok(())
    }

    /// Gives a lease another term: a longer one, or a time at which the record is given out again.
    ///
    /// # Errors
    /// See [`LeaseError`]; nothing changed.
    pub fn renew(
        &mut self,
        offset: u64,
        attempt: Option<u16>,
        term: Term,
        now_ms: i64,
    ) -> Result<(), LeaseError> {
        let slot = self.find(offset, attempt)?;
        self.put(offset, Slot::of(term, slot.attempts), now_ms);
        Ok(())
    }

    /// Takes back a delivery that did not happen: the record is available and the delivery does not count.
    ///
    /// # Errors
    /// See [`LeaseError`]; nothing changed.
    pub fn undo(&mut self, lease: Lease, now_ms: i64) -> Result<(), LeaseError> {
        self.find(lease.offset, Some(lease.attempt))?;
        let attempts = lease.attempt.saturating_sub(1);
        self.put(lease.offset, Slot::available(attempts), now_ms);
        Ok(())
    }

    /// Sets a record aside: nobody holds it, and [`Ledger::ready`] does not name it; who knows of it asks for it with
    /// [`Ledger::give_again`]. It counts as given out `attempts` times. A ledger that is loaded has nothing set aside.
    ///
    /// # Errors
    /// See [`LeaseError`]; nothing changed.
    pub fn set_aside(
        &mut self,
        lease: Lease,
        attempts: u16,
        now_ms: i64,
    ) -> Result<(), LeaseError> {
        self.find(lease.offset, Some(lease.attempt))?;
        self.put(lease.offset, Slot::aside(attempts), now_ms);
        Ok(())
    }

    /// Ends every lease of an owner; returns how many there were.
    pub fn drop_owner(&mut self, owner: OwnerId, now_ms: i64) -> usize {
        let held: Vec<_> = self
            .unsettled(self.low)
            .filter(|(_, slot)| slot.owner == owner.0.get())
            .collect();
        for (offset, slot) in &held {
            self.put(*offset, Slot::available(slot.attempts), now_ms);
        }
        held.len()
    }

    /// Settles everything below `low`, whoever holds it.
    pub fn settle_below(&mut self, low: u64) {
        if low > self.next {
            return self.jump(low);
        }
        let held: Vec<_> = self.unsettled(self.low).map(|(offset, _)| offset).collect();
        for offset in held.into_iter().take_while(|offset| *offset < low) {
            self.mark(offset);
            self.outstanding -= 1;
        }
        self.advance();
    }

    /// Moves the position from outside: everything below is settled, everything from there on is new.
    pub fn jump(&mut self, low: u64) {
        let stored = self.stored_bases();
        *self = Self {
            gone: stored,
            // Whatever was written, it is not this.
            written: (u64::MAX, u64::MAX),
            ..Self::new(low)
        };
    }

    /// True if nothing is to be written and nothing but the position is known.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.low == self.next
            && self.dirty.is_empty()
            && self.gone.is_empty()
            && self.written == (self.low, self.next)
    }

    /// What differs from the rows. The caller writes all of it or none; [`Ledger::unflushed`] takes a failure back.
    pub fn flush(&mut self, group: GroupId, queue: QueueId, table: TableId, now_ms: i64) -> Flush {
        let mut flush = Flush::default();
        let changes = &mut flush.changes;
        let put = |base, value| Change::Put {
            table,
            key: key(group, queue, base),
            value,
        };
        // A chunk may have taken the place of a row that goes: deletions come first.
        for base in self.gone.drain(..) {
            changes.push(Change::Delete {
                table,
                key: key(group, queue, base),
            });
        }
        if self.written.0 != self.low {
            changes.push(Change::Commit {
                group,
                queue,
                offset: self.low,
            });
        }
        if self.written.1 != self.next || self.written.0 == u64::MAX {
            changes.push(put(row::NEXT, row::next(self.next)));
        }
        self.written = (self.low, self.next);
        for base in std::mem::take(&mut self.dirty) {
            let Some(at) = self.index(base) else { continue };
            let chunk = &mut self.chunks[at];
            if !chunk.is_acked && now_ms - chunk.leased_ms < WRITE_AFTER_MS {
                flush.again = true;
                self.dirty.push(base);
                continue;
            }
            chunk.written();
            changes.push(put(base, row::chunk(chunk)));
        }
        flush
    }

    /// A flush was not written: the next one writes everything.
    pub fn unflushed(&mut self) {
        self.written = (u64::MAX, u64::MAX);
        let mut base = base_of(self.low);
        for chunk in &mut self.chunks {
            chunk.is_acked = true;
            if !chunk.is_dirty {
                chunk.is_dirty = true;
                self.dirty.push(base);
            }
            base += CHUNK;
        }
    }

    fn stored_bases(&self) -> Vec<u64> {
        let bases = (base_of(self.low)..).step_by(CHUNK as usize);
        let stored = self.chunks.iter().zip(bases);
        let stored = stored.filter(|(chunk, _)| chunk.is_stored);
        let mut all: Vec<u64> = stored.map(|(_, base)| base).collect();
        all.extend(&self.gone);
        all
    }

    fn index(&self, base: u64) -> Option<usize> {
        let at = base.checked_sub(base_of(self.low))? / CHUNK;
        usize::try_from(at)
            .ok()
            .filter(|at| *at < self.chunks.len())
    }

    fn at(&mut self, offset: u64) -> Option<(&mut Chunk, u64)> {
        let at = self.index(base_of(offset))?;
        Some((self.chunks.get_mut(at)?, offset % CHUNK))
    }

    /// Every offset from `from` on that is given out and not settled.
    fn unsettled(&self, from: u64) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let bases = (base_of(self.low)..).step_by(CHUNK as usize);
        let range = from..self.next;
        self.chunks
            .iter()
            .zip(bases)
            .flat_map(|(chunk, base)| chunk.unsettled().map(move |(bit, slot)| (base + bit, slot)))
            .filter(move |(offset, _)| range.contains(offset))
    }

    fn find(&mut self, offset: u64, attempt: Option<u16>) -> Result<Slot, LeaseError> {
        if offset < self.low {
            return Err(LeaseError::Settled);
        }
        if offset >= self.next {
            return Err(LeaseError::Unknown);
        }
        let Some((chunk, bit)) = self.at(offset) else {
            return Err(LeaseError::Unknown);
        };
        if chunk.is_settled(bit) {
            return Err(LeaseError::Settled);
        }
        let slot = chunk.slot(bit);
        match attempt {
            Some(attempt) if attempt != slot.attempts => Err(LeaseError::Stale),
            // Given out and taken back, or set aside: nobody has it.
            None if slot.attempts == 0 => Err(LeaseError::Unknown),
            _ => Ok(slot),
        }
    }

    /// Makes chunks for the whole window.
    fn cover(&mut self) {
        let end = base_of(self.next) + CHUNK;
        let wanted = (end - base_of(self.low)) / CHUNK;
        while (self.chunks.len() as u64) < wanted {
            self.chunks.push_back(Chunk::default());
        }
    }

    fn put(&mut self, offset: u64, slot: Slot, now_ms: i64) {
        self.ready_ms = self.ready_ms.min(slot.ready_ms());
        let Some((chunk, bit)) = self.at(offset) else {
            return;
        };
        chunk.set(bit, slot);
        if !chunk.is_dirty {
            chunk.is_dirty = true;
            chunk.leased_ms = now_ms;
            self.dirty.push(base_of(offset));
        }
    }

    fn mark(&mut self, offset: u64) {
        let Some((chunk, bit)) = self.at(offset) else {
            return;
        };
        chunk.settle(bit);
        if !chunk.is_dirty {
            chunk.is_dirty = true;
            self.dirty.push(base_of(offset));
        }
    }

    fn settle_range(&mut self, from: u64, to: u64) {
        for offset in from..to {
            self.mark(offset);
        }
    }

    /// Moves `low` over what is settled and drops the chunks that leaves behind.
    fn advance(&mut self) {
        while self.low < self.next {
            let Some(chunk) = self.chunks.front() else {
                return;
            };
            let settled = chunk.settled_from(self.low % CHUNK);
            if settled == 0 {
                return;
            }
            let base = base_of(self.low);
            self.low = (self.low + settled).min(self.next);
            if base_of(self.low) == base {
                return;
            }
            if let Some(chunk) = self.chunks.pop_front()
                && chunk.is_stored
            {
                self.gone.push(base);
            }
        }
    }
}

#[cfg(test)]
mod tests;
