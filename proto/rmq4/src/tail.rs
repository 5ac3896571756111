//! The tail of a record: body length, body, topic with its length, property length, properties. What the store keeps of a
//! message, verbatim, and what every reader of this flavour finds its parts in.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::{SmallVec, smallvec};

use crate::error::RecordError;

/// Bytes of the body length that opens a tail.
pub const BODY_LEN: usize = 4;
/// Longest topic the one-byte length of a V1 record may carry by upstream's own rule.
pub const MAX_V1_TOPIC: usize = 127;
/// Longest topic of a V2 record.
pub const MAX_TOPIC: usize = i16::MAX as usize;
/// Longest property text.
pub const MAX_PROPERTIES: usize = i16::MAX as usize;

/// Lengths of the variable parts of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub body: usize,
    pub topic: usize,
    pub properties: usize,
}

/// Bytes behind the body.
pub fn tail_len(sizes: Sizes) -> usize {
    let topic_word = if is_v2(sizes.topic) { 2 } else { 1 };
    topic_word + sizes.topic + 2 + sizes.properties
}

/// Writes everything behind the body: topic and properties with their lengths.
pub fn write_tail(topic: &str, properties: &str, out: &mut impl BufMut) -> Result<(), RecordError> {
    limit("topic", topic.len(), MAX_TOPIC)?;
    limit("properties", properties.len(), MAX_PROPERTIES)?;
    let sizes = Sizes {
        body: 0,
        topic: topic.len(),
        properties: properties.len(),
    };
    room(tail_len(sizes), "tail buffer", out)?;
    put_topic(topic, out);
    out.put_u16(properties.len() as u16);
    out.put_slice(properties.as_bytes());
    Ok(())
}

/// Whether a topic of this length takes a two-byte length.
#[must_use]
pub fn is_v2(topic_len: usize) -> bool {
    topic_len > MAX_V1_TOPIC
}

/// Refuses what is longer than allowed.
pub fn limit(what: &'static str, len: usize, max: usize) -> Result<(), RecordError> {
    if len > max {
        Err(RecordError::TooLong { what, len, max })
    } else {
        Ok(())
    }
}

/// A `BufMut` over fixed memory panics when it is full, so its room is asked for first.
pub fn room(len: usize, what: &'static str, out: &impl BufMut) -> Result<(), RecordError> {
    if out.remaining_mut() < len {
        Err(RecordError::Truncated(what))
    } else {
        Ok(())
    }
}

/// The pieces of a whole tail. `added` is property text that goes behind `properties`; pieces that hold nothing are left
/// out. What has to be written is written to `scratch`.
///
/// # Errors
/// Topic, body or properties are longer than a record can say.
pub fn pieces(
    topic: &str,
    body: &Bytes,
    properties: Bytes,
    added: Bytes,
    scratch: &mut BytesMut,
) -> Result<SmallVec<[Bytes; 6]>, RecordError> {
    limit("body", body.len(), i32::MAX as usize)?;
    scratch.put_u32(body.len() as u32);
    let lead = scratch.split().freeze();
    let mut pieces: SmallVec<[Bytes; 6]> = smallvec![lead, body.clone()];
    pieces.extend(behind_body(topic, properties, added, scratch)?);
    pieces.retain(|piece| !piece.is_empty());
    Ok(pieces)
}

/// The pieces of a tail behind its body.
///
/// # Errors
/// Topic or properties are longer than a record can say.
pub fn behind_body(
    topic: &str,
    properties: Bytes,
    added: Bytes,
    scratch: &mut BytesMut,
) -> Result<[Bytes; 3], RecordError> {
    let len = properties.len().saturating_add(added.len());
    limit("topic", topic.len(), MAX_TOPIC)?;
    limit("properties", len, MAX_PROPERTIES)?;
    put_topic(topic, scratch);
    scratch.put_u16(len as u16);
    Ok([scratch.split().freeze(), properties, added])
}

fn put_topic(topic: &str, out: &mut impl BufMut) {
    if is_v2(topic.len()) {
        out.put_u16(topic.len() as u16);
    } else {
        out.put_u8(topic.len() as u8);
    }
    out.put_slice(topic.as_bytes());
}

/// The bytes of a tail: those taken from an earlier record, then the record's own.
#[derive(Debug, Clone, Copy)]
pub struct Joined<'a>(pub &'a [u8], pub &'a [u8]);

impl<'a> Joined<'a> {
    fn len(self) -> usize {
        self.0.len() + self.1.len()
    }

    fn byte(self, at: usize) -> Option<u8> {
        match self.0.get(at) {
            Some(byte) => Some(*byte),
            None => self.1.get(at.checked_sub(self.0.len())?).copied(),
        }
    }

    /// A big-endian number of `bytes` bytes.
    fn number(self, at: usize, bytes: usize) -> Option<usize> {
        let mut number = 0;
        for offset in 0..bytes {
            number = number << 8 | usize::from(self.byte(at.checked_add(offset)?)?);
        }
        Some(number)
    }

