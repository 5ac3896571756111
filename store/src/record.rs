//! The record: a checked frame around a protocol's own bytes.
//!
//! Layout, little-endian, total length a multiple of eight:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | total length, padding included |
//! | 4 | 1+1+2 | version, flavour, flags |
//! | 8 | 8 | position of this record |
//! | 16 | 8+8+4 | queue, queue offset, count |
//! | 36 | 2 | attempt |
//! | 38 | 2 | number of dispatch slots |
//! | 40 | 8+8 | born and stored, milliseconds |
//! | 56 | 8 | tag hash |
//! | 64 | 4+4 | system flags, user flags (opaque here) |
//! | 72 | 4 | extension length |
//! | 76 | 4 | tail length |
//! | 80 | 8 | link: position of the timer this record fires |
//! | 88 | 4 | CRC32C of extensions and tail, made where the record is prepared |
//! | 92 | 4 | CRC32C of bytes 0..92 and the dispatch slots, made by the appender after patching |
//! | 96 | 16·n | dispatch slots: queue, offset |
//! | … | | extensions (type 1, length 2, bytes), tail, zero padding |
//!
//! Offsets of dispatch slots are written into the log, so that every index entry can be rebuilt from any suffix of it.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::types::{Flavour, Position, QueueId};

/// Bytes of the fixed part of a record.
pub const RECORD_HEADER: usize = 96;
/// Bytes of one dispatch slot.
pub const DISPATCH_SLOT: usize = 16;
/// Most queues a record may be dispatched to besides its own.
pub const DISPATCH_MAX: usize = 4096;
/// Most extension bytes a record may carry.
pub const EXTENSION_MAX: usize = 16 * 1024;
/// Largest record, padding included. Bounds every allocation made from a length read from disk.
pub const RECORD_MAX: usize = 64 * 1024 * 1024;
const VERSION: u8 = 1;

/// Due time of a *prepared* record: it waits for a decision and not for a time. A record that fires it is the decision to
/// deliver it, a cancel of its timer the decision not to.
pub const UNDECIDED: i64 = i64::MAX;

/// The record waits for its due time and has no queue entry until another record fires it.
pub const FLAG_SCHEDULED: u16 = 1;
/// The record fires the timer named by its link.
pub const FLAG_FIRES: u16 = 1 << 1;
/// The tail begins with bytes of an earlier record, named by a [`TailSource`].
pub const FLAG_SOURCE: u16 = 1 << 2;

const EXT_KEYS: u8 = 1;
const EXT_DUE: u8 = 2;
const EXT_BORN_HOST: u8 = 3;
const EXT_SOURCE: u8 = 4;
const EXT_TARGET: u8 = 5;
const EXT_BODY_CRC: u8 = 6;
const EXT_DECIDER: u8 = 7;

/// Part of the tail of an earlier record, read as the beginning of this record's tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailSource {
    /// Position of the earlier record.
    pub position: Position,
    /// Its total length.
    pub record_bytes: u32,
    /// First tail byte taken.
    pub from: u32,
    /// First tail byte not taken.
    pub to: u32,
}

/// A record ready to be appended, except for what only the appender knows: position, queue offsets and store time.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Queue the record goes to; for a scheduled record the queue it will go to when it is due.
    pub queue: QueueId,
    /// More queues that get an index entry for this record.
    pub dispatch: SmallVec<[QueueId; 2]>,
    /// How the tail is to be read.
    pub flavour: Flavour,
    /// Offsets the record takes in its queue; more than one for a batch kept whole.
    pub count: u32,
    /// Delivery attempt, 0 for the first.
    pub attempt: u16,
    /// When the producer made the message, milliseconds since 1970.
    pub born_ms: i64,
    /// Hash of the tag as the owning protocol computes it; 0 without a tag.
    pub tag_hash: i64,
    /// Opaque to the store.
    pub sys_flags: u32,
    /// Opaque to the store.
    pub user_flags: u32,
    /// Hashes under which the record can be found.
    pub keys: SmallVec<[u64; 2]>,
    /// When the record is due. `Some` keeps it out of its queue until then.
    pub due_ms: Option<i64>,
    /// The timer this record fires.
    pub fires: Option<Position>,
    /// Where the beginning of the tail is to be read.
    pub source: Option<TailSource>,
    /// Socket address of the producer: 4 or 16 address bytes, then the port, big-endian.
    pub born_host: SmallVec<[u8; 18]>,
    /// Checksum of the body in the owning protocol's terms, kept for readers that verify it.
    pub body_crc: Option<u32>,
    /// Who decides about a prepared record; opaque to the store.
    pub decider: Bytes,
    /// The tail in pieces, in order.
    pub tail: SmallVec<[Bytes; 6]>,
}

