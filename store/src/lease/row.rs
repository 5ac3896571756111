//! The rows of the table of leases: one per chunk that has something to tell, and one for the end of the window.
//!
//! Keys are group, queue and first offset of the chunk, big-endian. The row of a chunk is its settled bits and, for each
//! offset that is leased, bit, deliveries and time, little-endian; leases of owners are not kept beyond the process.

use bytes::{BufMut, Bytes, BytesMut};

use super::Term;
use super::chunk::{CHUNK, Chunk, Slot};
use crate::types::{GroupId, QueueId};
use crate::view::queue::chunk::u64_at;

/// In the place of an offset: the row that holds the end of the window.
pub(super) const NEXT: u64 = u64::MAX;
const PREFIX_BYTES: usize = 12;
const KEY_BYTES: usize = 20;
const SLOT_BYTES: usize = 11;

/// What the keys of a group's rows in a queue begin with.
#[must_use]
pub fn prefix(group: GroupId, queue: QueueId) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX_BYTES);
    out.put_u32(group.0);
    out.put_u64(queue.0);
    out.freeze()
}

/// Key of the row of the chunk that begins at `base`.
#[must_use]
pub fn key(group: GroupId, queue: QueueId, base: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(KEY_BYTES);
    out.put_slice(&prefix(group, queue));
    out.put_u64(base);
    out.freeze()
}

pub(super) fn next(next: u64) -> Bytes {
    Bytes::copy_from_slice(&next.to_le_bytes())
}

pub(super) fn chunk(chunk: &Chunk) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u64_le(chunk.settled());
    for (bit, slot) in chunk.unsettled() {
        out.put_u8(bit as u8);
        out.put_u16_le(slot.attempts);
        let until_ms = if slot.owner == 0 { slot.ready_ms() } else { 0 };
        out.put_i64_le(until_ms);
    }
    out.freeze()
}

pub(super) enum Row {
    Next(u64),
    Chunk(u64, Chunk),
}

pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Row> {
    let base = u64::from_be_bytes(key.get(PREFIX_BYTES..KEY_BYTES)?.try_into().ok()?);
    if base == NEXT {
        return Some(Row::Next(u64_at(value, 0)?));
    }
    let (settled, slots) = value.split_at_checked(8)?;
    let slots = slots.chunks_exact(SLOT_BYTES);
    if !base.is_multiple_of(CHUNK) || !slots.remainder().is_empty() {
        return None;
    }
    let slots: Option<Vec<_>> = slots.map(slot).collect();
    let chunk = Chunk::stored(u64_at(settled, 0)?, slots?.into_iter());
    Some(Row::Chunk(base, chunk))
}

fn slot(row: &[u8]) -> Option<(u64, Slot)> {
    let bit = u64::from(*row.first()?);
    let attempts = u16::from_le_bytes(row.get(1..3)?.try_into().ok()?);
    let until_ms = u64_at(row, 3)? as i64;
    (bit < CHUNK).then(|| (bit, Slot::of(Term::Until(until_ms), attempts)))
}
