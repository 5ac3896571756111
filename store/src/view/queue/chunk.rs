//! Entries of one queue, side by side: the packed form, runs of them, and the sealed chunk.
//!
//! A run has no gaps: its entries take every offset from `first` to `end`. Times and offsets are kept relative to the
//! run, so that an entry is 24 bytes and can be found by offset, by time and by position without decoding its
//! neighbours.

use crate::types::{Position, QueueId};

/// Entries of a sealed chunk.
pub(crate) const CHUNK_ENTRIES: usize = 64;
/// Bytes of an entry, in memory and in a chunk.
pub(crate) const ENTRY_BYTES: usize = 24;
const HEADER_BYTES: usize = 32;

/// Where a record of a queue is and what can be known of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First offset the record takes.
    pub offset: u64,
    /// Offsets it takes.
    pub count: u32,
    /// Where the record stands in the log.
    pub position: Position,
    /// Its length in the log.
    pub bytes: u32,
    /// Low half of its tag hash; 0 without a tag.
    pub tag_hash: u32,
    /// When it was stored; never less than the entry before it.
    pub stored_ms: i64,
}

impl Entry {
    /// First offset after the record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.count)
    }
}

/// An entry relative to its run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    pub(crate) position: u64,
    pub(crate) bytes: u32,
    pub(crate) tag_hash: u32,
    pub(crate) after_base_ms: u32,
    pub(crate) after_first: u32,
}

const _: () = assert!(size_of::<Packed>() == ENTRY_BYTES);

/// A run, borrowed from a tail or a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) base_ms: i64,
    pub(crate) entries: &'a [Packed],
}

impl Run<'_> {
    pub(crate) fn entry(&self, at: usize) -> Option<Entry> {
        let packed = self.entries.get(at)?;
        let offset = self.first + u64::from(packed.after_first);
        let end = self
            .entries
            .get(at + 1)
            .map_or(self.end, |next| self.first + u64::from(next.after_first));
        Some(Entry {
            offset,
            count: (end - offset) as u32,
            position: Position(packed.position),
            bytes: packed.bytes,
            tag_hash: packed.tag_hash,
            stored_ms: self.base_ms + i64::from(packed.after_base_ms),
        })
    }

    /// Index of the entry that takes `offset`, or of the first one after it.
    pub(crate) fn at_offset(&self, offset: u64) -> usize {
        if offset >= self.end {
            return self.entries.len();
        }
        let after = offset.saturating_sub(self.first);
        // Without batches the entry stands exactly there.
        let guess = after as usize;
        match self.entries.get(guess) {
            Some(e) if u64::from(e.after_first) == after => guess,
            _ => self
                .entries
                .partition_point(|e| u64::from(e.after_first) <= after)
                .saturating_sub(1),
        }
    }

    /// Index of the first entry stored at `ms` or later.
    pub(crate) fn at_time(&self, ms: i64) -> usize {
        self.entries
            .partition_point(|e| self.base_ms + i64::from(e.after_base_ms) < ms)
    }

    /// Index of the first entry whose record stands at `position` or after it.
    pub(crate) fn at_position(&self, position: u64) -> usize {
        self.entries.partition_point(|e| e.position < position)
    }

    /// First offset not taken by the first `count` entries.
    pub(crate) fn end_of(&self, count: usize) -> u64 {
        self.entries
            .get(count)
            .map_or(self.end, |e| self.first + u64::from(e.after_first))
    }

    pub(crate) fn last_position(&self) -> u64 {
        self.entries.last().map_or(0, |e| e.position)
    }

    pub(crate) fn last_ms(&self) -> i64 {
        let after = self.entries.last().map_or(0, |e| e.after_base_ms);
        self.base_ms + i64::from(after)
    }

    /// The run's first `count` entries.
    pub(crate) fn prefix(&self, count: usize) -> Self {
        Self {
            end: self.end_of(count),
            entries: self.entries.get(..count).unwrap_or(self.entries),
            ..*self
        }
    }

    /// Appends the encoding of the run to `out`: count and checksum, end, base time, position of the last entry,
    /// entries. `queue` is not written but checked when it is read back.
    pub(crate) fn encode(&self, queue: QueueId, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(HEADER_BYTES + self.entries.len() * ENTRY_BYTES);
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&self.base_ms.to_le_bytes());
        out.extend_from_slice(&self.last_position().to_le_bytes());
        for e in self.entries {
            out.extend_from_slice(&e.position.to_le_bytes());
            out.extend_from_slice(&e.bytes.to_le_bytes());
            out.extend_from_slice(&e.tag_hash.to_le_bytes());
            out.extend_from_slice(&e.after_base_ms.to_le_bytes());
            out.extend_from_slice(&e.after_first.to_le_bytes());
        }
        let crc = checksum(queue, self.first, &out[start..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Checksum over an encoded run with its own place read as zero.
fn checksum(queue: QueueId, first: u64, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&queue.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &first.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &bytes[..4]);
    crc32c::crc32c_append(crc, &bytes[8..])
}

/// Sealed entries of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    first: u64,
    end: u64,
    base_ms: i64,
    entries: Box<[Packed]>,
}

