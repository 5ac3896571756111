//! Stored message → popped record: under the topic that was popped, with the handle of its delivery among the properties
//! and the deliveries before it counted. The body is a slice of the log.

use bytes::{Bytes, BytesMut};
use crossdock_hub::{Flavour, Hub, Message};
use crossdock_proto_remoting::record::head::write_tail;
use crossdock_proto_remoting::record::properties::{Properties, name};

use super::outgoing::{Records, texts};
use crossdock_hub::rmq4::tail::{BODY_LEN, Joined, Parts};

/// What a delivery adds to a message.
#[derive(Debug)]
pub(crate) struct Popped<'a> {
    /// The topic the client asked for.
    pub(crate) topic: &'a str,
    pub(crate) queue: u32,
    pub(crate) handle: &'a str,
    /// Deliveries before this one.
    pub(crate) before: u16,
    /// When this delivery happened.
    pub(crate) pop_ms: i64,
}

impl Records {
    /// Adds a message as the client that pops it sees it; false if this protocol cannot show it.
    pub(crate) fn add_popped(&mut self, message: &Message, popped: &Popped<'_>) -> bool {
        let bytes = self.put_popped(message, popped);
        match bytes {
            Some(bytes) => {
                self.count += 1;
                self.bytes += bytes;
            }
            None => self.skipped += 1,
        }
        bytes.is_some()
    }

    fn put_popped(&mut self, message: &Message, popped: &Popped<'_>) -> Option<usize> {
        let texts = texts(message)?;
        let mut edit = Properties::new(&texts.properties).edit();
        edit.set(name::POP_CK, popped.handle);
        if popped.before == 0 && edit.get(name::FIRST_POP_TIME).is_none() {
            edit.set(name::FIRST_POP_TIME, popped.pop_ms.to_string());
        }
        let properties = edit.to_text().ok()?;
        let prefix = message.prefix.clone().unwrap_or_default();
        let tail = message.record.tail.clone();
        let mut sizes = Parts::of(Joined(&prefix, &tail))?.sizes;
        let crc = match message.record.body_crc() {
            Some(crc) => crc as i32,
            None => Joined(&prefix, &tail).crc(BODY_LEN, sizes.body),
        };
        let (first, second) = body(prefix, tail, sizes.body);
        sizes.topic = popped.topic.len();
        sizes.properties = properties.len();
        let mut head = self.head(message, popped.queue)?;
        head.reconsume_times = i32::from(message.record.attempt) + i32::from(popped.before);
        let bytes = head.write_head(sizes, crc, &mut self.heads).ok()?;
        self.slices.push(self.heads.split().freeze());
        let pieces = [first, second].into_iter();
        self.slices.extend(pieces.filter(|piece| !piece.is_empty()));
        let mut behind = BytesMut::with_capacity(4 + sizes.topic + sizes.properties);
        write_tail(popped.topic, &properties, &mut behind).ok()?;
        self.slices.push(behind.freeze());
        Some(bytes)
    }
}

/// The body of a tail that may lie in two slices.
fn body(first: Bytes, second: Bytes, len: usize) -> (Bytes, Bytes) {
    let cut = |piece: &Bytes, before: usize| {
        let from = BODY_LEN.saturating_sub(before).min(piece.len());
        let to = (BODY_LEN + len).saturating_sub(before).min(piece.len());
        piece.slice(from..to.max(from))
    };
    (cut(&first, 0), cut(&second, first.len()))
}

/// Number of the topic that a message of a retry topic was sent back from; a number no topic has if that is not known.
pub(crate) fn sent_back_from(hub: &Hub, message: &Message) -> u64 {
    let texts = texts(message);
    let topic = texts
        .as_ref()
        .and_then(|texts| Properties::new(&texts.properties).get(name::RETRY_TOPIC))
        .and_then(|name| hub.topic(name));
    topic.map_or(u64::MAX, |topic| topic.id.into())
}

/// True if this protocol can show the message.
pub(crate) fn is_shown(message: &Message) -> bool {
    let prefix = message.prefix.as_deref().unwrap_or_default();
    let tail = Joined(prefix, &message.record.tail);
    message.record.flavour == Flavour::Rmq4 && Parts::of(tail).is_some()
}

/// The tag of a message; none if it is of another protocol.
pub(crate) fn with_tag<T>(message: &Message, then: impl FnOnce(Option<&str>) -> T) -> Option<T> {
    let texts = texts(message)?;
    Some(then(Properties::new(&texts.properties).get(name::TAGS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_out_wherever_the_tail_is_split() {
        let tail = Bytes::from_static(b"\0\0\0\x05hello\x01T\0\0");
        for at in 0..=tail.len() {
            let (first, second) = body(tail.slice(..at), tail.slice(at..), 5);
            assert_eq!([&first[..], &second[..]].concat(), b"hello", "cut at {at}");
        }
    }
}