impl Draft {
    /// A draft with nothing but a queue, a flavour and a tail.
    #[must_use]
    pub fn new(queue: QueueId, flavour: Flavour, tail: SmallVec<[Bytes; 6]>) -> Self {
        Self {
            queue,
            dispatch: SmallVec::new(),
            flavour,
            count: 1,
            attempt: 0,
            born_ms: 0,
            tag_hash: 0,
            sys_flags: 0,
            user_flags: 0,
            keys: SmallVec::new(),
            due_ms: None,
            fires: None,
            source: None,
            born_host: SmallVec::new(),
            body_crc: None,
            decider: Bytes::new(),
            tail,
        }
    }

    /// Encodes the parts that do not depend on the appender and computes the body checksum.
    ///
    /// # Errors
    /// A part of the draft is larger than its limit.
    pub fn prepare(self) -> Result<Prepared, DraftError> {
        let mut ext = SmallVec::<[u8; 64]>::new();
        let mut flags = 0;
        if !self.keys.is_empty() {
            put_ext(
                &mut ext,
                EXT_KEYS,
                self.keys.iter().flat_map(|k| k.to_le_bytes()),
            );
        }
        if let Some(due) = self.due_ms {
            flags |= FLAG_SCHEDULED;
            put_ext(&mut ext, EXT_DUE, due.to_le_bytes());
            put_ext(&mut ext, EXT_TARGET, self.queue.0.to_le_bytes());
        }
        if !self.born_host.is_empty() {
            put_ext(&mut ext, EXT_BORN_HOST, self.born_host.iter().copied());
        }
        if let Some(source) = self.source {
            flags |= FLAG_SOURCE;
            let parts = [
                source.position.0.to_le_bytes().as_slice(),
                &source.record_bytes.to_le_bytes(),
                &source.from.to_le_bytes(),
                &source.to.to_le_bytes(),
            ]
            .concat();
            put_ext(&mut ext, EXT_SOURCE, parts);
        }
        if let Some(crc) = self.body_crc {
            put_ext(&mut ext, EXT_BODY_CRC, crc.to_le_bytes());
        }
        if !self.decider.is_empty() {
            put_ext(&mut ext, EXT_DECIDER, self.decider.iter().copied());
        }
        if self.fires.is_some() {
            flags |= FLAG_FIRES;
        }
        if ext.len() > EXTENSION_MAX {
            return Err(DraftError::Extensions(ext.len()));
        }
        if self.dispatch.len() > DISPATCH_MAX {
            return Err(DraftError::Dispatch(self.dispatch.len()));
        }
        if self.count == 0 {
            return Err(DraftError::Count);
        }
        if self.due_ms.is_some() && !self.dispatch.is_empty() {
            return Err(DraftError::ScheduledDispatch);
        }
        let tail_bytes: usize = self.tail.iter().map(Bytes::len).sum();
        let bytes = RECORD_HEADER + self.dispatch.len() * DISPATCH_SLOT + ext.len() + tail_bytes;
        let total = bytes.next_multiple_of(8);
        if total > RECORD_MAX {
            return Err(DraftError::TooLarge(total));
        }
        let crc = self.tail.iter().fold(crc32c::crc32c(&ext), |crc, part| {
            crc32c::crc32c_append(crc, part)
        });
        let (queue, due_ms) = match self.due_ms {
            Some(_) => (QueueId::NONE, self.due_ms),
            None => (self.queue, None),
        };
        Ok(Prepared {
            queue,
            target: self.queue,
            dispatch: self.dispatch,
            flavour: self.flavour,
            flags,
            count: self.count,
            attempt: self.attempt,
            born_ms: self.born_ms,
            tag_hash: self.tag_hash,
            sys_flags: self.sys_flags,
            user_flags: self.user_flags,
            link: self.fires.unwrap_or_default(),
            due_ms,
            crc,
            total: total as u32,
            tail_bytes: tail_bytes as u32,
            source: self.source.map(|source| source.position),
            ext,
            tail: self.tail,
            cancels: None,
        })
    }
}

fn put_ext(out: &mut SmallVec<[u8; 64]>, kind: u8, bytes: impl IntoIterator<Item = u8>) {
    out.push(kind);
    let at = out.len();
    out.extend([0, 0]);
    out.extend(bytes);
    let length = (out.len() - at - 2) as u16;
    out[at..at + 2].copy_from_slice(&length.to_le_bytes());
}

