//! Send request → message to publish. The tail of the record is, in this order: body length, body,
//! topic with its length, property length, properties. Body and properties are slices of the
//! socket buffer; what the broker adds is a small piece behind them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use crossdock_hub::rmq4::host;
use crossdock_hub::rmq4::properties::put;
use crossdock_hub::rmq4::tail::pieces;
use crossdock_hub::{
    Decider, Durability, FilterKind, Flavour, Publish, QueueChoice, Topic, key_hash, tag_hash,
};
use crossdock_proto_remoting::record::properties::{Properties, PropertyEdit, name};
use crossdock_proto_remoting::record::{UniqKeySource, body_crc, sys_flag};
use smallvec::{SmallVec, smallvec};

use super::scan::Scan;
use crate::connection::refill;
use crate::error::Refusal;

/// What the broker adds to every message sent singly, prepared once.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// `MSG_REGION`, `TRACE_ON` and `CLUSTER` as property text.
    text: Bytes,
    region: String,
    trace_on: bool,
    cluster: String,
    uniq_keys: UniqKeySource,
}

impl Stamp {
    pub(crate) fn new(
        region: &str,
        trace_on: bool,
        cluster: &str,
        uniq_keys: UniqKeySource,
    ) -> Self {
        let mut text = BytesMut::new();
        put(&mut text, name::MSG_REGION, region);
        put(&mut text, name::TRACE_ON, bool_text(trace_on));
        put(&mut text, name::CLUSTER, cluster);
        Self {
            text: text.freeze(),
            region: region.to_owned(),
            trace_on,
            cluster: cluster.to_owned(),
            uniq_keys,
        }
    }
}

fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Where a message goes and when.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) topic: Arc<Topic>,
    pub(crate) queue: u32,
    pub(crate) due_ms: Option<i64>,
    /// The due time is one the producer named, not a delay level.
    pub(crate) is_timer: bool,
    /// A delay level in the properties no longer counts.
    pub(crate) drops_delay: bool,
    /// Who decides about a half message.
    pub(crate) decider: Option<Decider>,
}

/// A message as it came in.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) scan: &'a Scan<'a>,
    pub(crate) properties: Bytes,
    pub(crate) body: Bytes,
    pub(crate) born_ms: i64,
    pub(crate) born_host: SocketAddr,
    pub(crate) sys_flag: i32,
    pub(crate) flag: i32,
    pub(crate) attempt: u16,
}

