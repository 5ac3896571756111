//! Stored message → message of the wire. The body is a slice of the log unless it has to be rewrapped. Messages of another
//! flavour are passed over and counted, until the doors they come from bring their translation.

use bytes::{Bytes, BytesMut};
use crossdock_hub::rmq4::tail::{BODY_LEN, Joined, Parts};
use crossdock_hub::rmq4::{Properties, host, name, sys_flag};
use crossdock_hub::{Flavour, Message};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::{DeadLetterQueue, Encoding, Resource, SystemProperties};

use super::{digest, encoding, kind, time};

/// Who hands a message out, and as what.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The topic as the client names it.
    pub(crate) topic: &'a Resource,
    pub(crate) queue: u32,
    /// The server's address as the client knows it.
    pub(crate) store_host: &'a str,
}

impl Outgoing<'_> {
    /// The message as the client reads it; `None` if this protocol cannot show it.
    pub(crate) fn message(&self, message: &Message) -> Option<v2::Message> {
        let record = &message.record;
        if record.flavour != Flavour::Rmq4 {
            return None;
        }
        let prefix = message.prefix.clone().unwrap_or_default();
        let joined = Joined(&prefix, &record.tail);
        let parts = Parts::of(joined)?;
        let text = joined.text(parts.properties_at, parts.sizes.properties)?;
        let properties = Properties::new(&text);
        let stored = slice(&prefix, &record.tail, BODY_LEN, parts.sizes.body)?;
        let (body, body_encoding) = body(stored, record.sys_flags as i32)?;
        let owned = |name: &str| properties.get(name).map(str::to_owned);
        let born_host =
            owned(name::BORN_HOST).unwrap_or_else(|| host::read(record.born_host()).to_string());
        let keys = properties.get(name::KEYS).unwrap_or_default().split(' ');
        let system = SystemProperties {
            tag: owned(name::TAGS),
            keys: keys
                .filter(|key| !key.is_empty())
                .map(str::to_owned)
                .collect(),
            message_id: owned(name::UNIQ_KEY)
                .unwrap_or_else(|| format!("{:032X}", record.position.0)),
            body_digest: Some(digest::of(&body)),
            body_encoding: body_encoding.into(),
            message_type: kind::stored(properties).into(),
            born_timestamp: Some(time::timestamp(record.born_ms)),
            born_host,
            store_timestamp: Some(time::timestamp(record.stored_ms)),
            store_host: self.store_host.to_owned(),
            delivery_timestamp: delivery_ms(properties).map(time::timestamp),
            receipt_handle: None,
            queue_id: i32::try_from(self.queue).ok()?,
            queue_offset: Some(i64::try_from(message.offset).ok()?),
            invisible_duration: None,
            delivery_attempt: Some(i32::from(record.attempt).saturating_add(1)),
            message_group: owned(name::SHARDING_KEY),
            trace_context: owned(name::TRACE_CONTEXT),
            orphaned_transaction_recovery_duration: None,
            dead_letter_queue: dead_letter(properties),
            lite_topic: None,
            priority: None,
        };
        let users = properties
            .iter()
            .filter(|(name, _)| !name::is_reserved(name));
        Some(v2::Message {
            topic: Some(self.topic.clone()),
            user_properties: users
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            system_properties: Some(system),
            body,
        })
    }
}

/// The tag of a stored message, to be compared where hashes collide.
pub(crate) fn tag(message: &v2::Message) -> Option<&str> {
    message.system_properties.as_ref()?.tag.as_deref()
}

fn delivery_ms(properties: Properties<'_>) -> Option<i64> {
    [name::TIMER_OUT_MS, name::TIMER_DELIVER_MS]
        .into_iter()
        .find_map(|name| properties.get(name)?.parse().ok())
}

fn dead_letter(properties: Properties<'_>) -> Option<DeadLetterQueue> {
    Some(DeadLetterQueue {
        topic: properties.get(name::DLQ_ORIGIN_TOPIC)?.to_owned(),
        message_id: properties
            .get(name::DLQ_ORIGIN_MESSAGE_ID)
            .unwrap_or_default()
            .to_owned(),
    })
}

/// A range of both parts of a tail, copied only if it spans them.
fn slice(first: &Bytes, second: &Bytes, from: usize, len: usize) -> Option<Bytes> {
    let (to, split) = (from.checked_add(len)?, first.len());
    if to > split.checked_add(second.len())? {
        return None;
    }
    if to <= split {
        return Some(first.slice(from..to));
    }
    if from >= split {
        return Some(second.slice(from - split..to - split));
    }
    let mut whole = BytesMut::with_capacity(len);
    whole.extend_from_slice(&first.slice(from..));
    whole.extend_from_slice(&second.slice(..to - split));
    Some(whole.freeze())
}

/// The body as clients of this protocol can read it.
fn body(stored: Bytes, flags: i32) -> Option<(Bytes, Encoding)> {
    if flags & sys_flag::COMPRESSED == 0 {
        return Some((stored, Encoding::Identity));
    }
    match flags & sys_flag::COMPRESSION_MASK {
        // Producers older than the other methods say none.
        0 | sys_flag::ZLIB => Some((encoding::to_gzip(&stored).ok()?, Encoding::Gzip)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_wherever_the_parts_meet() {
        let whole = Bytes::from_static(b"0123456789");
        for at in 0..=10 {
            let (first, second) = (whole.slice(..at), whole.slice(at..));
            assert_eq!(slice(&first, &second, 3, 4).unwrap(), "3456");
            assert_eq!(slice(&first, &second, 8, 3), None);
            assert_eq!(slice(&first, &second, 1, usize::MAX), None);
        }
    }

    #[test]
    fn a_body_compressed_in_a_way_the_protocol_does_not_know_is_not_shown() {
        let stored = Bytes::from_static(b"x");
        let lz4 = sys_flag::COMPRESSED | sys_flag::LZ4;
        assert_eq!(body(stored.clone(), lz4), None);
        assert_eq!(
            body(stored.clone(), sys_flag::LZ4),
            Some((stored, Encoding::Identity))
        );
    }
}
