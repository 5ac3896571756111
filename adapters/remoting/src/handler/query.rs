//! Finding messages: by position in the log, by key, by unique key.

use std::sync::Arc;

use crossdock_hub::{Action, HubError, Message, Position, ReadError};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::query::{QueryMessage, QueryMessageResponse, ViewMessage};
use crossdock_proto_remoting::record::Properties;

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::outgoing::{Records, texts};
use crate::translate::scan::Scan;

/// Most messages of one answer, and the number a query by unique key always asks for.
const FOUND_MAX: usize = 64;
const UNIQUE_MAX: usize = 32;
/// Most bytes of one answer; the first message is returned whatever its size.
const BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) fn view(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { view_message(&door, &call).await })
}

pub(crate) fn by_key(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { query_message(&door, &call).await })
}

/// The topic and queue number a message stands in, or will stand in when it is due.
pub(super) fn place(door: &Broker, message: &Message) -> Option<(Arc<crossdock_hub::Topic>, u32)> {
    let queue = if message.queue.is_none() {
        message.record.target()?
    } else {
        message.queue
    };
    door.hub.topic_of(queue)
}

/// VIEW_MESSAGE_BY_ID.
async fn view_message(door: &Broker, call: &Call) -> Answer {
    let header = ViewMessage::parse(&call.command.ext)?;
    let missing = || {
        Refusal::system(format!(
            "can not find message by the offset, {}",
            header.offset
        ))
    };
    let position = u64::try_from(header.offset).map_err(|_| missing())?;
    let message = match door.hub.view(Position(position)).await {
        Ok(message) => message,
        Err(HubError::Read(ReadError::NotFound(_) | ReadError::Expired(_))) => {
            return Err(missing());
        }
        Err(error) => return Err(error.into()),
    };
    let (topic, queue) = place(door, &message).ok_or_else(missing)?;
    let actions = Action::Sub | Action::Get;
    auth::may(&door.hub, call, actions, auth::behind(topic.name.as_str()))?;
    let mut records = Records::new(call.peer.advertised, 1);
    records.add(&message, queue);
    if records.count == 0 {
        return Err(missing());
    }
    Ok(Reply::ok().with_slices(records.slices))
}

/// QUERY_MESSAGE.
async fn query_message(door: &Broker, call: &Call) -> Answer {
    let header = QueryMessage::parse(&call.command.ext)?;
    let actions = Action::Sub | Action::Get;
    auth::may(&door.hub, call, actions, auth::behind(header.topic))?;
    let none = || {
        Refusal::new(
            response::QUERY_NOT_FOUND,
            "can not find message, maybe time range not correct",
        )
    };
    let topic = door.hub.topic(header.topic).ok_or_else(none)?;
    let is_unique = header.unique_key_query.unwrap_or(false);
    let max = if is_unique {
        UNIQUE_MAX
    } else {
        usize::try_from(header.max_num).unwrap_or(0).min(FOUND_MAX)
    };
    let (from, to) = (header.begin_timestamp, header.end_timestamp);
    let found = door
        .hub
        .find_by_key(&topic, header.key, from, to, max)
        .await?;
    let mut records = Records::new(call.peer.advertised, found.len());
    let mut newest_ms = 0;
    for message in &found {
        if records.count > 0 && records.bytes + message.record.bytes as usize > BYTES_MAX {
            break;
        }
        if let Some((_, queue)) = place(door, message)
            && is_meant(message, header.key, is_unique)
        {
            records.add(message, queue);
            newest_ms = newest_ms.max(message.record.stored_ms);
        }
    }
    if records.count == 0 {
        return Err(none());
    }
    let (_, end) = door.hub.log_bounds();
    let reply = Reply::ok().with_header(&QueryMessageResponse {
        index_last_update_timestamp: newest_ms,
        index_last_update_phyoffset: i64::try_from(end.0).unwrap_or(i64::MAX),
    });
    Ok(reply.with_slices(records.slices))
}

/// Hashes collide; the key text decides.
fn is_meant(message: &Message, key: &str, is_unique: bool) -> bool {
    let Some(texts) = texts(message) else {
        return false;
    };
    let scan = Scan::of(Properties::new(&texts.properties));
    scan.uniq_key == Some(key) || (!is_unique && scan.key_tokens().any(|token| token == key))
}