impl Incoming<'_> {
    /// The message to publish, and its unique key as text.
    pub(crate) fn publish(
        &self,
        target: Target,
        stamp: &Stamp,
        now_ms: i64,
        scratch: &mut BytesMut,
    ) -> Result<(Publish, Bytes), Refusal> {
        refill(scratch);
        let topic = &target.topic;
        let uniq_key = match self.scan.uniq_key {
            Some(key) => self.properties.slice_ref(key.as_bytes()),
            None => {
                scratch.put_slice(stamp.uniq_keys.next(now_ms).as_str().as_bytes());
                scratch.split().freeze()
            }
        };
        let uniq_text = std::str::from_utf8(&uniq_key).unwrap_or_default();
        let drops_timer = self.drops_timer(&target);
        let (properties, added) = if self.scan.has_own || target.drops_delay || drops_timer {
            (self.edited(&target, stamp, uniq_text)?, Bytes::new())
        } else {
            (
                self.properties.clone(),
                self.added(&target, stamp, uniq_text, scratch),
            )
        };
        let mut keys: SmallVec<[u64; 2]> = smallvec![key_hash(topic.name.as_str(), uniq_text)];
        keys.extend(
            self.scan
                .key_tokens()
                .map(|key| key_hash(topic.name.as_str(), key)),
        );
        let tail = tail(topic.name.as_str(), &self.body, properties, added, scratch)?;
        let mut flags = self.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
        if topic.filter == FilterKind::MultiTag {
            flags |= sys_flag::MULTI_TAGS;
        }
        if target.decider.is_some() {
            flags = sys_flag::with_transaction(flags, 0);
        }
        let publish = Publish {
            queue: QueueChoice::Number(target.queue),
            tag_hash: self.scan.tags.map_or(0, tag_hash),
            keys,
            born_ms: self.born_ms,
            born_host: host::write(self.born_host),
            attempt: self.attempt,
            due_ms: target.due_ms,
            decider: target.decider,
            sys_flags: flags as u32,
            user_flags: self.flag as u32,
            body_crc: Some(body_crc(&self.body) as u32),
            durability: self.scan.waives_sync().then_some(Durability::Written),
            ..Publish::new(target.topic, Flavour::Rmq4, tail)
        };
        Ok((publish, uniq_key))
    }

    /// A timer property that a delay level has beaten does not stay: a copy of the message would be timed by it.
    fn drops_timer(&self, target: &Target) -> bool {
        target.due_ms.is_some() && !target.is_timer && self.scan.has_timer()
    }

    /// The piece of property text that goes behind the producer's own.
    fn added(&self, target: &Target, stamp: &Stamp, uniq: &str, out: &mut BytesMut) -> Bytes {
        let is_open = self.properties.last().is_some_and(|last| *last != 2);
        if self.scan.uniq_key.is_some() && target.due_ms.is_none() && !is_open {
            return stamp.text.clone();
        }
        if is_open {
            // A missing last separator is tolerated; ours must not run into it.
            out.put_u8(2);
        }
        if self.scan.uniq_key.is_none() {
            put(out, name::UNIQ_KEY, uniq);
        }
        out.put_slice(&stamp.text);
        if let Some(due) = target.due_ms {
            put(out, name::REAL_TOPIC, target.topic.name.as_str());
            put(out, name::REAL_QID, &target.queue.to_string());
            if target.is_timer {
                put(out, name::TIMER_OUT_MS, &due.to_string());
            }
        }
        out.split().freeze()
    }

    /// The whole property text anew, when something of the producer's has to go.
    fn edited(&self, target: &Target, stamp: &Stamp, uniq: &str) -> Result<Bytes, Refusal> {
        let text = std::str::from_utf8(&self.properties).unwrap_or_default();
        let mut edit: PropertyEdit<'_> = Properties::new(text).edit();
        edit.remove(name::POP_CK)
            .set(name::UNIQ_KEY, uniq)
            .set(name::MSG_REGION, stamp.region.as_str())
            .set(name::TRACE_ON, bool_text(stamp.trace_on))
            .set(name::CLUSTER, stamp.cluster.as_str());
        if target.drops_delay {
            edit.remove(name::DELAY);
        }
        if self.drops_timer(target) {
            edit.remove(name::TIMER_DELAY_SEC)
                .remove(name::TIMER_DELAY_MS)
                .remove(name::TIMER_DELIVER_MS);
        }
        if let Some(due) = target.due_ms {
            edit.set(name::REAL_TOPIC, target.topic.name.as_str().to_owned())
                .set(name::REAL_QID, target.queue.to_string());
            if target.is_timer {
                edit.set(name::TIMER_OUT_MS, due.to_string());
            }
        }
        Ok(Bytes::from(edit.to_text()?))
    }
}

/// One element of a batch: its properties are stored as they are.
pub(crate) fn batch_element(
    incoming: &Incoming<'_>,
    topic: &Arc<Topic>,
    queue: u32,
    durability: Option<Durability>,
    scratch: &mut BytesMut,
) -> Result<Publish, Refusal> {
    let scan = incoming.scan;
    let name = topic.name.as_str();
    let keys = scan.uniq_key.into_iter().chain(scan.key_tokens());
    let properties = incoming.properties.clone();
    let tail = tail(name, &incoming.body, properties, Bytes::new(), scratch)?;
    let flags = incoming.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
    Ok(Publish {
        queue: QueueChoice::Number(queue),
        tag_hash: scan.tags.map_or(0, tag_hash),
        keys: keys.map(|key| key_hash(name, key)).collect(),
        born_ms: incoming.born_ms,
        born_host: host::write(incoming.born_host),
        attempt: incoming.attempt,
        sys_flags: flags as u32,
        user_flags: incoming.flag as u32,
        body_crc: Some(body_crc(&incoming.body) as u32),
        durability,
        ..Publish::new(Arc::clone(topic), Flavour::Rmq4, tail)
    })
}

/// The pieces of a tail.
fn tail(
    topic: &str,
    body: &Bytes,
    properties: Bytes,
    added: Bytes,
    scratch: &mut BytesMut,
) -> Result<SmallVec<[Bytes; 6]>, Refusal> {
    refill(scratch);
    Ok(pieces(topic, body, properties, added, scratch)?)
}
