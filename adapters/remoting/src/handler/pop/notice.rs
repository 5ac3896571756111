//! Asking about messages without taking them: NOTIFICATION, which waits until there are some, and POLLING_INFO, which
//! tells how many others wait.

use std::sync::Arc;

use crossdock_hub::{Acquire, GroupName, HubError, LeaseTerm, Part, StartAt, TagFilter};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pop::{
    Notification, NotificationResponse, PollingInfo, PollingInfoResponse,
};
use tokio::time::Instant;

use super::{check, held, part_of, retry_topic};
use crate::auth;
use crate::broker::Broker;
use crate::connection::Session;
use crate::dispatch::{Call, Flow};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::popped::is_shown;

fn told(has_msg: bool, polling_full: bool) -> Reply {
    Reply::ok().with_header(&NotificationResponse {
        has_msg,
        polling_full: Some(polling_full),
    })
}

/// NOTIFICATION.
pub(crate) fn notification(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    let meta = call.meta();
    let door = Arc::clone(&session.door);
    match wait(&door, &call) {
        Ok(()) => {}
        Err(refusal) if refusal.code == response::POLLING_FULL => {
            session.answer(&meta, Ok(told(false, true)));
        }
        Err(refusal) => session.answer(&meta, Err(refusal)),
    }
    Flow::Done
}

fn wait(door: &Arc<Broker>, call: &Call) -> Result<(), Refusal> {
    let header = Notification::parse(&call.command.ext)?;
    auth::may_pull(&door.hub, call, header.topic, header.consumer_group)?;
    let topic = check::readable(door, header.topic)?;
    let queue = check::queue(&topic, header.queue_id)?;
    let name = GroupName::parse(header.consumer_group)?;
    let wait = check::wait_ms(header.born_time, header.poll_time, door.hub.now_ms());
    let deadline = Instant::now() + wait.min(door.config.held_pull_time_max);
    let asks_in_order = header.order.unwrap_or(false);
    let work = {
        let door = Arc::clone(door);
        async move {
            let group = check::enabled(door.hub.ensure_group(&name).await?)?;
            let is_ordered = asks_in_order || group.config.is_ordered;
            let main = Acquire {
                group: &group,
                topic: &topic,
                queues: queue.as_slice(),
                filter: &TagFilter::All,
                accept: &is_shown,
                max: 1,
                bytes: 1,
                term: LeaseTerm::For(std::time::Duration::ZERO),
                is_ordered,
                attempt_id: None,
                part: None,
                start: StartAt::First,
            };
            let retry = (!is_ordered).then(|| retry_topic(&door, &group)).flatten();
            let Some(retry) = retry.filter(|retry| retry.id != topic.id) else {
                return Ok(told(door.hub.available_wait(&main, deadline).await?, false));
            };
            let of = part_of(&door);
            let again = Acquire {
                topic: &retry,
                queues: &[],
                part: Some(Part {
                    of: &of,
                    wanted: topic.id.into(),
                }),
                ..main
            };
            let has_msg: Result<bool, HubError> = tokio::select! {
                found = door.hub.available_wait(&main, deadline) => found,
                found = door.hub.available_wait(&again, deadline) => found,
            };
            Ok(told(has_msg?, false))
        }
    };
    held::run(door, call, work)
}

/// POLLING_INFO.
pub(crate) fn polling_info(door: &Broker, call: &Call) -> Answer {
    let header = PollingInfo::parse(&call.command.ext)?;
    auth::may_pull(&door.hub, call, header.topic, header.consumer_group)?;
    let topic = check::readable(door, header.topic)?;
    check::queue(&topic, header.queue_id)?;
    let name = header.consumer_group;
    let group = door
        .hub
        .group(name)
        .ok_or_else(|| Refusal::no_group(name))?;
    let group = check::enabled(group)?;
    let waiting = door.hub.waiting(group.id, topic.id)?;
    Ok(Reply::ok().with_header(&PollingInfoResponse {
        polling_num: i32::try_from(waiting).unwrap_or(i32::MAX),
    }))
}
