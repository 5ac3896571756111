//! Message of a send request → message to publish. Everything about a message is checked before its topic is looked at, so
//! that a message that cannot be stored brings no topic into being.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crossdock_hub::rmq4::properties::put;
use crossdock_hub::rmq4::{body_crc, host, name, sys_flag, tail};
use crossdock_hub::{
    FilterKind, Flavour, HubError, Publish, QueueChoice, Topic, key_hash, tag_hash,
};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::{Code, Encoding, MessageType};
use smallvec::{SmallVec, smallvec};

use super::{digest, encoding, kind, time};
use crate::config::GrpcConfig;
use crate::error::Refusal;

/// Longest message group.
const GROUP_BYTES_MAX: usize = 63;
/// Longest message id.
const ID_BYTES_MAX: usize = 255;
/// Longest trace context.
const TRACE_BYTES_MAX: usize = 4096;

/// What the broker adds to every message, prepared once: region, trace switch and cluster as property text.
#[derive(Debug)]
pub(crate) struct Stamp(Bytes);

impl Stamp {
    pub(crate) fn new(config: &GrpcConfig, cluster: &str) -> Self {
        let mut text = BytesMut::new();
        put(&mut text, name::MSG_REGION, &config.region);
        let trace_on = if config.trace_on { "true" } else { "false" };
        put(&mut text, name::TRACE_ON, trace_on);
        put(&mut text, name::CLUSTER, cluster);
        Self(text.freeze())
    }
}

/// A message that was checked and is not addressed yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) id: String,
    pub(crate) kind: MessageType,
    tag: Option<String>,
    keys: Vec<String>,
    group: Option<String>,
    due_ms: Option<i64>,
    born_ms: i64,
    born_host: SocketAddr,
    /// What the client says as property text.
    properties: BytesMut,
    body: Bytes,
    sys_flags: i32,
}

impl Incoming {
    /// Checks a message.
    pub(crate) fn read(
        message: v2::Message,
        config: &GrpcConfig,
        producer: SocketAddr,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        let system = message.system_properties.unwrap_or_default();
        let kind = kind::of(&system);
        check_body(&message.body, config)?;
        digest::check(system.body_digest.as_ref(), &message.body)?;
        let (body, sys_flags) = decode(message.body, system.body_encoding)?;
        let id = system.message_id;
        if !is_word(&id, ID_BYTES_MAX) {
            return Err(refusal(
                Code::IllegalMessageId,
                "the message has no usable id",
            ));
        }
        let born_ms = system.born_timestamp.as_ref().and_then(time::millis);
        let due_ms = due(system.delivery_timestamp.as_ref())?;
        let mut properties = BytesMut::new();
        put(&mut properties, name::UNIQ_KEY, &id);
        if let Some(tag) = &system.tag {
            if !is_word(tag, usize::MAX) || tag.contains('|') {
                return Err(refusal(Code::IllegalMessageTag, "the tag is not legal"));
            }
            put(&mut properties, name::TAGS, tag);
        }
        if !system.keys.iter().all(|key| is_word(key, usize::MAX)) {
            return Err(refusal(Code::IllegalMessageKey, "a key is not legal"));
        }
        put(&mut properties, name::KEYS, &system.keys.join(" "));
        if let Some(group) = &system.message_group {
            if !is_word(group, GROUP_BYTES_MAX) {
                let text = "the message group is not legal";
                return Err(refusal(Code::IllegalMessageGroup, text));
            }
            put(&mut properties, name::SHARDING_KEY, group);
        }
        if let Some(due) = due_ms {
            put(&mut properties, name::TIMER_DELIVER_MS, &due.to_string());
        }
        if let Some(context) = system.trace_context.filter(|text| !text.is_empty()) {
            if !is_word(&context, TRACE_BYTES_MAX) {
                return Err(Refusal::bad("the trace context is not legal"));
            }
            put(&mut properties, name::TRACE_CONTEXT, &context);
        }
        let said_host = Some(system.born_host).filter(|host| is_word(host, ID_BYTES_MAX));
        if let Some(host) = said_host {
            put(&mut properties, name::BORN_HOST, &host);
        }
        put_users(&mut properties, &message.user_properties, config)?;
        if properties.len() > config.properties_bytes_max {
            return Err(too_many(
                properties.len(),
                config.properties_bytes_max,
                "bytes",
            ));
        }
        Ok(Self {
            id,
            kind,
            tag: system.tag,
            keys: system.keys,
            group: system.message_group,
            due_ms: due_ms.filter(|due| *due > now_ms),
            born_ms: born_ms.unwrap_or(now_ms),
            born_host: producer,
            properties,
            body,
            sys_flags,
        })
    }

