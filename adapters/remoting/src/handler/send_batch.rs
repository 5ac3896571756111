//! SEND_BATCH_MESSAGE: many messages to one queue, taken together or not at all. What the client
//! says of each message is stored as it is; the broker adds nothing to it.

use bytes::Bytes;
use crossdock_hub::Durability;
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::send::SendMessage;
use crossdock_proto_remoting::record::head::MAX_V1_TOPIC;
use crossdock_proto_remoting::record::{BatchElements, Properties};

use super::send::{
    Begun, Found, check_body, done, find, go_on, properties_of, queue_of, queues_wanted, submit,
};
use crate::auth;
use crate::broker::Broker;
use crate::connection::Session;
use crate::dispatch::{Call, Flow};
use crate::error::Refusal;
use crate::sending::Sent;
use crate::trace::{SendTrace, Sending};
use crate::translate::incoming::{Incoming, batch_element};
use crate::translate::scan::Scan;

pub(crate) fn batch(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    let begun = begin(session, &call);
    go_on(session, begun, call, batch)
}

fn illegal(remark: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(response::MESSAGE_ILLEGAL, remark)
}

fn begin(session: &mut Session<Broker>, call: &Call) -> Result<Begun, Refusal> {
    let header = SendMessage::parse(call.command.code, &call.command.ext)?;
    let door = &session.door;
    auth::may_send(&door.hub, call, header.topic)?;
    let found = find(door, &header)?;
    if header.topic.len() > MAX_V1_TOPIC {
        return Err(illegal(format!(
            "message topic length too long {}",
            header.topic.len()
        )));
    }
    if header.topic.starts_with(crossdock_hub::RETRY_PREFIX) {
        return Err(illegal("batch request does not support retry group"));
    }
    let topic = match found {
        Found::Topic(topic) => topic,
        Found::Missing(name) => {
            let template = header.default_topic.to_owned();
            return Ok(Begun::Create(name, template, queues_wanted(&header)));
        }
    };
    let queue = queue_of(&topic, header.queue_id)?;
    let body = &call.command.body;
    check_body(body, door)?;
    let outer = Scan::of(Properties::new(header.properties.unwrap_or_default()));
    let durability = outer.waives_sync().then_some(Durability::Written);
    let store_host = session.peer.advertised;
    let mut trace = SendTrace::begin(&door.hub, &topic, store_host);
    let mut messages = Vec::new();
    for element in BatchElements::new(body) {
        let element = element?;
        let scan = Scan::of(element.properties);
        let incoming = Incoming {
            scan: &scan,
            properties: body.slice_ref(element.properties.as_str().as_bytes()),
            body: body.slice_ref(element.body),
            born_ms: header.born_timestamp,
            born_host: call.peer.address,
            sys_flag: header.sys_flag,
            flag: element.flag,
            attempt: 0,
        };
        if let Some(trace) = &mut trace {
            trace.add(&Sending {
                group: header.producer_group,
                topic: &topic,
                message: scan.uniq_key.unwrap_or_default(),
                scan: &scan,
                body_bytes: incoming.body.len(),
                is_delayed: false,
                peer: &call.peer,
            });
        }
        messages.push(batch_element(
            &incoming,
            &topic,
            queue,
            durability,
            &mut session.scratch,
        )?);
    }
    if messages.is_empty() {
        return Err(illegal("the batch is empty"));
    }
    let ready = door.hub.prepare_batch(messages)?;
    let meta = call.meta();
    let uniq_key = match outer.uniq_key {
        Some(key) => properties_of(call).slice_ref(key.as_bytes()),
        None => Bytes::new(),
    };
    let sent = Sent {
        meta,
        queue,
        uniq_key,
        recall: None,
        trace,
        store_host,
    };
    let done = done(session, sent);
    Ok(Begun::Flow(submit(session, meta, ready, done)))
}
