//! PullMessage: reading a queue from an offset, waiting for messages at its end. Each pull is a task that ends with exactly
//! one outcome: messages, or none when its time is up, an error when the door drains; or with nothing, when the client is
//! gone. How many may wait is bounded.

use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{
    Expression, Group, ReadLimits, ReadOutcome, ReadStatus, Subscription, TagFilter,
};
use crossdock_proto_grpc::v2::pull_message_response::Content;
use crossdock_proto_grpc::v2::{
    Code, Message, PullMessageRequest, PullMessageResponse, Resource, Status,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::offset::{Place, offset};
use super::settings::subscription;
use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::{Refusal, ok};
use crate::names;
use crate::stats::{Present, Stats};
use crate::translate::outgoing::{Outgoing, tag};
use crate::translate::time;

/// Frames of an answer that wait for the connection.
const FRAMES_MAX: usize = 8;
/// Most bytes of one answer.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Index entries looked at for one answer.
const SCANNED_MAX: usize = 800;
/// An answer leaves this long before the client gives up, so that it arrives.
const MARGIN: Duration = Duration::from_millis(500);

type Frame = Result<PullMessageResponse, tonic::Status>;
pub(crate) type Frames = ReceiverStream<Frame>;

/// Starts a pull; its answer comes by the stream.
pub(crate) fn pull(door: &Arc<Door>, call: Call, request: PullMessageRequest) -> Frames {
    let (sender, receiver) = mpsc::channel(FRAMES_MAX);
    let shared = Arc::clone(door);
    let task = async move {
        let ended = match shared.sessions.find(&call) {
            Some(session) => session.ended.clone(),
            None => CancellationToken::new(),
        };
        let answer = tokio::select! {
            biased;
            () = sender.closed() => return,
            answer = answer(&shared, &call, request, &ended) => answer,
        };
        for frame in answer {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    };
    drop(door.scope.spawn("pull", task));
    ReceiverStream::new(receiver)
}

/// An answer that is a status and nothing else.
pub(crate) fn refused(refusal: Refusal) -> Frame {
    frame(Content::Status(refusal.into()))
}

fn frame(content: Content) -> Frame {
    Ok(PullMessageResponse {
        content: Some(content),
    })
}

/// All frames of the answer.
async fn answer(
    door: &Arc<Door>,
    call: &Call,
    request: PullMessageRequest,
    ended: &CancellationToken,
) -> Vec<Frame> {
    let outcome = match Pull::check(door, call, request).await {
        Ok(mut pull) => pull.run(door, ended).await,
        Err(refusal) => Err(End::Refused(refusal)),
    };
    match outcome {
        Ok(found) => {
            let mut frames = Vec::with_capacity(found.messages.len() + 2);
            frames.push(frame(Content::Status(found.status)));
            frames.extend(
                found
                    .messages
                    .into_iter()
                    .map(|m| frame(Content::Message(m))),
            );
            let next = i64::try_from(found.next).unwrap_or(i64::MAX);
            frames.push(frame(Content::NextOffset(next)));
            frames
        }
        Err(End::Refused(refusal)) => {
            Stats::count(&door.stats.refused);
            vec![refused(refusal)]
        }
        Err(End::Draining) => vec![Err(tonic::Status::unavailable(
            "the server is shutting down",
        ))],
    }
}

/// What a pull came to.
struct Found {
    status: Status,
    messages: Vec<Message>,
    next: u64,
}

impl Found {
    fn nothing(code: Code, text: &str, next: u64) -> Self {
        Self {
            status: Refusal::new(code, text.to_owned()).into(),
            messages: Vec::new(),
            next,
        }
    }
}

/// Why a pull came to nothing.
enum End {
    Refused(Refusal),
    Draining,
}

impl<E: Into<Refusal>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// A pull that may read.
struct Pull {
    group: Arc<Group>,
    place: Place,
    resource: Resource,
    from: u64,
    limits: ReadLimits,
    subscription: Subscription,
    store_host: String,
    /// How long the client is willing to wait.
    hold: Duration,
}

impl Pull {
    async fn check(door: &Door, call: &Call, request: PullMessageRequest) -> Result<Self, Refusal> {
        let queue = request.message_queue.as_ref();
        let topic = names::topic(
            &call.namespace,
            queue.and_then(|queue| queue.topic.as_ref()),
        )?;
        let name = names::group(&call.namespace, request.group.as_ref())?;
        auth::may_consume(&door.hub, call, topic.as_str(), name.as_str())?;
        let place = Place::find(door, call, queue)?;
        let subscription = subscription(&door.hub, topic, request.filter_expression.as_ref(), 0)?;
        if let Expression::Sql(_) | Expression::Unusable { .. } = subscription.expression {
            return Err(Refusal::not_implemented("a filter in SQL"));
        }
        let from = offset(request.offset)?;
        let group = door.hub.ensure_group(&name).await?;
        if !group.config.is_enabled {
            let text = format!("group {name} may not consume");
            return Err(Refusal::new(Code::Forbidden, text));
        }
        let records = usize::try_from(request.batch_size).unwrap_or(0);
        let records_max = usize::try_from(door.config.receive_batch_max).unwrap_or(usize::MAX);
        let wanted = request.long_polling_timeout.as_ref().and_then(time::span);
        let resource = request.message_queue.and_then(|queue| queue.topic);
        Ok(Self {
            group,
            place,
            resource: resource.unwrap_or_default(),
            from,
            limits: ReadLimits {
                records: records.clamp(1, records_max.max(1)),
                bytes: BYTES_MAX,
                scanned: SCANNED_MAX,
            },
            subscription,
            store_host: call.peer.local.to_string(),
            hold: hold(wanted.unwrap_or_default(), door, call),
        })
    }

    async fn run(&mut self, door: &Arc<Door>, ended: &CancellationToken) -> Result<Found, End> {
        let Place { topic, queue } = &self.place;
        if let Some(offset) = door.hub.take_reset(&self.group, topic, *queue) {
            let text = "the position was moved by an operator";
            return Ok(Found::nothing(Code::IllegalOffset, text, offset));
        }
        let deadline = Instant::now() + self.hold;
        let mut held = None;
        loop {
            if let Some(found) = self.look(door).await? {
                return Ok(found);
            }
            if held.is_none() && !self.hold.is_zero() {
                held = Some(Held::take(door)?);
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => return Ok(self.nothing()),
                () = door.scope.draining().cancelled() => return Err(End::Draining),
                () = tokio::time::sleep_until(deadline) => return Ok(self.nothing()),
                arrived = self.arrival(door) => arrived?,
            }
            // Woken for nothing: others first, should that happen again and again.
            tokio::task::yield_now().await;
        }
    }

    async fn arrival(&self, door: &Door) -> Result<(), Refusal> {
        let Place { topic, queue } = &self.place;
        let filter: &TagFilter = &self.subscription.filter;
        Ok(door.hub.arrival(topic, *queue, self.from, filter).await?)
    }

    fn nothing(&self) -> Found {
        Found::nothing(Code::MessageNotFound, "no message", self.from)
    }

    /// Looks once; `None` if there is nothing to say but that there is nothing.
    async fn look(&mut self, door: &Door) -> Result<Option<Found>, Refusal> {
        loop {
            let Place { topic, queue } = &self.place;
            let filter = &self.subscription.filter;
            let hub = &door.hub;
            let read = hub.read(topic, *queue, self.from, self.limits, filter);
            let outcome = read.await?;
            match outcome.status {
                ReadStatus::Found => {
                    let messages = self.show(door, &outcome);
                    if !messages.is_empty() {
                        Stats::add(&door.stats.messages_out, messages.len() as u64);
                        return Ok(Some(Found {
                            status: ok(),
                            messages,
                            next: outcome.next,
                        }));
                    }
                    self.from = outcome.next;
                }
                ReadStatus::NoMatch => self.from = outcome.next,
                ReadStatus::AtEnd => break,
                ReadStatus::Empty if self.from == outcome.bounds.max => break,
                ReadStatus::Empty | ReadStatus::TooLarge => {
                    let text = "the offset is behind the end of the queue";
                    let next = outcome.bounds.max;
                    return Ok(Some(Found::nothing(Code::IllegalOffset, text, next)));
                }
                ReadStatus::TooSmall => {
                    let text = "the offset is before the beginning of the queue";
                    let next = outcome.bounds.min;
                    return Ok(Some(Found::nothing(Code::IllegalOffset, text, next)));
                }
            }
            tokio::task::yield_now().await;
        }
        if self.place.topic.is_deleted() {
            // A queue that is gone wakes its readers at once, and nothing will ever arrive.
            let text = format!("topic {} does not exist", self.place.topic.name);
            return Err(Refusal::new(Code::TopicNotFound, text));
        }
        Ok(None)
    }

    /// The messages as the client reads them, without those it does not want or cannot read.
    fn show(&self, door: &Door, outcome: &ReadOutcome) -> Vec<Message> {
        let outgoing = Outgoing {
            topic: &self.resource,
            queue: self.place.queue,
            store_host: &self.store_host,
        };
        let shown = outcome.messages.iter().filter_map(|message| {
            let shown = outgoing.message(message);
            if shown.is_none() {
                Stats::count(&door.stats.records_skipped);
            }
            shown
        });
        shown
            .filter(|message| self.subscription.wants_tag(tag(message)))
            .collect()
    }
}

/// How long a request may wait, so that its answer still finds the client.
fn hold(wanted: Duration, door: &Door, call: &Call) -> Duration {
    let hold = wanted.min(door.config.held_poll_time_max);
    match call.time_left() {
        Some(left) => hold.min(left.saturating_sub(MARGIN)),
        None => hold,
    }
}

/// A waiting request, counted until dropped.
struct Held {
    _permit: tokio::sync::OwnedSemaphorePermit,
    _present: Present<fn(&Stats) -> &std::sync::atomic::AtomicU64>,
}

impl Held {
    fn take(door: &Door) -> Result<Self, Refusal> {
        let Ok(permit) = Arc::clone(&door.held_polls).try_acquire_owned() else {
            Stats::count(&door.stats.held_polls_refused);
            let text = "too many requests wait for messages";
            return Err(Refusal::new(Code::TooManyRequests, text));
        };
        let which: fn(&Stats) -> &std::sync::atomic::AtomicU64 = |stats| &stats.held_polls;
        Ok(Self {
            _permit: permit,
            _present: Present::new(&door.stats, which),
        })
    }
}
