//! SEND_MESSAGE and SEND_MESSAGE_V2. The checks stand in the order of the reference broker, since
//! clients see which one answers first. A send is handed to the log at once and answered when the
//! log has decided it; only what has to create a topic waits.

use std::sync::Arc;

use bytes::Bytes;
use crossdock_hub::{Decider, Done, Hub, Ready, Topic, TopicName};
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::send::SendMessage;
use crossdock_proto_remoting::record::{Properties, RecallHandle};

use crate::auth;
use crate::broker::Broker;
use crate::connection::Session;
use crate::dispatch::{Boxed, Call, Flow};
use crate::error::Refusal;
use crate::reply::{Answer, Meta};
use crate::sending::Sent;
use crate::stats::Stats;
use crate::trace::{SendTrace, Sending};
use crate::translate::incoming::{Incoming, Target};
use crate::translate::scan::{Delivery, Scan};

/// What became of the first step of a send.
pub(super) enum Begun {
    /// It went as far as it could.
    Flow(Flow<Broker>),
    /// A topic has to be created first.
    Create(TopicName, String, u32),
    /// A retry the client publishes itself: its group decides where it goes.
    Retry,
}

pub(crate) fn single(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    let begun = begin(session, &call);
    go_on(session, begun, call, single)
}

/// What follows the first step of `run`.
pub(super) fn go_on(
    session: &mut Session<Broker>,
    begun: Result<Begun, Refusal>,
    call: Call,
    run: fn(&mut Session<Broker>, Call) -> Flow<Broker>,
) -> Flow<Broker> {
    match begun {
        Ok(Begun::Flow(flow)) => flow,
        Ok(Begun::Create(topic, template, queues)) => {
            let created = create(session.door.hub.clone(), topic, template, queues);
            Flow::Wait(created, Box::new(move |session| run(session, call)))
        }
        Ok(Begun::Retry) => Flow::Task(Box::pin(retry(Arc::clone(&session.door), call))),
        Err(refusal) => {
            session.answer(&call.meta(), Err(refusal));
            Flow::Done
        }
    }
}

fn create(hub: Hub, topic: TopicName, template: String, queues: u32) -> Boxed<Result<(), Refusal>> {
    Box::pin(async move {
        hub.ensure_topic(&topic, &template, queues).await?;
        Ok(())
    })
}

/// The topic a send names, or what has to happen before there is one.
pub(super) enum Found {
    Topic(Arc<Topic>),
    Missing(TopicName),
}

/// Checks the name and finds the topic.
pub(super) fn find(door: &Broker, header: &SendMessage<'_>) -> Result<Found, Refusal> {
    if let Some(topic) = door.hub.topic(header.topic)
        && !topic.name.is_closed()
    {
        return Ok(Found::Topic(topic));
    }
    let name = TopicName::parse(header.topic)?;
    if name.is_closed() {
        let remark = format!("sending message to topic[{name}] is forbidden");
        return Err(Refusal::denied(remark));
    }
    Ok(Found::Missing(name))
}

/// The queue a send is addressed to.
pub(super) fn queue_of(topic: &Topic, asked: i32) -> Result<u32, Refusal> {
    let Ok(number) = u32::try_from(asked) else {
        return topic
            .next_queue()
            .ok_or_else(|| Refusal::denied(format!("topic[{}] has no write queue", topic.name)));
    };
    if number >= topic.queues() {
        return Err(Refusal::invalid(format!(
            "request queueId[{number}] is illegal, topic[{}] has {} queues",
            topic.name,
            topic.queues()
        )));
    }
    Ok(number)
}

/// Queues a missing topic is created with.
pub(super) fn queues_wanted(header: &SendMessage<'_>) -> u32 {
    u32::try_from(header.default_topic_queue_nums).unwrap_or(0)
}