/// Why a draft cannot become a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The record would be larger than [`RECORD_MAX`].
    #[error("record of {0} bytes is larger than {RECORD_MAX}")]
    TooLarge(usize),
    /// The extensions would be larger than [`EXTENSION_MAX`].
    #[error("extensions of {0} bytes are larger than {EXTENSION_MAX}")]
    Extensions(usize),
    /// More dispatch targets than [`DISPATCH_MAX`].
    #[error("{0} dispatch targets are more than {DISPATCH_MAX}")]
    Dispatch(usize),
    /// A scheduled record names one queue only.
    #[error("a scheduled record goes to one queue")]
    ScheduledDispatch,
    /// A record takes at least one offset.
    #[error("a record takes at least one offset")]
    Count,
}

/// A checked draft, cheap to copy into a block.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Queue that gets an offset now; [`QueueId::NONE`] for scheduled and system records.
    pub queue: QueueId,
    /// Queue of a scheduled record when it is due; equals `queue` otherwise.
    pub target: QueueId,
    /// More queues that get an offset.
    pub dispatch: SmallVec<[QueueId; 2]>,
    flavour: Flavour,
    flags: u16,
    /// Offsets taken in `queue`.
    pub count: u32,
    attempt: u16,
    born_ms: i64,
    tag_hash: i64,
    sys_flags: u32,
    user_flags: u32,
    link: Position,
    /// When a scheduled record is due.
    pub due_ms: Option<i64>,
    crc: u32,
    total: u32,
    tail_bytes: u32,
    /// Earlier record whose bytes this one borrows.
    pub source: Option<Position>,
    ext: SmallVec<[u8; 64]>,
    tail: SmallVec<[Bytes; 6]>,
    /// Not written: the record is left out if this timer is not pending.
    cancels: Option<Position>,
}

/// What the appender decides about one record.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Where the record stands.
    pub position: Position,
    /// Offset in the record's own queue; 0 without one.
    pub offset: u64,
    /// Offsets in the dispatched queues, in their order.
    pub dispatch_offsets: &'a [u64],
    /// Store time.
    pub stored_ms: i64,
}

impl Prepared {
    /// Makes the record worth appending only while a timer is pending.
    pub(crate) fn if_pending(self, timer: Position) -> Self {
        Self {
            cancels: Some(timer),
            ..self
        }
    }

    /// The timer that must be pending when the record is appended, because it fires or cancels it. The record is left out
    /// otherwise: of a firing and a cancel, the log takes the one that comes first.
    #[must_use]
    pub fn settles(&self) -> Option<Position> {
        let fires = self.flags & FLAG_FIRES != 0;
        if fires { Some(self.link) } else { self.cancels }
    }

    /// Bytes the record takes in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.total as usize
    }

    /// Appends the stamped record to `out`, exactly [`Prepared::bytes`] long.
    pub fn encode(&self, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        debug_assert_eq!(stamp.dispatch_offsets.len(), self.dispatch.len());
        let start = out.len();
        let mut head = [0u8; RECORD_HEADER];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.total.to_le_bytes());
        put(4, &[VERSION, self.flavour as u8]);
        put(6, &self.flags.to_le_bytes());
        put(8, &stamp.position.0.to_le_bytes());
        put(16, &self.queue.0.to_le_bytes());
        put(24, &stamp.offset.to_le_bytes());
        put(32, &self.count.to_le_bytes());
        put(36, &self.attempt.to_le_bytes());
        put(38, &(self.dispatch.len() as u16).to_le_bytes());
        put(40, &self.born_ms.to_le_bytes());
        put(48, &stamp.stored_ms.to_le_bytes());
        put(56, &self.tag_hash.to_le_bytes());
        put(64, &self.sys_flags.to_le_bytes());
        put(68, &self.user_flags.to_le_bytes());
        put(72, &(self.ext.len() as u32).to_le_bytes());
        put(76, &self.tail_bytes.to_le_bytes());
        put(80, &self.link.0.to_le_bytes());
        put(88, &self.crc.to_le_bytes());
        out.extend_from_slice(&head);
        for (queue, offset) in self.dispatch.iter().zip(stamp.dispatch_offsets) {
            out.extend_from_slice(&queue.0.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
        let slots = start + RECORD_HEADER;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..start + 92]), &out[slots..]);
        out[start + 92..slots].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.ext);
        for part in &self.tail {
            out.extend_from_slice(part);
        }
        out.resize(start + self.bytes(), 0);
    }
}

