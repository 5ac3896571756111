//! The leases of 64 neighbouring offsets: a bit for each that is settled, a slot for each that is not.

use super::{OwnerId, Term};

/// Offsets of a chunk.
pub(super) const CHUNK: u64 = 64;

/// One offset that was given out and is not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// When it may be given out again, unless it has an owner.
    until_ms: i64,
    /// Number of the owner, or 0.
    pub(super) owner: u32,
    /// Deliveries so far.
    pub(super) attempts: u16,
    is_given: bool,
}

impl Slot {
    pub(super) fn of(term: Term, attempts: u16) -> Self {
        let (until_ms, owner) = match term {
            Term::Until(until_ms) => (until_ms, 0),
            Term::Owner(OwnerId(owner)) => (0, owner.get()),
        };
        Self {
            until_ms,
            owner,
            attempts,
            is_given: true,
        }
    }

    pub(super) fn is_given(&self) -> bool {
        self.is_given
    }

    pub(super) fn available(attempts: u16) -> Self {
        Self::of(Term::Until(0), attempts)
    }

    /// Nobody holds it, and it does not become available by itself.
    pub(super) fn aside(attempts: u16) -> Self {
        Self::of(Term::Until(i64::MAX), attempts)
    }

    pub(super) fn is_aside(&self) -> bool {
        self.owner == 0 && self.until_ms == i64::MAX
    }

    /// Somebody has it.
    pub(super) fn is_held(&self, now_ms: i64) -> bool {
        !self.is_ready(now_ms) && !self.is_aside()
    }

    /// When it may be given out again; never by itself if it has an owner.
    pub(super) fn ready_ms(&self) -> i64 {
        if self.owner == 0 {
            self.until_ms
        } else {
            i64::MAX
        }
    }

    pub(super) fn is_ready(&self, now_ms: i64) -> bool {
        self.owner == 0 && self.until_ms <= now_ms
    }
}

/// The state of 64 offsets.
#[derive(Debug)]
pub(super) struct Chunk {
    settled: u64,
    slots: Option<Box<[Slot; CHUNK as usize]>>,
    /// None of the slots becomes available before this.
    pub(super) ready_ms: i64,
    /// When the first lease was given that is not written.
    pub(super) leased_ms: i64,
    /// It differs from its row.
    pub(super) is_dirty: bool,
    /// It differs by what is settled.
    pub(super) is_acked: bool,
    /// It has a row.
    pub(super) is_stored: bool,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            settled: 0,
            slots: None,
            ready_ms: i64::MAX,
            leased_ms: 0,
            is_dirty: false,
            is_acked: false,
            is_stored: false,
        }
    }
}

impl Chunk {
    /// A chunk as its row has it.
    pub(super) fn stored(settled: u64, slots: impl Iterator<Item = (u64, Slot)>) -> Self {
        let mut chunk = Self {
            settled,
            is_stored: true,
            ..Self::default()
        };
        for (bit, slot) in slots {
            chunk.set(bit, slot);
        }
        chunk
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    pub(super) fn is_settled(&self, bit: u64) -> bool {
        self.settled >> bit & 1 == 1
    }

    /// How many offsets from `bit` on are settled without a gap.
    pub(super) fn settled_from(&self, bit: u64) -> u64 {
        u64::from((self.settled >> bit).trailing_ones())
    }

    pub(super) fn slot(&self, bit: u64) -> Slot {
        let slots = self.slots.as_deref();
        slots
            .and_then(|slots| slots.get(bit as usize))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn set(&mut self, bit: u64, slot: Slot) {
        let slots = self
            .slots
            .get_or_insert_with(|| Box::new([Slot::default(); CHUNK as usize]));
        if let Some(place) = slots.get_mut(bit as usize) {
            *place = slot;
            self.ready_ms = self.ready_ms.min(slot.ready_ms());
        }
    }

    pub(super) fn settle(&mut self, bit: u64) {
        self.settled |= 1 << bit;
        self.is_acked = true;
        if self.settled == u64::MAX {
            self.slots = None;
            self.ready_ms = i64::MAX;
        }
    }

    /// Offsets that were given out and are not settled.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let slots = self.slots.iter().flat_map(|slots| slots.iter());
        (0..CHUNK)
            .zip(slots)
            .filter(|(bit, slot)| !self.is_settled(*bit) && slot.is_given)
            .map(|(bit, slot)| (bit, *slot))
    }

    /// It is as its row.
    pub(super) fn written(&mut self) {
        self.is_dirty = false;
        self.is_acked = false;
        self.is_stored = true;
    }
}