fn begin(session: &mut Session<Broker>, call: &Call) -> Result<Begun, Refusal> {
    let header = SendMessage::parse(call.command.code, &call.command.ext)?;
    let door = &session.door;
    auth::may_send(&door.hub, call, header.topic)?;
    let topic = match find(door, &header)? {
        _ if header.topic.starts_with(crossdock_hub::RETRY_PREFIX) => return Ok(Begun::Retry),
        Found::Topic(topic) => topic,
        Found::Missing(name) => {
            return Ok(Begun::Create(
                name,
                header.default_topic.to_owned(),
                queues_wanted(&header),
            ));
        }
    };
    let queue = queue_of(&topic, header.queue_id)?;
    let message = Request::of(call, &header, door)?;
    let target = message.target(topic, queue, door)?;
    let incoming = message.incoming();
    let now_ms = door.hub.now_ms();
    let traced = door.hub.tracer().map(|_| Arc::clone(&target.topic));
    let is_delayed = target.due_ms.is_some();
    let timer = target.due_ms.filter(|_| target.is_timer);
    let (publish, uniq_key) =
        incoming.publish(target, &door.stamp, now_ms, &mut session.scratch)?;
    let ready = door.hub.prepare(publish)?;
    let recall = timer.map(|due_ms| {
        let key = std::str::from_utf8(&uniq_key).unwrap_or_default();
        RecallHandle::encode(header.topic, door.name(), due_ms, key).into_boxed_str()
    });
    let meta = call.meta();
    let store_host = session.peer.advertised;
    let trace = traced.and_then(|topic| {
        let mut trace = SendTrace::begin(&door.hub, &topic, store_host)?;
        trace.add(&Sending {
            group: header.producer_group,
            topic: &topic,
            message: std::str::from_utf8(&uniq_key).unwrap_or_default(),
            scan: incoming.scan,
            body_bytes: incoming.body.len(),
            is_delayed,
            peer: &call.peer,
        });
        Some(trace)
    });
    let sent = Sent {
        meta,
        queue,
        uniq_key,
        recall,
        trace,
        store_host,
    };
    let done = done(session, sent);
    Ok(Begun::Flow(submit(session, meta, ready, done)))
}

/// Where the outcome of a send is reported: nowhere if nobody asked for it.
pub(super) fn done(session: &mut Session<Broker>, sent: Sent) -> Done {
    if sent.meta.is_oneway {
        if let Some(trace) = sent.trace {
            trace.end(None);
        }
        return Done::Ignore;
    }
    let token = session.expect(sent);
    Done::Shared(session.decided(), token)
}

/// Hands a send to the log, as soon as that has room.
pub(super) fn submit(
    session: &mut Session<Broker>,
    meta: Meta,
    ready: Ready,
    done: Done,
) -> Flow<Broker> {
    let count = ready.count();
    let Err(unsent) = session.door.hub.submit(ready, done) else {
        session.submitted();
        if meta.is_oneway {
            // All others are counted when they are answered.
            Stats::add(&session.door.stats.messages_in, count as u64);
        }
        return Flow::Done;
    };
    if unsent.wants_room() {
        let (hub, bytes) = (session.door.hub.clone(), unsent.ready.bytes());
        let room = async move {
            hub.room(bytes).await;
            Ok(())
        };
        let again =
            move |session: &mut Session<Broker>| submit(session, meta, unsent.ready, unsent.done);
        return Flow::Wait(Box::pin(room), Box::new(again));
    }
    if let Done::Shared(_, token) = unsent.done {
        session.forget(token);
    }
    session.answer(&meta, Err(unsent.error.into()));
    Flow::Done
}

/// One message of a request, read but not addressed yet.
pub(super) struct Request<'a> {
    scan: Scan<'a>,
    properties: Bytes,
    body: Bytes,
    header: &'a SendMessage<'a>,
    call: &'a Call,
}

impl<'a> Request<'a> {
    pub(super) fn of(
        call: &'a Call,
        header: &'a SendMessage<'a>,
        door: &Broker,
    ) -> Result<Self, Refusal> {
        let body = call.command.body.clone();
        check_body(&body, door)?;
        check_properties(header.properties.unwrap_or_default(), door)?;
        let scan = Scan::of(Properties::new(header.properties.unwrap_or_default()));
        Ok(Self {
            scan,
            properties: properties_of(call),
            body,
            header,
            call,
        })
    }

