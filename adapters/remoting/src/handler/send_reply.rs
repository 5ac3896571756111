//! SEND_REPLY_MESSAGE: the answer to a request that one client sent another as a message. It is pushed to the connection of
//! the client that asked, and stored besides. What the sender is told is whether it was pushed.

use std::sync::Arc;

use bytes::BytesMut;
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::send::{ReplyMessage, SendMessage, SendResponse};
use crossdock_proto_remoting::record::properties::name;
use crossdock_proto_remoting::record::{MessageId, Properties};

use super::send::{Found, Request, find, queue_of, queues_wanted};
use crate::auth;
use crate::broker::Broker;
use crate::connection::Peer;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::stats::Stats;
use crate::translate::incoming::Target;

pub(crate) fn send_reply(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { relay(&door, &call).await })
}

async fn relay(door: &Broker, call: &Call) -> Answer {
    let header = SendMessage::parse(call.command.code, &call.command.ext)?;
    auth::may_send(&door.hub, call, header.topic)?;
    if header.topic.starts_with(crossdock_hub::RETRY_PREFIX) {
        return Err(Refusal::invalid("a reply cannot go to a retry topic"));
    }
    let topic = match find(door, &header)? {
        Found::Topic(topic) => topic,
        Found::Missing(name) => {
            let queues = queues_wanted(&header);
            door.hub
                .ensure_topic(&name, header.default_topic, queues)
                .await?
        }
    };
    let queue = queue_of(&topic, header.queue_id)?;
    let message = Request::of(call, &header, door)?;
    let target = Target {
        topic,
        queue,
        due_ms: None,
        is_timer: false,
        drops_delay: true,
        decider: None,
    };
    let (publish, uniq_key) =
        message
            .incoming()
            .publish(target, &door.stamp, door.hub.now_ms(), &mut BytesMut::new())?;
    let pushed = push(door, call, &header);
    // The client that asked does not wait for the disk; the record of its answer is for whoever looks for it later.
    let stored = match door.hub.publish_wait(publish).await {
        Ok((_, receipt)) => receipt.first().copied(),
        Err(error) => {
            tracing::debug!(%error, "a reply was not stored");
            None
        }
    };
    let id = stored.map_or_else(
        || "0".to_owned(),
        |placed| {
            Stats::count(&door.stats.messages_in);
            MessageId {
                host: call.peer.advertised,
                offset: i64::try_from(placed.position.0).unwrap_or(i64::MAX),
            }
            .to_string()
        },
    );
    let reply = match pushed {
        Ok(()) => Reply::ok(),
        Err(refusal) => refusal.into(),
    };
    let offset = stored.map_or(0, |placed| placed.offset);
    Ok(reply.with_header(&SendResponse {
        msg_id: &id,
        queue_id: stored.map_or(0, |_| i32::try_from(queue).unwrap_or(i32::MAX)),
        queue_offset: i64::try_from(offset).unwrap_or(i64::MAX),
        transaction_id: Some(std::str::from_utf8(&uniq_key).unwrap_or_default()),
        batch_uniq_id: None,
        recall_handle: None,
        region: Some(&door.config.region),
        trace_on: Some(door.config.trace_on),
    }))
}

/// Sends the reply to the client that asked.
fn push(door: &Broker, call: &Call, header: &SendMessage<'_>) -> Result<(), Refusal> {
    let properties = Properties::new(header.properties.unwrap_or_default());
    let client = properties.get(name::REPLY_TO_CLIENT).ok_or_else(|| {
        Refusal::system("reply message properties[REPLY_TO_CLIENT] is null".to_owned())
    })?;
    let gone = || {
        let client: String = client.chars().take(255).collect();
        Refusal::system(format!(
            "push reply message fail, channel of <{client}> not found."
        ))
    };
    let member = door.hub.producer_by_client(client).ok_or_else(gone)?;
    let peer = member.channel.as_any().downcast_ref::<Peer>();
    let peer = peer.ok_or_else(gone)?;
    let now_ms = door.hub.now_ms();
    let mut edit = properties.edit();
    edit.set(name::PUSH_REPLY_TIME, now_ms.to_string());
    let properties = edit.to_text()?;
    let (born_host, store_host) = (call.peer.address.to_string(), peer.advertised.to_string());
    let pushed = ReplyMessage {
        producer_group: header.producer_group,
        topic: header.topic,
        default_topic: header.default_topic,
        default_topic_queue_nums: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        flag: header.flag,
        properties: Some(&properties),
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        born_host: &born_host,
        store_host: &store_host,
        store_timestamp: now_ms,
    };
    let command = Command::request(request::PUSH_REPLY_MESSAGE_TO_CLIENT)
        .with_header(&pushed)
        .with_body(call.command.body.clone());
    if peer.push(command) {
        return Ok(());
    }
    let client: String = client.chars().take(255).collect();
    Err(Refusal::new(
        response::SYSTEM_ERROR,
        format!("push reply message to {client} fail."),
    ))
}
