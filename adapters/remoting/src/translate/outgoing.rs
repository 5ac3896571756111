//! Stored message → pulled record. The head in front of the body is generated, everything behind
//! it is slices of the log; a body is never copied. Records of another flavour are passed over and
//! counted, until the doors they come from bring their translation.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use crossdock_hub::rmq4::host;
use crossdock_hub::rmq4::tail::{BODY_LEN, Joined, Parts};
use crossdock_hub::{Flavour, Message, Record};
use crossdock_proto_remoting::record::{RecordHead, sys_flag};

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
            born_host: host::read(record.born_host()),
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

    #[test]
    fn the_length_word_is_cut_across_both_slices() {
        let (first, second) = behind_length(Bytes::from_static(b"ab"), Bytes::from_static(b"cdef"));
        assert_eq!((first.as_ref(), second.as_ref()), (&b""[..], &b"ef"[..]));
    }
}