    fn target(&self, topic: Arc<Topic>, queue: u32, door: &Broker) -> Result<Target, Refusal> {
        if self.is_half() {
            return Ok(Target {
                topic,
                queue,
                due_ms: None,
                is_timer: false,
                drops_delay: self.scan.has_delay(),
                decider: Some(self.decider()),
            });
        }
        let (due_ms, is_timer) = match self.scan.delivery(door.hub.now_ms()) {
            Delivery::Now => (None, false),
            Delivery::Level(level) => (door.hub.due_by_level(level), false),
            Delivery::At(due) => (Some(due), true),
            Delivery::Refused(reason) => {
                return Err(Refusal::new(response::MESSAGE_ILLEGAL, reason));
            }
        };
        Ok(Target {
            topic,
            queue,
            due_ms,
            is_timer,
            drops_delay: false,
            decider: None,
        })
    }

    /// The half of a transaction. A retry is none: it was delivered before.
    fn is_half(&self) -> bool {
        let is_retry = attempt(self.header) > 0 && self.scan.has_delay();
        self.scan.is_transactional() && !is_retry
    }

    fn decider(&self) -> Decider {
        let group = self.scan.producer_group;
        let group = group.unwrap_or(self.header.producer_group);
        Decider {
            group: Bytes::copy_from_slice(group.as_bytes()),
            patience: self.scan.patience(),
        }
    }

    pub(super) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            scan: &self.scan,
            properties: self.properties.clone(),
            body: self.body.clone(),
            born_ms: self.header.born_timestamp,
            born_host: self.call.peer.address,
            sys_flag: self.header.sys_flag,
            flag: self.header.flag,
            attempt: attempt(self.header),
        }
    }
}

/// The property text of a send as a slice of the header buffer.
pub(super) fn properties_of(call: &Call) -> Bytes {
    let field = match call.command.code {
        request::SEND_MESSAGE | request::SEND_REPLY_MESSAGE => "properties",
        _ => "i",
    };
    call.command.ext.get_bytes(field).unwrap_or_default()
}

fn attempt(header: &SendMessage<'_>) -> u16 {
    u16::try_from(header.reconsume_times.unwrap_or(0).max(0)).unwrap_or(u16::MAX)
}

/// The size limit of a message or a whole batch.
pub(super) fn check_body(body: &Bytes, door: &Broker) -> Result<(), Refusal> {
    let max = door.config.body_bytes_max;
    if body.len() > max {
        let remark = format!("the message body of {} bytes exceeds {max}", body.len());
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    Ok(())
}

/// The size limit of what a producer sends as properties.
fn check_properties(properties: &str, door: &Broker) -> Result<(), Refusal> {
    let max = door.config.properties_bytes_max;
    if properties.len() > max {
        let remark = format!(
            "the message properties of {} bytes exceed {max}",
            properties.len()
        );
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    Ok(())
}

/// A message to a group's retry topic, published by the group's own client: another attempt, or
/// the end of them.
async fn retry(door: Arc<Broker>, call: Call) -> Answer {
    let header = SendMessage::parse(call.command.code, &call.command.ext)?;
    let name = TopicName::parse(header.topic)?;
    let group = door
        .hub
        .require_group(name.retry_group().unwrap_or_default())?;
    let dead = door
        .hub
        .plan_dead(&group, attempt(&header), header.max_reconsume_times)
        .await?;
    let message = Request::of(&call, &header, &door)?;
    let target = match dead {
        Some(topic) => Target {
            queue: queue_of(&topic, -1)?,
            topic,
            due_ms: None,
            is_timer: false,
            drops_delay: true,
            decider: None,
        },
        None => {
            let topic = door.hub.ensure_retry_topic(&group).await?;
            let queue = queue_of(&topic, header.queue_id)?;
            message.target(topic, queue, &door)?
        }
    };
    let queue = target.queue;
    let incoming = message.incoming();
    let (publish, uniq_key) = incoming.publish(
        target,
        &door.stamp,
        door.hub.now_ms(),
        &mut bytes::BytesMut::new(),
    )?;
    let (_, receipt) = door.hub.publish_wait(publish).await?;
    Stats::count(&door.stats.messages_in);
    let sent = Sent {
        meta: call.meta(),
        queue,
        uniq_key,
        recall: None,
        trace: None,
        store_host: call.peer.advertised,
    };
    sent.reply(&receipt, &door.config)
}