/// Why bytes are not the record they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the record says it has.
    #[error("record is cut short")]
    Short,
    /// A length or a number in the header is impossible.
    #[error("record header is malformed: {0}")]
    Malformed(&'static str),
    /// The header checksum differs.
    #[error("record header checksum differs")]
    HeaderChecksum,
    /// The checksum of extensions and tail differs.
    #[error("record body checksum differs")]
    BodyChecksum,
    /// The record says it stands elsewhere.
    #[error("record carries position {found} and not {expected}")]
    Position {
        /// Position written in the record.
        found: Position,
        /// Position it was read from.
        expected: Position,
    },
}

/// A decoded record: its header by value, its extensions and tail as slices of the log, borrowed (`&[u8]`) or owned
/// ([`Bytes`]).
#[derive(Clone, Debug)]
pub struct Record<B = Bytes> {
    /// Where the record stands.
    pub position: Position,
    /// Bytes it takes in the log.
    pub bytes: u32,
    /// How the tail is to be read.
    pub flavour: Flavour,
    /// `FLAG_*` bits.
    pub flags: u16,
    /// Queue the record stands in, or [`QueueId::NONE`].
    pub queue: QueueId,
    /// Offset in that queue.
    pub offset: u64,
    /// Offsets taken in that queue.
    pub count: u32,
    /// Delivery attempt, 0 for the first.
    pub attempt: u16,
    /// When the producer made the message.
    pub born_ms: i64,
    /// When the store took it.
    pub stored_ms: i64,
    /// Tag hash.
    pub tag_hash: i64,
    /// Opaque to the store.
    pub sys_flags: u32,
    /// Opaque to the store.
    pub user_flags: u32,
    /// Position of the timer a firing record names.
    pub link: Position,
    dispatch: B,
    ext: B,
    /// The record's own tail; see [`Record::source`] for what may stand before it.
    pub tail: B,
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    let mut raw = [0; 2];
    raw.copy_from_slice(&b[at..at + 2]);
    u16::from_le_bytes(raw)
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&b[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// The total length a record header announces, if it is possible at all.
///
/// # Errors
/// `bytes` holds no whole header, or the length is out of bounds.
pub fn announced(bytes: &[u8]) -> Result<usize, RecordError> {
    if bytes.len() < RECORD_HEADER {
        return Err(RecordError::Short);
    }
    let total = u32_at(bytes, 0) as usize;
    if !(RECORD_HEADER..=RECORD_MAX).contains(&total) || !total.is_multiple_of(8) {
        return Err(RecordError::Malformed("total length"));
    }
    Ok(total)
}

/// Verifies the record at the beginning of `bytes` and cuts out its parts with `cut`.
fn open<B>(
    bytes: &[u8],
    expected: Position,
    check_body: bool,
    cut: impl Fn(usize, usize) -> B,
) -> Result<Record<B>, RecordError> {
    let total = announced(bytes)?;
    if bytes.len() < total {
        return Err(RecordError::Short);
    }
    let slots = u16_at(bytes, 38) as usize;
    let ext_bytes = u32_at(bytes, 72) as usize;
    let tail_bytes = u32_at(bytes, 76) as usize;
    if slots > DISPATCH_MAX || ext_bytes > EXTENSION_MAX || tail_bytes > RECORD_MAX {
        return Err(RecordError::Malformed("part length"));
    }
    let ext_at = RECORD_HEADER + slots * DISPATCH_SLOT;
    let tail_at = ext_at + ext_bytes;
    let end = tail_at + tail_bytes;
    if end.next_multiple_of(8) != total {
        return Err(RecordError::Malformed("lengths disagree"));
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..92]), &bytes[RECORD_HEADER..ext_at]);
    if crc != u32_at(bytes, 92) {
        return Err(RecordError::HeaderChecksum);
    }
    let found = Position(u64_at(bytes, 8));
    if found != expected {
        return Err(RecordError::Position { found, expected });
    }
    if bytes[4] != VERSION {
        return Err(RecordError::Malformed("version"));
    }
    let flavour = Flavour::from_u8(bytes[5]).ok_or(RecordError::Malformed("flavour"))?;
    if check_body {
        if crc32c::crc32c(&bytes[ext_at..end]) != u32_at(bytes, 88) {
            return Err(RecordError::BodyChecksum);
        }
        if bytes[end..total].iter().any(|b| *b != 0) {
            return Err(RecordError::Malformed("padding"));
        }
    }
    Ok(Record {
        position: found,
        bytes: total as u32,
        flavour,
        flags: u16_at(bytes, 6),
        queue: QueueId(u64_at(bytes, 16)),
        offset: u64_at(bytes, 24),
        count: u32_at(bytes, 32),
        attempt: u16_at(bytes, 36),
        born_ms: u64_at(bytes, 40) as i64,
        stored_ms: u64_at(bytes, 48) as i64,
        tag_hash: u64_at(bytes, 56) as i64,
        sys_flags: u32_at(bytes, 64),
        user_flags: u32_at(bytes, 68),
        link: Position(u64_at(bytes, 80)),
        dispatch: cut(RECORD_HEADER, ext_at),
        ext: cut(ext_at, tail_at),
        tail: cut(tail_at, end),
    })
}

