//! Offsets: where a group stands, where a queue begins and ends, what was stored when.

use std::sync::Arc;

use crossdock_hub::{
    Action, Actions, Boundary, Bounds, Committed, Group, HubError, ReadLimits, TagFilter, Topic,
};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::offset::{
    EarliestStoreTime, MaxOffset, MinOffset, OffsetResponse, QueryConsumerOffset, SearchOffset,
    StoreTimeResponse, UpdateConsumerOffset,
};

use crate::auth;
use crate::broker::Broker;
use crate::connection::Session;
use crate::dispatch::{Call, Flow};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// How far behind the end of the log a first message still counts as young: a group without a
/// position then starts there, and clients need not choose.
const YOUNG_BYTES: u64 = 4 * 1024 * 1024 * 1024;

fn offset(offset: u64) -> Answer {
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    Ok(Reply::ok().with_header(&OffsetResponse { offset }))
}

fn queue_number(number: i32) -> Result<u32, Refusal> {
    u32::try_from(number).map_err(|_| Refusal::invalid(format!("queueId[{number}] is illegal")))
}

/// QUERY_CONSUMER_OFFSET.
pub(crate) fn query(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    match known_position(&session.door, &call) {
        Ok(Found::Position(position)) => session.answer(&call.meta(), offset(position)),
        Ok(Found::LookAtFirst(topic, queue)) => {
            let door = Arc::clone(&session.door);
            return Flow::Task(Box::pin(async move {
                young_or_none(&door, &topic, queue).await
            }));
        }
        Err(refusal) => session.answer(&call.meta(), Err(refusal)),
    }
    Flow::Done
}

enum Found {
    Position(u64),
    /// No position: the age of the queue's first message decides.
    LookAtFirst(Arc<Topic>, u32),
}

fn known_position(door: &Broker, call: &Call) -> Result<Found, Refusal> {
    let header = QueryConsumerOffset::parse(&call.command.ext)?;
    let (group, topic) = (header.consumer_group, header.topic);
    let actions = Action::Sub | Action::Get;
    auth::may_ask_group(&door.hub, call, group, Some(topic), actions)?;
    let queue = queue_number(header.queue_id)?;
    let may_be_zero = header.set_zero_if_not_found.unwrap_or(true);
    let known = door.hub.group(group).zip(door.hub.topic(topic));
    let Some((group, topic)) = known else {
        return Err(not_found(may_be_zero));
    };
    if queue >= topic.queues() {
        return Err(not_found(may_be_zero));
    }
    if let Some(position) = door.hub.position(&group, &topic, queue)? {
        return Ok(Found::Position(position));
    }
    if !may_be_zero {
        return Err(not_found(false));
    }
    let bounds = door.hub.bounds(&topic, queue)?;
    match bounds {
        Bounds { max: 0, .. } => Ok(Found::Position(0)),
        Bounds { min: 0, .. } => Ok(Found::LookAtFirst(topic, queue)),
        Bounds { .. } => Err(not_found(true)),
    }
}

fn not_found(may_be_zero: bool) -> Refusal {
    let remark = if may_be_zero {
        "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first"
    } else {
        "Not found, do not set to zero, maybe this group boot first"
    };
    Refusal::new(response::QUERY_NOT_FOUND, remark)
}

async fn young_or_none(door: &Broker, topic: &Topic, queue: u32) -> Answer {
    if is_young(door, topic, queue).await? {
        return offset(0);
    }
    Err(not_found(true))
}

/// Whether the queue still has its first message, and that is not old: a new group begins with it then, wherever its
/// members want to begin.
pub(super) async fn is_young(door: &Broker, topic: &Topic, queue: u32) -> Result<bool, Refusal> {
    let one = ReadLimits {
        records: 1,
        bytes: 1,
        scanned: 1,
    };
    let read = door.hub.read(topic, queue, 0, one, &TagFilter::All).await?;
    let (_, end) = door.hub.log_bounds();
    let first = read.messages.first();
    let behind = first.map(|first| end.0.saturating_sub(first.record.position.0));
    Ok(behind.is_some_and(|behind| behind <= YOUNG_BYTES))
}