    /// The bytes of a range, in up to two pieces.
    fn range(&self, from: usize, len: usize) -> (&'a [u8], &'a [u8]) {
        let to = from.saturating_add(len);
        let split = self.0.len();
        let first = self.0.get(from.min(split)..to.min(split));
        let second = self
            .1
            .get(from.saturating_sub(split)..to.saturating_sub(split));
        (first.unwrap_or_default(), second.unwrap_or_default())
    }

    /// The checksum records carry, over a range.
    #[must_use]
    pub fn crc(self, from: usize, len: usize) -> i32 {
        if len == 0 {
            return 0;
        }
        let (first, second) = self.range(from, len);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(first);
        hasher.update(second);
        (hasher.finalize() & 0x7fff_ffff) as i32
    }

    /// A range as text, copied only if it spans both parts.
    #[must_use]
    pub fn text(&self, from: usize, len: usize) -> Option<String> {
        let (first, second) = self.range(from, len);
        let mut bytes = first.to_vec();
        bytes.extend_from_slice(second);
        String::from_utf8(bytes).ok()
    }
}

/// Where the parts of a tail lie: body length, body, topic length, topic, property length,
/// properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    pub sizes: Sizes,
    pub topic_at: usize,
    pub properties_at: usize,
}

impl Parts {
    /// The property text in the tail they were read from, in up to two pieces.
    #[must_use]
    pub fn properties<'t>(&self, tail: Joined<'t>) -> (&'t [u8], &'t [u8]) {
        tail.range(self.properties_at, self.sizes.properties)
    }

    /// Reads the lengths; `None` if they do not add up.
    pub fn of(tail: Joined<'_>) -> Option<Self> {
        let body = tail.number(0, BODY_LEN)?;
        let mut at = BODY_LEN.checked_add(body)?;
        // A topic is never empty, so a zero opens a two-byte length; topics end at 255 bytes.
        let width = if tail.byte(at)? == 0 { 2 } else { 1 };
        let topic = tail.number(at, width)?;
        at += width;
        let topic_at = at;
        at += topic;
        let properties = tail.number(at, 2)?;
        let properties_at = at + 2;
        if properties_at.checked_add(properties)? != tail.len() {
            return None;
        }
        let sizes = Sizes {
            body,
            topic,
            properties,
        };
        Some(Self {
            sizes,
            topic_at,
            properties_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(topic: &str) -> Vec<u8> {
        let mut tail = 5u32.to_be_bytes().to_vec();
        tail.extend_from_slice(b"hello");
        write_tail(topic, "A\u{1}b\u{2}", &mut tail).unwrap();
        tail
    }

    #[test]
    fn pieces_put_together_are_the_tail() {
        for topic in ["T", &"t".repeat(127), &"t".repeat(128)] {
            let (body, text) = (Bytes::from_static(b"hello"), Bytes::from_static(b"A\x01b"));
            let added = Bytes::from_static(b"\x02");
            let pieces = pieces(topic, &body, text, added, &mut BytesMut::new()).unwrap();
            assert_eq!(pieces.concat(), tail(topic));
        }
    }

    #[test]
    fn properties_a_record_cannot_say_are_refused() {
        let half = Bytes::from(vec![b'x'; MAX_PROPERTIES / 2 + 1]);
        let refused = behind_body("T", half.clone(), half, &mut BytesMut::new());
        assert!(matches!(refused, Err(RecordError::TooLong { .. })));
    }

    #[test]
    fn parts_are_found_wherever_the_tail_is_split() {
        for topic in ["T", &"t".repeat(127), &"t".repeat(128), &"t".repeat(255)] {
            let tail = tail(topic);
            for at in 0..=tail.len() {
                let joined = Joined(&tail[..at], &tail[at..]);
                let parts = Parts::of(joined).unwrap();
                assert_eq!((parts.sizes.body, parts.sizes.topic), (5, topic.len()));
                assert_eq!(joined.text(parts.topic_at, topic.len()).unwrap(), topic);
                assert_eq!(joined.text(parts.properties_at, 4).unwrap(), "A\u{1}b\u{2}");
                assert_eq!(joined.crc(4, 5), crate::body_crc(b"hello"));
                let (first, second) = parts.properties(joined);
                assert_eq!([first, second].concat(), b"A\x01b\x02");
            }
        }
    }

    #[test]
    fn tails_that_do_not_add_up_are_refused() {
        let tail = tail("T");
        for end in 0..tail.len() {
            assert_eq!(Parts::of(Joined(&tail[..end], &[])), None, "cut at {end}");
        }
        let mut longer = tail;
        longer.push(0);
        assert_eq!(Parts::of(Joined(&longer, &[])), None);
        assert_eq!(Parts::of(Joined(&[0xff; 64], &[])), None);
    }
}