impl Record<Bytes> {
    /// Decodes the record at the beginning of `bytes`, which may hold more than one.
    ///
    /// `check_body` verifies extensions and tail as well; the header is always verified.
    ///
    /// # Errors
    /// The bytes are not a whole, undamaged record for `expected`.
    pub fn decode(
        bytes: &Bytes,
        expected: Position,
        check_body: bool,
    ) -> Result<Self, RecordError> {
        open(bytes, expected, check_body, |from, to| {
            bytes.slice(from..to)
        })
    }
}

impl Record<Bytes> {
    /// The same record, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Record<&[u8]> {
        Record {
            position: self.position,
            bytes: self.bytes,
            flavour: self.flavour,
            flags: self.flags,
            queue: self.queue,
            offset: self.offset,
            count: self.count,
            attempt: self.attempt,
            born_ms: self.born_ms,
            stored_ms: self.stored_ms,
            tag_hash: self.tag_hash,
            sys_flags: self.sys_flags,
            user_flags: self.user_flags,
            link: self.link,
            dispatch: &self.dispatch,
            ext: &self.ext,
            tail: &self.tail,
        }
    }
}

impl<'a> Record<&'a [u8]> {
    /// As [`Record::decode`], borrowing from `bytes`.
    ///
    /// # Errors
    /// The bytes are not a whole, undamaged record for `expected`.
    pub fn view(
        bytes: &'a [u8],
        expected: Position,
        check_body: bool,
    ) -> Result<Self, RecordError> {
        open(bytes, expected, check_body, |from, to| &bytes[from..to])
    }
}

impl<B: AsRef<[u8]>> Record<B> {
    /// The other queues that hold this record, with its offset in each.
    pub fn dispatch(&self) -> impl Iterator<Item = (QueueId, u64)> + '_ {
        self.dispatch
            .as_ref()
            .chunks_exact(DISPATCH_SLOT)
            .map(|s| (QueueId(u64_at(s, 0)), u64_at(s, 8)))
    }

    fn ext(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest: &[u8] = self.ext.as_ref();
        while rest.len() >= 3 {
            let length = u16_at(rest, 1) as usize;
            let value = rest.get(3..3 + length)?;
            if rest[0] == wanted {
                return Some(value);
            }
            rest = &rest[3 + length..];
        }
        None
    }

    /// Hashes under which the record can be found.
    pub fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        self.ext(EXT_KEYS)
            .unwrap_or_default()
            .chunks_exact(8)
            .map(|k| u64_at(k, 0))
    }

    /// When a scheduled record is due.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        self.ext(EXT_DUE)
            .filter(|v| v.len() == 8)
            .map(|v| u64_at(v, 0) as i64)
    }

    /// The queue a scheduled record goes to when it is due.
    #[must_use]
    pub fn target(&self) -> Option<QueueId> {
        self.ext(EXT_TARGET)
            .filter(|v| v.len() == 8)
            .map(|v| QueueId(u64_at(v, 0)))
    }

    /// Socket address of the producer: 4 or 16 address bytes, then the port, big-endian.
    #[must_use]
    pub fn born_host(&self) -> Option<&[u8]> {
        self.ext(EXT_BORN_HOST)
    }

    /// Checksum of the body in the owning protocol's terms.
    #[must_use]
    pub fn body_crc(&self) -> Option<u32> {
        self.ext(EXT_BODY_CRC)
            .filter(|v| v.len() == 4)
            .map(|v| u32_at(v, 0))
    }

    /// Who decides about a prepared record.
    #[must_use]
    pub fn decider(&self) -> Option<&[u8]> {
        self.ext(EXT_DECIDER)
    }

    /// Where the beginning of the tail is to be read.
    #[must_use]
    pub fn source(&self) -> Option<TailSource> {
        let v = self.ext(EXT_SOURCE).filter(|v| v.len() == 20)?;
        Some(TailSource {
            position: Position(u64_at(v, 0)),
            record_bytes: u32_at(v, 8),
            from: u32_at(v, 12),
            to: u32_at(v, 16),
        })
    }

    /// True if the record waits for its due time.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.flags & FLAG_SCHEDULED != 0
    }

    /// The timer this record fires.
    #[must_use]
    pub fn fires(&self) -> Option<Position> {
        (self.flags & FLAG_FIRES != 0).then_some(self.link)
    }
}