    /// The message to publish.
    pub(crate) fn publish(&self, topic: &Arc<Topic>, stamp: &Stamp) -> Result<Publish, Refusal> {
        if !kind::accepted(topic).contains(&self.kind) {
            let text = format!(
                "topic {} does not take messages of kind {}",
                topic.name,
                self.kind.as_str_name()
            );
            return Err(refusal(Code::MessagePropertyConflictWithType, text));
        }
        let topic_name = topic.name.as_str();
        let queue = self.queue(topic)?;
        let mut added = BytesMut::from(&stamp.0[..]);
        if let Some(due) = self.due_ms {
            put(&mut added, name::REAL_TOPIC, topic_name);
            put(&mut added, name::REAL_QID, &queue.to_string());
            put(&mut added, name::TIMER_OUT_MS, &due.to_string());
        }
        let mut keys: SmallVec<[u64; 2]> = smallvec![key_hash(topic_name, &self.id)];
        let tokens = self.keys.iter().flat_map(|keys| keys.split(' '));
        let tokens = tokens.filter(|key| !key.is_empty());
        keys.extend(tokens.map(|key| key_hash(topic_name, key)));
        let properties = Bytes::copy_from_slice(&self.properties);
        let mut scratch = BytesMut::new();
        let tail = tail::pieces(
            topic_name,
            &self.body,
            properties,
            added.freeze(),
            &mut scratch,
        )?;
        let mut flags = self.sys_flags;
        if topic.filter == FilterKind::MultiTag {
            flags |= sys_flag::MULTI_TAGS;
        }
        Ok(Publish {
            queue: QueueChoice::Number(queue),
            tag_hash: self.tag.as_deref().map_or(0, tag_hash),
            keys,
            born_ms: self.born_ms,
            born_host: host::write(self.born_host),
            due_ms: self.due_ms,
            sys_flags: flags as u32,
            body_crc: Some(body_crc(&self.body) as u32),
            ..Publish::new(Arc::clone(topic), Flavour::Rmq4, tail)
        })
    }

    /// The queue of its group, or the next in turn. The group is hashed here: clients hash each in their own way.
    fn queue(&self, topic: &Topic) -> Result<u32, Refusal> {
        let queue = match &self.group {
            Some(group) => key_hash(topic.name.as_str(), group)
                .checked_rem(u64::from(topic.write_queues))
                .map(|number| number as u32),
            None => topic.next_queue(),
        };
        queue.ok_or_else(|| {
            HubError::Denied(format!("topic {} has no write queue", topic.name)).into()
        })
    }
}

fn refusal(code: Code, text: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(code, text)
}

fn too_many(count: usize, max: usize, of: &str) -> Refusal {
    let text = format!("{count} {of} of properties are more than {max}");
    refusal(Code::MessagePropertiesTooLarge, text)
}

fn check_body(body: &Bytes, config: &GrpcConfig) -> Result<(), Refusal> {
    let (len, max) = (body.len(), config.body_bytes_max);
    if len == 0 {
        return Err(refusal(Code::MessageBodyEmpty, "the message has no body"));
    }
    if len > max {
        let text = format!("the message body of {len} bytes exceeds {max}");
        return Err(refusal(Code::MessageBodyTooLarge, text));
    }
    Ok(())
}

/// The body as it is stored, and the flags that say how it is compressed.
fn decode(body: Bytes, said: i32) -> Result<(Bytes, i32), Refusal> {
    match Encoding::try_from(said) {
        Ok(Encoding::Identity | Encoding::Unspecified) => Ok((body, 0)),
        Ok(Encoding::Gzip) => {
            let body = encoding::to_zlib(&body)
                .map_err(|error| refusal(Code::MessageCorrupted, error.to_string()))?;
            Ok((body, sys_flag::COMPRESSED | sys_flag::ZLIB))
        }
        Err(_) => Err(Refusal::bad(format!("{said} is not an encoding of bodies"))),
    }
}

fn due(timestamp: Option<&prost_types::Timestamp>) -> Result<Option<i64>, Refusal> {
    let Some(timestamp) = timestamp else {
        return Ok(None);
    };
    match time::millis(timestamp) {
        Some(due) => Ok(Some(due)),
        None => {
            let text = "the delivery time is no time";
            Err(refusal(Code::IllegalDeliveryTime, text))
        }
    }
}

/// Properties of the application. An empty value cannot be stored and is left out, as the older protocol does.
fn put_users(
    out: &mut BytesMut,
    users: &std::collections::HashMap<String, String>,
    config: &GrpcConfig,
) -> Result<(), Refusal> {
    if users.len() > config.properties_max {
        return Err(too_many(users.len(), config.properties_max, "entries"));
    }
    for (key, value) in users {
        let is_legal = is_word(key, usize::MAX) && !name::is_reserved(key);
        // The separators of the text; nothing else is wrong in a value.
        if !is_legal || value.contains(['\u{1}', '\u{2}']) {
            let text = format!("{:?} cannot be a property", shown(key));
            return Err(refusal(Code::IllegalMessagePropertyKey, text));
        }
        put(out, key, value);
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A text that is not blank, not too long, and free of control characters.
fn is_word(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.len() <= max && !text.chars().any(char::is_control)
}

#[cfg(test)]
#[path = "incoming/tests.rs"]
mod tests;
