//! Moving a group's positions from outside. The position is moved on the server, for groups that are online and for
//! those that are not; members hear of it with their next pull, and those whose pull is held hear of it at once.

use std::sync::Arc;

use crossdock_hub::{Action, Actions, Boundary, Group, Resource, Topic};
use crossdock_proto_remoting::Language;
use crossdock_proto_remoting::body::stats::ResetOffsets;
use crossdock_proto_remoting::header::admin::CloneGroupOffset;
use crossdock_proto_remoting::header::offset::ResetOffset;

use super::progress::topics_with_position;
use super::relay::peer_of;
use super::topic_stats::{number, queue_of};
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// The time that means the end of the queue.
const END: i64 = -1;

/// INVOKE_BROKER_TO_RESET_OFFSET.
pub(crate) fn reset(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = ResetOffset::parse(&call.command.ext)?;
        let needs: [(Actions, Resource<'_>); 2] = [
            (Action::Update.into(), Resource::group(header.group)),
            (
                Action::Sub | Action::Get | Action::Update,
                auth::behind(header.topic),
            ),
        ];
        door.hub.authorize(&call.identity, &needs)?;
        let topic = door
            .hub
            .topic(header.topic)
            .ok_or_else(|| Refusal::no_topic(header.topic))?;
        let group = door
            .hub
            .group(header.group)
            .ok_or_else(|| Refusal::no_group(header.group))?;
        let targets = targets(&door, &header, &group, &topic)?;
        door.hub.reset_positions(&group, &topic, &targets).await?;
        wake(&door, &group);
        let table = targets.into_iter().map(|(queue, offset)| {
            let queue = queue_of(&door, topic.name.as_str(), queue);
            (queue, number(offset))
        });
        let body = ResetOffsets {
            offset_table: table.collect(),
        };
        // Those clients read a list and not a map.
        let body = if call.command.language == Language::CPP {
            body.to_list_json()?
        } else {
            body.to_json()?
        };
        Ok(Reply::ok().with_body(body))
    })
}

/// The queues to move and where to.
fn targets(
    door: &Broker,
    header: &ResetOffset<'_>,
    group: &Group,
    topic: &Topic,
) -> Result<Vec<(u32, u64)>, Refusal> {
    let queues = match header.queue_id.filter(|queue| *queue >= 0) {
        Some(queue) => {
            let queue = u32::try_from(queue)
                .ok()
                .filter(|queue| *queue < topic.read_queues)
                .ok_or_else(|| Refusal::invalid(format!("queueId[{queue}] is illegal")))?;
            queue..queue + 1
        }
        None => 0..topic.read_queues,
    };
    let explicit = header.offset.filter(|offset| *offset != -1);
    let mut targets = Vec::with_capacity(queues.len());
    for queue in queues {
        let bounds = door.hub.bounds(topic, queue)?;
        let offset = match explicit {
            Some(offset) => u64::try_from(offset)
                .ok()
                .filter(|offset| (bounds.min..=bounds.max).contains(offset))
                .ok_or_else(|| {
                    Refusal::system(format!(
                        "Target offset {offset} not in consume queue range [{}-{}]",
                        bounds.min, bounds.max
                    ))
                })?,
            None if header.timestamp == END => bounds.max,
            None => door
                .hub
                .offset_by_time(topic, queue, header.timestamp, Boundary::Lower)?,
        };
        // Unless forced, a group goes back and never ahead.
        let position = door.hub.position(group, topic, queue)?;
        let offset = match position {
            Some(position) if !header.is_force => position.min(offset),
            _ => offset,
        };
        targets.push((queue, offset));
    }
    Ok(targets)
}

/// Lets members whose pulls are held look at their positions again.
fn wake(door: &Broker, group: &Group) {
    let view = door.hub.group_view(group);
    let members = view.into_iter().flat_map(|view| view.members);
    for member in members {
        if let Some(peer) = peer_of(&member) {
            peer.moved.notify_waiters();
        }
    }
}

/// CLONE_GROUP_OFFSET: another group begins where this one stands.
pub(crate) fn clone(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = CloneGroupOffset::parse(&call.command.ext)?;
        let needs: [(Actions, Resource<'_>); 2] = [
            (Action::Get.into(), Resource::group(header.src_group)),
            (Action::Update.into(), Resource::group(header.dest_group)),
        ];
        door.hub.authorize(&call.identity, &needs)?;
        let from = door
            .hub
            .group(header.src_group)
            .ok_or_else(|| Refusal::no_group(header.src_group))?;
        let to = door
            .hub
            .group(header.dest_group)
            .ok_or_else(|| Refusal::no_group(header.dest_group))?;
        let topics = match header.topic.filter(|topic| !topic.is_empty()) {
            Some(topic) => vec![
                door.hub
                    .topic(topic)
                    .ok_or_else(|| Refusal::no_topic(topic))?,
            ],
            None => topics_with_position(&door, &from).await,
        };
        for topic in topics {
            let needs = Action::Sub | Action::Get;
            auth::may(&door.hub, &call, needs, auth::behind(topic.name.as_str()))?;
            let positions = door.hub.positions(&from, &topic);
            door.hub.reset_positions(&to, &topic, &positions).await?;
        }
        wake(&door, &to);
        Ok(Reply::ok())
    })
}