impl Chunk {
    pub(crate) fn new(first: u64, end: u64, base_ms: i64, entries: Vec<Packed>) -> Self {
        Self {
            first,
            end,
            base_ms,
            entries: entries.into_boxed_slice(),
        }
    }

    pub(crate) fn run(&self) -> Run<'_> {
        Run {
            first: self.first,
            end: self.end,
            base_ms: self.base_ms,
            entries: &self.entries,
        }
    }

    /// Bytes the chunk takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.entries.len() * ENTRY_BYTES
    }

    /// Reads back what [`Run::encode`] wrote; `None` if it was damaged.
    pub(crate) fn decode(queue: QueueId, first: u64, bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
        let count = u32_at(header, 0)? as usize;
        if body.len() != count.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        if checksum(queue, first, bytes) != u32_at(header, 4)? {
            return None;
        }
        let entries = body
            .chunks_exact(ENTRY_BYTES)
            .map(|e| {
                Some(Packed {
                    position: u64_at(e, 0)?,
                    bytes: u32_at(e, 8)?,
                    tag_hash: u32_at(e, 12)?,
                    after_base_ms: u32_at(e, 16)?,
                    after_first: u32_at(e, 20)?,
                })
            })
            .collect::<Option<Box<[_]>>>()?;
        Some(Self {
            first,
            end: u64_at(header, 8)?,
            base_ms: u64_at(header, 16)? as i64,
            entries,
        })
    }

    /// Takes the chunk apart into first offset, end, base time and entries.
    pub(crate) fn into_parts(self) -> (u64, u64, i64, Vec<Packed>) {
        (self.first, self.end, self.base_ms, self.entries.into_vec())
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let raw = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(raw))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let raw = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_le_bytes(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records of one, five and one offsets from 10 on.
    fn sample() -> Chunk {
        let packed = |position, after_base_ms, after_first| Packed {
            position,
            bytes: 96,
            tag_hash: 7,
            after_base_ms,
            after_first,
        };
        Chunk::new(
            10,
            17,
            1000,
            vec![packed(0, 0, 0), packed(96, 5, 1), packed(192, 5, 6)],
        )
    }

    #[test]
    fn an_offset_inside_a_batch_finds_the_batch() {
        let chunk = sample();
        let at: Vec<_> = (8..19).map(|o| chunk.run().at_offset(o)).collect();
        assert_eq!(at, [0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 3]);
        let batch = chunk.run().entry(1).map(|e| (e.offset, e.count));
        assert_eq!(batch, Some((11, 5)));
        assert_eq!(chunk.run().entry(2).map(|e| e.end()), Some(17));
    }

    #[test]
    fn a_time_finds_the_first_entry_not_before_it() {
        let chunk = sample();
        assert_eq!(chunk.run().at_time(1000), 0);
        assert_eq!(chunk.run().at_time(1001), 1);
        assert_eq!(chunk.run().at_time(1006), 3);
    }

    #[test]
    fn every_damaged_byte_of_a_chunk_is_noticed() {
        let mut bytes = Vec::new();
        sample().run().encode(QueueId(3), &mut bytes);
        let back = Chunk::decode(QueueId(3), 10, &bytes).expect("undamaged");
        assert_eq!(back.run().entry(2), sample().run().entry(2));
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(Chunk::decode(QueueId(3), 10, &bytes).is_none(), "byte {at}");
            bytes[at] ^= 1;
        }
        assert!(Chunk::decode(QueueId(3), 11, &bytes).is_none());
        assert!(Chunk::decode(QueueId(4), 10, &bytes).is_none());
        assert!(Chunk::decode(QueueId(3), 10, &bytes[..60]).is_none());
    }
}
