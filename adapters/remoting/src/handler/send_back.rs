//! CONSUMER_SEND_MSG_BACK: a message a consumer could not handle comes back later, or goes to the
//! group's dead letters. The new record takes its body from the log by reference.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crossdock_hub::rmq4::tail::behind_body;
use crossdock_hub::{
    Action, Flavour, HubError, Message, Position, Publish, QueueChoice, ReadError, Resource,
    RetryPlan, TailSource, key_hash,
};
use crossdock_proto_remoting::header::send::SendBack;
use crossdock_proto_remoting::record::properties::{Properties, name};
use crossdock_proto_remoting::record::{MessageId, body_crc};
use smallvec::SmallVec;

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::outgoing::{Texts, texts};
use crate::translate::scan::Scan;

/// Clients from this version on say how often the message may be tried.
const NAMES_MAX_ATTEMPTS_SINCE: i32 = 121;
/// First level of the back-off.
const FIRST_LEVEL: i32 = 3;
/// Bodies up to this size are copied: a reference would cost more to follow.
const COPIED_MAX: usize = 512;

pub(crate) fn send_back(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { take_back(&door, &call).await })
}

async fn take_back(door: &Broker, call: &Call) -> Answer {
    let header = SendBack::parse(&call.command.ext)?;
    auth::may(&door.hub, call, Action::Sub, Resource::group(header.group))?;
    let Some(group) = door.hub.group(header.group) else {
        return Err(Refusal::no_group(header.group));
    };
    if group.config.retry_queues == 0 {
        // The group keeps no retries: the message is dropped, as it was told to be.
        return Ok(Reply::ok());
    }
    let missing = || Refusal::system(format!("look message by offset failed, {}", header.offset));
    let position = u64::try_from(header.offset).map_err(|_| missing())?;
    let message = match door.hub.view(Position(position)).await {
        Ok(message) => message,
        Err(HubError::Read(ReadError::NotFound(_) | ReadError::Expired(_))) => {
            return Err(missing());
        }
        Err(error) => return Err(error.into()),
    };
    let texts = texts(&message).ok_or_else(missing)?;
    // A retry is read for the group that failed; what it may not read it cannot bring back.
    auth::may_pull(&door.hub, call, &texts.topic, header.group)?;
    let max = header
        .max_reconsume_times
        .filter(|_| call.command.version >= NAMES_MAX_ATTEMPTS_SINCE);
    let attempt = message.record.attempt;
    let plan = door
        .hub
        .plan_retry(&group, attempt, header.delay_level, max)
        .await?;
    let Some(plan) = plan else {
        return Ok(Reply::ok());
    };
    let level = match header.delay_level {
        0 => FIRST_LEVEL + i32::from(attempt),
        level => level,
    };
    let may_borrow = |position| door.hub.may_borrow(position);
    let publish = again(&message, &texts, &plan, level, call, may_borrow)?;
    door.hub.publish_wait(publish).await?;
    Ok(Reply::ok())
}

/// The message that is published in place of the failed one.
fn again(
    message: &Message,
    texts: &Texts,
    plan: &RetryPlan,
    level: i32,
    call: &Call,
    may_borrow: impl Fn(Position) -> bool,
) -> Result<Publish, Refusal> {
    let record = &message.record;
    let topic = plan.topic.name.as_str();
    let old = Properties::new(&texts.properties);
    let scan = Scan::of(old);
    let mut edit = old.edit();
    if scan.retry_topic.is_none() {
        edit.set(name::RETRY_TOPIC, texts.topic.as_str());
    }
    if scan.origin_id.is_none() {
        let id = MessageId {
            host: call.peer.advertised,
            offset: i64::try_from(record.position.0).unwrap_or(i64::MAX),
        };
        edit.set(name::ORIGIN_MESSAGE_ID, id.to_string());
    }
    if plan.due_ms.is_some() {
        edit.set(name::DELAY, level.to_string())
            .set(name::REAL_TOPIC, topic)
            .set(name::REAL_QID, plan.queue.to_string());
    } else {
        edit.remove(name::DELAY);
    }
    let properties = Bytes::from(edit.to_text()?);
    let (source, body) = body_of(message, texts.body_bytes, may_borrow)?;
    let behind = behind_body(topic, properties, Bytes::new(), &mut BytesMut::new())?;
    let crc = record.body_crc().or_else(|| {
        let [_, body] = body.as_slice() else {
            return None;
        };
        Some(body_crc(body) as u32)
    });
    let mut tail: SmallVec<[Bytes; 6]> = body;
    tail.extend(behind.into_iter().filter(|piece| !piece.is_empty()));
    let keys = scan.uniq_key.into_iter().chain(scan.key_tokens());
    Ok(Publish {
        queue: QueueChoice::Number(plan.queue),
        tag_hash: record.tag_hash,
        keys: keys.map(|key| key_hash(topic, key)).collect(),
        born_ms: record.born_ms,
        born_host: record.born_host().unwrap_or_default().into(),
        attempt: plan.attempt,
        due_ms: plan.due_ms,
        sys_flags: record.sys_flags,
        user_flags: record.user_flags,
        body_crc: crc,
        source,
        ..Publish::new(Arc::clone(&plan.topic), Flavour::Rmq4, tail)
    })
}

/// Body length and body of a message: a reference into the log where that is allowed, or the pieces themselves.
fn body_of(
    message: &Message,
    body_bytes: usize,
    may_borrow: impl Fn(Position) -> bool,
) -> Result<(Option<TailSource>, SmallVec<[Bytes; 6]>), Refusal> {
    let record = &message.record;
    let wanted = body_bytes + 4;
    let prefix = message.prefix.as_ref().map_or(0, Bytes::len);
    let reach = u32::try_from(wanted).map_err(|_| Refusal::system("the body is too long"))?;
    if body_bytes > COPIED_MAX {
        if prefix == 0 && wanted <= record.tail.len() && may_borrow(record.position) {
            let source = TailSource {
                position: record.position,
                record_bytes: record.bytes,
                from: 0,
                to: reach,
            };
            return Ok((Some(source), SmallVec::new()));
        }
        // The body is itself taken from an earlier record: refer to where it really lies.
        if let Some(source) = record
            .source()
            .filter(|source| prefix >= wanted && may_borrow(source.position))
        {
            let to = source.from.saturating_add(reach);
            return Ok((Some(TailSource { to, ..source }), SmallVec::new()));
        }
    }
    let mut whole = BytesMut::with_capacity(wanted);
    whole.extend_from_slice(message.prefix.as_deref().unwrap_or_default());
    whole.extend_from_slice(&record.tail);
    if whole.len() < wanted {
        return Err(Refusal::system("the stored message is cut short"));
    }
    whole.truncate(wanted);
    let length = whole.split_to(4).freeze();
    Ok((None, SmallVec::from_iter([length, whole.freeze()])))
}