/// UPDATE_CONSUMER_OFFSET: one-way commits are gathered, answered ones are on disk first.
pub(crate) fn update(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    let meta = call.meta();
    let commit = match Commit::check(&session.door, &call) {
        Ok(commit) => commit,
        Err(refusal) => {
            session.answer(&meta, Err(refusal));
            return Flow::Done;
        }
    };
    if meta.is_oneway {
        let Commit { group, topic, .. } = &commit;
        if let Err(error) = session
            .door
            .hub
            .commit(group, topic, commit.queue, commit.offset)
        {
            tracing::debug!(%error, "a one-way commit was not taken");
        }
        return Flow::Done;
    }
    let door = Arc::clone(&session.door);
    Flow::Task(Box::pin(async move {
        let Commit {
            group,
            topic,
            queue,
            offset,
        } = commit;
        match door
            .hub
            .commit_durable(&group, &topic, queue, offset)
            .await?
        {
            Committed::Taken => Ok(Reply::ok()),
            Committed::ResetPending => {
                Ok(Reply::ok().with_remark("Offset has been previously reset"))
            }
        }
    }))
}

struct Commit {
    group: Arc<Group>,
    topic: Arc<Topic>,
    queue: u32,
    offset: u64,
}

impl Commit {
    fn check(door: &Broker, call: &Call) -> Result<Self, Refusal> {
        let header = UpdateConsumerOffset::parse(&call.command.ext)?;
        let (group, topic) = (header.consumer_group, header.topic);
        let actions = Action::Sub | Action::Update;
        auth::may_ask_group(&door.hub, call, group, Some(topic), actions)?;
        let group = door
            .hub
            .group(group)
            .ok_or_else(|| Refusal::no_group(group))?;
        let topic = door
            .hub
            .topic(topic)
            .ok_or_else(|| Refusal::no_topic(topic))?;
        let queue = queue_number(header.queue_id)?;
        topic.queue(queue)?;
        let offset = u64::try_from(header.commit_offset)
            .map_err(|_| Refusal::invalid("the offset to commit is negative"))?;
        Ok(Self {
            group,
            topic,
            queue,
            offset,
        })
    }
}

/// The topic's queue, or `None` where clients expect the answer of an empty queue.
fn queue_of(
    door: &Broker,
    call: &Call,
    topic: &str,
    number: i32,
) -> Result<Option<(Arc<Topic>, u32)>, Refusal> {
    let actions: Actions = Action::Sub | Action::Get;
    auth::may(&door.hub, call, actions, auth::behind(topic))?;
    let found = door.hub.topic(topic).zip(u32::try_from(number).ok());
    Ok(found.filter(|(topic, number)| *number < topic.queues()))
}

fn bounds_of(door: &Broker, call: &Call, topic: &str, number: i32) -> Result<Bounds, Refusal> {
    match queue_of(door, call, topic, number)? {
        Some((topic, queue)) => Ok(door.hub.bounds(&topic, queue)?),
        None => Ok(Bounds::default()),
    }
}

/// GET_MAX_OFFSET.
pub(crate) fn max(door: &Broker, call: &Call) -> Answer {
    let header = MaxOffset::parse(&call.command.ext)?;
    offset(bounds_of(door, call, header.topic, header.queue_id)?.max)
}

/// GET_MIN_OFFSET.
pub(crate) fn min(door: &Broker, call: &Call) -> Answer {
    let header = MinOffset::parse(&call.command.ext)?;
    offset(bounds_of(door, call, header.topic, header.queue_id)?.min)
}

/// SEARCH_OFFSET_BY_TIMESTAMP.
pub(crate) fn by_time(door: &Broker, call: &Call) -> Answer {
    let header = SearchOffset::parse(&call.command.ext)?;
    let boundary = match header.boundary_type {
        Some(text) if text.eq_ignore_ascii_case("UPPER") => Boundary::Upper,
        _ => Boundary::Lower,
    };
    let found = match queue_of(door, call, header.topic, header.queue_id)? {
        Some((topic, queue)) => door
            .hub
            .offset_by_time(&topic, queue, header.timestamp, boundary),
        None => Ok(0),
    };
    offset(found.map_err(|error: HubError| Refusal::from(error))?)
}

/// GET_EARLIEST_MSG_STORETIME.
pub(crate) fn earliest(door: &Broker, call: &Call) -> Answer {
    let header = EarliestStoreTime::parse(&call.command.ext)?;
    let earliest = match queue_of(door, call, header.topic, header.queue_id)? {
        Some((topic, queue)) => door.hub.earliest_ms(&topic, queue)?,
        None => None,
    };
    Ok(Reply::ok().with_header(&StoreTimeResponse {
        timestamp: earliest.unwrap_or(-1),
    }))
}
