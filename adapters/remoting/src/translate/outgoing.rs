//! Stored message → pulled record. The head in front of the body is generated, everything behind
//! it is slices of the log; a body is never copied. Records of another flavour are passed over and
//! counted, until the doors they come from bring their translation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use crossdock_hub::{Flavour, Message, Record};
use crossdock_proto_remoting::record::{RecordHead, Sizes, sys_flag};

/// Bytes of the body length that opens a tail; the generated head ends with its own.
pub(super) const BODY_LEN: usize = 4;

/// Pulled records, ready to be sent.
#[derive(Debug)]
pub(crate) struct Records {
    store_host: SocketAddr,
    pub(super) heads: BytesMut,
    /// The body of the response, in slices.
    pub(crate) slices: Vec<Bytes>,
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// Records that this protocol cannot show.
    pub(crate) skipped: usize,
}

impl Records {
    /// `expected` records, stored at the broker whose clients know it as `store_host`.
    pub(crate) fn new(store_host: SocketAddr, expected: usize) -> Self {
        Self {
            store_host,
            heads: BytesMut::with_capacity(expected * RecordHead::MAX_LEN),
            slices: Vec::with_capacity(expected * 2),
            count: 0,
            bytes: 0,
            skipped: 0,
        }
    }

    /// Adds a message as the reader of queue `queue` of its topic sees it.
    pub(crate) fn add(&mut self, message: &Message, queue: u32) {
        match self.put(message, queue) {
            Some(bytes) => {
                self.count += 1;
                self.bytes += bytes;
            }
            None => self.skipped += 1,
        }
    }

    /// The fixed fields of a message as the reader of queue `queue` sees it.
    pub(super) fn head(&self, message: &Message, queue: u32) -> Option<RecordHead> {
        let record = &message.record;
        Some(RecordHead {
            queue_id: i32::try_from(queue).ok()?,
            flag: record.user_flags as i32,
            queue_offset: i64::try_from(message.offset).ok()?,
            physical_offset: i64::try_from(record.position.0).ok()?,
            sys_flag: record.sys_flags as i32,
            born_timestamp: record.born_ms,
            born_host: host(record.born_host()),
            store_timestamp: record.stored_ms,
            store_host: self.store_host,
            reconsume_times: i32::from(record.attempt),
            prepared_transaction_offset: prepared_at(record),
        })
    }

    fn put(&mut self, message: &Message, queue: u32) -> Option<usize> {
        let record = &message.record;
        if record.flavour != Flavour::Rmq4 {
            return None;
        }
        let prefix = message.prefix.clone().unwrap_or_default();
        let tail = record.tail.clone();
        let parts = Parts::of(Joined(&prefix, &tail))?;
        let head = self.head(message, queue)?;
        let crc = match record.body_crc() {
            Some(crc) => crc as i32,
            None => Joined(&prefix, &tail).crc(BODY_LEN, parts.sizes.body),
        };
        let bytes = head.write_head(parts.sizes, crc, &mut self.heads).ok()?;
        self.slices.push(self.heads.split().freeze());
        let (first, second) = behind_length(prefix, tail);
        self.slices.extend(
            [first, second]
                .into_iter()
                .filter(|slice| !slice.is_empty()),
        );
        Some(bytes)
    }
}

/// Where the half of a committed transaction stands; 0 for all other messages.
fn prepared_at(record: &Record<Bytes>) -> i64 {
    let kind = record.sys_flags as i32 & sys_flag::TRANSACTION_MASK;
    let half = record
        .fires()
        .filter(|_| kind == sys_flag::TRANSACTION_COMMIT);
    half.and_then(|half| i64::try_from(half.0).ok())
        .unwrap_or(0)
}

/// Both slices without the first four bytes of the whole.
fn behind_length(mut first: Bytes, mut second: Bytes) -> (Bytes, Bytes) {
    let of_first = BODY_LEN.min(first.len());
    let of_second = (BODY_LEN - of_first).min(second.len());
    (first.split_off(of_first), second.split_off(of_second))
}

/// The address bytes and port of a producer; the unspecified address when the door did not say.
fn host(bytes: Option<&[u8]>) -> SocketAddr {
    let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let Some((address, port)) = bytes.and_then(|bytes| bytes.split_last_chunk::<2>()) else {
        return unknown;
    };
    let ip: IpAddr = if let Ok(v4) = <[u8; 4]>::try_from(address) {
        Ipv4Addr::from(v4).into()
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        Ipv6Addr::from(v6).into()
    } else {
        return unknown;
    };
    SocketAddr::new(ip, u16::from_be_bytes(*port))
}

/// The bytes of a tail: those taken from an earlier record, then the record's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined<'a>(pub(crate) &'a [u8], pub(crate) &'a [u8]);

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

    pub(super) fn crc(self, from: usize, len: usize) -> i32 {
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
    fn text(&self, from: usize, len: usize) -> Option<String> {
        let (first, second) = self.range(from, len);
        let mut bytes = first.to_vec();
        bytes.extend_from_slice(second);
        String::from_utf8(bytes).ok()
    }
}

/// Where the parts of a tail lie: body length, body, topic length, topic, property length,
/// properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) sizes: Sizes,
    topic_at: usize,
    properties_at: usize,
}

impl Parts {
    /// The property text in the tail they were read from, in up to two pieces.
    pub(crate) fn properties<'t>(&self, tail: Joined<'t>) -> (&'t [u8], &'t [u8]) {
        tail.range(self.properties_at, self.sizes.properties)
    }

    /// Reads the lengths; `None` if they do not add up.
    pub(crate) fn of(tail: Joined<'_>) -> Option<Self> {
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

/// The texts of a stored message of this protocol's flavour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) topic: String,
    pub(crate) properties: String,
    /// Length of the body.
    pub(crate) body_bytes: usize,
}

/// Topic and properties of a message; `None` if it is of another flavour.
pub(crate) fn texts(message: &Message) -> Option<Texts> {
    if message.record.flavour != Flavour::Rmq4 {
        return None;
    }
    let prefix = message.prefix.clone().unwrap_or_default();
    let tail = Joined(&prefix, &message.record.tail);
    let parts = Parts::of(tail)?;
    Some(Texts {
        topic: tail.text(parts.topic_at, parts.sizes.topic)?,
        properties: tail.text(parts.properties_at, parts.sizes.properties)?,
        body_bytes: parts.sizes.body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(topic: &str) -> Vec<u8> {
        let mut tail = 5u32.to_be_bytes().to_vec();
        tail.extend_from_slice(b"hello");
        crossdock_proto_remoting::record::head::write_tail(topic, "A\u{1}b\u{2}", &mut tail)
            .unwrap();
        tail
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
                assert_eq!(
                    joined.crc(4, 5),
                    crossdock_proto_remoting::record::body_crc(b"hello")
                );
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

    #[test]
    fn the_length_word_is_cut_across_both_slices() {
        let (first, second) = behind_length(Bytes::from_static(b"ab"), Bytes::from_static(b"cdef"));
        assert_eq!((first.as_ref(), second.as_ref()), (&b""[..], &b"ef"[..]));
    }

    #[test]
    fn producer_addresses_are_read_in_both_families() {
        let v4: SocketAddr = "10.0.0.1:258".parse().unwrap();
        assert_eq!(host(Some(&[10, 0, 0, 1, 1, 2])), v4);
        let mut v6 = [0u8; 18];
        v6[15] = 1;
        v6[17] = 9;
        assert_eq!(host(Some(&v6)), "[::1]:9".parse().unwrap());
        assert_eq!(host(Some(&[1, 2, 3])), host(None));
    }
}
