//! Message traces written by the server, in the text that stock clients and tools write and read. Handlers tell the hub's
//! tracer what happens; one task, which owns the texts being gathered, publishes them to the trace topic.

mod text;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use crossdock_hub::{
    AppendError, Durability, Hub, HubError, Message, Receipt, TRACE_TOPIC, Topic, TraceEvent,
    TraceStep, Tracer,
};
use crossdock_proto_remoting::record::properties::name;
use crossdock_proto_remoting::record::{MessageId, Properties};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::text::Texts;
use crate::broker::Broker;
use crate::error::Refusal;
use crate::translate::incoming::{Incoming, Target};
use crate::translate::outgoing::texts;
use crate::translate::scan::Scan;

/// Longest time an event waits for others to share its message.
const GATHER: Duration = Duration::from_millis(500);

/// The events of a send that is not decided yet.
#[derive(Debug)]
pub(crate) struct SendTrace {
    hub: Hub,
    begun: Instant,
    events: Vec<TraceEvent>,
    store_host: std::net::SocketAddr,
}

/// What a send tells of one of its messages.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a Topic,
    pub(crate) message: &'a str,
    pub(crate) scan: &'a Scan<'a>,
    pub(crate) body_bytes: usize,
    pub(crate) is_delayed: bool,
    pub(crate) peer: &'a crate::connection::Peer,
}

impl SendTrace {
    /// A trace, if traces are written at all and the topic is not the hub's own.
    pub(crate) fn begin(
        hub: &Hub,
        topic: &Topic,
        store_host: std::net::SocketAddr,
    ) -> Option<Box<Self>> {
        hub.tracer()?;
        if hub.is_system_topic(&topic.name) {
            return None;
        }
        Some(Box::new(Self {
            hub: hub.clone(),
            begun: Instant::now(),
            events: Vec::new(),
            store_host,
        }))
    }

    pub(crate) fn add(&mut self, sending: &Sending<'_>) {
        self.events.push(TraceEvent {
            at_ms: self.hub.now_ms(),
            group: sending.group.into(),
            topic: sending.topic.name.as_str().into(),
            message: sending.message.into(),
            keys: sending.scan.keys.unwrap_or_default().into(),
            step: TraceStep::Published {
                tag: sending.scan.tags.unwrap_or_default().into(),
                body_bytes: sending.body_bytes,
                is_delayed: sending.is_delayed,
                place: "".into(),
                server: self.store_host.to_string().into(),
                client: sending.peer.address.to_string().into(),
                took_ms: 0,
                is_stored: true,
            },
        });
    }

    /// Records what became of the send. `None`: nobody waits for it.
    pub(crate) fn end(self, outcome: Option<&Result<Receipt, AppendError>>) {
        let took = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        let receipt: Option<&Receipt> = outcome.and_then(|outcome| outcome.as_ref().ok());
        let is_failed = outcome.is_some_and(Result::is_err);
        for (at, mut event) in self.events.into_iter().enumerate() {
            if let TraceStep::Published {
                place,
                took_ms,
                is_stored,
                ..
            } = &mut event.step
            {
                *took_ms = took;
                *is_stored = !is_failed;
                if let Some(placed) = receipt.and_then(|receipt| receipt.get(at)) {
                    let offset = i64::try_from(placed.position.0).unwrap_or(i64::MAX);
                    let host = self.store_host;
                    *place = MessageId { host, offset }.text().as_str().into();
                }
            }
            if let Some(tracer) = self.hub.tracer() {
                tracer.record(event);
            }
        }
    }
}

/// Records that messages were handed to a consumer.
pub(crate) fn delivered(
    tracer: &Tracer,
    hub: &Hub,
    group: &str,
    topic: &Topic,
    messages: &[Message],
) {
    if hub.is_system_topic(&topic.name) {
        return;
    }
    let at_ms = hub.now_ms();
    let Some(first) = messages.first() else {
        return;
    };
    // Told apart by where the hand-over begins.
    let request = format!("{at_ms:X}-{:X}-{:X}", first.queue.0, first.offset);
    for message in messages {
        let Some(texts) = texts(message) else {
            continue;
        };
        let properties = Properties::new(&texts.properties);
        tracer.record(TraceEvent {
            at_ms,
            group: group.into(),
            topic: texts.topic.as_str().into(),
            message: properties.get(name::UNIQ_KEY).unwrap_or_default().into(),
            keys: properties.get(name::KEYS).unwrap_or_default().into(),
            step: TraceStep::Delivered {
                attempt: message.record.attempt,
                request: request.as_str().into(),
            },
        });
    }
}

/// Writes events down until the door drains, and then what is left.
pub(crate) async fn write(
    door: Arc<Broker>,
    mut events: mpsc::Receiver<TraceEvent>,
    stop: CancellationToken,
) {
    let mut gathered = Texts::new(&door.config.region);
    let mut due: Option<Instant> = None;
    loop {
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = wait => None,
            event = events.recv() => match event {
                Some(event) => Some(event),
                None => break,
            },
        };
        if let Some(event) = &event {
            gathered.add(event);
            due = due.or_else(|| Some(Instant::now() + GATHER));
        }
        if event.is_none() || gathered.is_full() {
            due = None;
            publish(&door, &mut gathered).await;
        }
    }
    while let Ok(event) = events.try_recv() {
        gathered.add(&event);
        if gathered.is_full() {
            publish(&door, &mut gathered).await;
        }
    }
    publish(&door, &mut gathered).await;
}

async fn publish(door: &Broker, gathered: &mut Texts) {
    let Some((body, keys)) = gathered.take() else {
        return;
    };
    if let Err(refusal) = try_publish(door, body, &keys).await {
        tracing::warn!(remark = %refusal.remark, "message traces were not written");
    }
}

async fn try_publish(door: &Broker, body: Bytes, keys: &str) -> Result<(), Refusal> {
    let topic = door.hub.require_topic(TRACE_TOPIC)?;
    let queue = topic
        .next_queue()
        .ok_or_else(|| HubError::NoTopic(TRACE_TOPIC.to_owned()))?;
    let properties = Bytes::from(format!("{}\u{1}{keys}\u{2}", name::KEYS));
    let text = std::str::from_utf8(&properties).unwrap_or_default();
    let scan = Scan::of(Properties::new(text));
    let now_ms = door.hub.now_ms();
    let incoming = Incoming {
        scan: &scan,
        properties: properties.clone(),
        body,
        born_ms: now_ms,
        born_host: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        sys_flag: 0,
        flag: 0,
        attempt: 0,
    };
    let target = Target {
        topic,
        queue,
        due_ms: None,
        is_timer: false,
        drops_delay: false,
        decider: None,
    };
    let (mut publish, _) = incoming.publish(target, &door.stamp, now_ms, &mut BytesMut::new())?;
    publish.durability = Some(Durability::Written);
    door.hub.publish_wait(publish).await?;
    Ok(())
}
