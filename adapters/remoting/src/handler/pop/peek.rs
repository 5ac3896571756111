//! PEEK_MESSAGE: the next messages a pop would be given for the first time, without giving them.

use std::sync::Arc;

use crossdock_hub::{ReadLimits, ReadStatus, TagFilter};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pop::{PeekMessage, PopResponse};

use super::{BYTES_MAX, check};
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::outgoing::Records;

/// Most messages of one answer.
const MESSAGES_MAX: i32 = 32;
/// Index entries looked at in one queue.
const SCANNED_MAX: usize = 800;

pub(crate) fn peek(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { look(&door, &call).await })
}

async fn look(door: &Broker, call: &Call) -> Answer {
    let header = PeekMessage::parse(&call.command.ext)?;
    auth::may_pull(&door.hub, call, header.topic, header.consumer_group)?;
    let topic = check::readable(door, header.topic)?;
    let queue = check::queue(&topic, header.queue_id)?;
    if !(1..=MESSAGES_MAX).contains(&header.max_msg_nums) {
        return Err(Refusal::invalid(format!(
            "a peek takes 1 to {MESSAGES_MAX} messages, not {}",
            header.max_msg_nums
        )));
    }
    let name = header.consumer_group;
    let group = door
        .hub
        .group(name)
        .ok_or_else(|| Refusal::no_group(name))?;
    let group = check::enabled(group)?;
    let max = header.max_msg_nums as usize;
    let mut records = Records::new(call.peer.advertised, max);
    let mut rest = 0;
    let queues = queue.map_or(0..topic.read_queues, |queue| queue..queue + 1);
    for queue in queues {
        let bounds = door.hub.bounds(&topic, queue)?;
        let next = door.hub.next_to_lease(&group, &topic, queue)?;
        let from = next.unwrap_or(0).clamp(bounds.min, bounds.max);
        rest += bounds.max - from;
        if records.count >= max || records.bytes >= BYTES_MAX {
            continue;
        }
        let limits = ReadLimits {
            records: max - records.count,
            bytes: BYTES_MAX - records.bytes,
            scanned: SCANNED_MAX,
        };
        let read = door.hub.read(&topic, queue, from, limits, &TagFilter::All);
        let outcome = read.await?;
        if outcome.status != ReadStatus::Found {
            continue;
        }
        for message in &outcome.messages {
            records.add(message, queue);
        }
    }
    rest = rest.saturating_sub(records.count as u64);
    let code = if records.count == 0 {
        response::PULL_NOT_FOUND
    } else {
        response::SUCCESS
    };
    let header = PopResponse {
        rest_num: i64::try_from(rest).unwrap_or(i64::MAX),
        ..PopResponse::default()
    };
    Ok(Reply::new(code)
        .with_header(&header)
        .with_slices(records.slices))
}
