//! Settling what was popped: ACK_MESSAGE, BATCH_ACK_MESSAGE, CHANGE_MESSAGE_INVISIBLETIME.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossdock_hub::{Group, HubError, LeaseError, LeaseTerm, Topic};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::pop::{BatchAck, BatchAckBody};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pop::{
    AckMessage, ChangeInvisibleTime, ChangeInvisibleTimeResponse,
};

use super::check;
use super::handle::{Handle, Home};
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Most queues and deliveries one batch names.
const ACKS_MAX: usize = 4096;
/// Most offsets one batch covers.
const BITS_MAX: usize = 64 * 1024;

/// A popped message that a request is about.
struct Target {
    group: Arc<Group>,
    topic: Arc<Topic>,
    queue: u32,
}

impl Target {
    /// Group and topic of a request that names them so, and the queue.
    fn find(
        door: &Broker,
        call: &Call,
        (group, topic): (&str, &str),
        home: Home,
        queue: i32,
    ) -> Result<Self, Refusal> {
        auth::may_pull(&door.hub, call, topic, group)?;
        let group = door
            .hub
            .group(group)
            .ok_or_else(|| Refusal::no_group(group))?;
        let topic = home.topic(door, &group, topic)?;
        let Some(queue) = check::queue(&topic, queue)? else {
            return Err(Refusal::invalid("one queue has to be named"));
        };
        Ok(Self {
            group,
            topic,
            queue,
        })
    }

    /// Whether the queue has such an offset.
    fn check_offset(&self, door: &Broker, offset: i64) -> Result<(), Refusal> {
        let bounds = door.hub.bounds(&self.topic, self.queue)?;
        let is_within = |offset| (bounds.min..=bounds.max).contains(&offset);
        if u64::try_from(offset).is_ok_and(is_within) {
            return Ok(());
        }
        Err(Refusal::new(
            response::NO_MESSAGE,
            format!(
                "offset {offset} of queue {} is not within {} and {}",
                self.queue, bounds.min, bounds.max
            ),
        ))
    }
}

/// ACK_MESSAGE.
pub(crate) fn ack(door: &Broker, call: &Call) -> Answer {
    let header = AckMessage::parse(&call.command.ext)?;
    let handle = Handle::check(header.extra_info, header.queue_id, header.offset, door);
    // Who may not ask is told so, whatever the handle is.
    let home = handle.as_ref().map_or(Home::Topic, |handle| handle.home);
    let names = (header.consumer_group, header.topic);
    let target = Target::find(door, call, names, home, header.queue_id)?;
    target.check_offset(door, header.offset)?;
    let handle = handle?;
    let attempt = handle.known_attempt();
    let (group, topic) = (&target.group, &target.topic);
    door.hub
        .settle(group, topic, target.queue, handle.offset, attempt)?;
    Ok(Reply::ok())
}

/// CHANGE_MESSAGE_INVISIBLETIME: the message becomes available again so much later than now.
pub(crate) fn change_invisible(door: &Broker, call: &Call) -> Answer {
    let header = ChangeInvisibleTime::parse(&call.command.ext)?;
    let handle = Handle::check(header.extra_info, header.queue_id, header.offset, door);
    let home = handle.as_ref().map_or(Home::Topic, |handle| handle.home);
    let names = (header.consumer_group, header.topic);
    let target = Target::find(door, call, names, home, header.queue_id)?;
    target.check_offset(door, header.offset)?;
    let handle = handle?;
    let term = LeaseTerm::For(check::invisible(header.invisible_time)?);
    let (group, topic) = (&target.group, &target.topic);
    let attempt = handle.known_attempt();
    door.hub
        .renew(group, topic, target.queue, handle.offset, attempt, term)?;
    Ok(Reply::ok().with_header(&ChangeInvisibleTimeResponse {
        pop_time: door.hub.now_ms(),
        invisible_time: header.invisible_time,
        revive_qid: i32::from(handle.attempt),
    }))
}

/// BATCH_ACK_MESSAGE. Checked as a whole; deliveries that are not current any more are passed over.
pub(crate) fn batch_ack(door: &Broker, call: &Call) -> Answer {
    let body: BatchAckBody = body::parse(&call.command.body)?;
    if body.acks.is_empty() || body.acks.len() > ACKS_MAX {
        return Err(illegal(format!("a batch holds 1 to {ACKS_MAX} entries")));
    }
    let mut batch = Vec::with_capacity(body.acks.len());
    let mut bits_left = BITS_MAX;
    for ack in &body.acks {
        let home = if ack.retry.is_empty() {
            Some(Home::Topic)
        } else {
            Home::of_flag(&ack.retry)
        };
        let home = home.ok_or_else(|| illegal(format!("retry flag {:?}", ack.retry)))?;
        let names = (ack.consumer_group.as_str(), ack.topic.as_str());
        let target = Target::find(door, call, names, home, ack.queue_id)?;
        let attempt = u16::try_from(ack.revive_queue_id)
            .map_err(|_| illegal(format!("reviveQid {}", ack.revive_queue_id)))?;
        let offsets = offsets(ack, &mut bits_left)?;
        batch.push((target, attempt, offsets));
    }
    for (target, attempt, offsets) in batch {
        let attempt = (attempt > 0).then_some(attempt);
        for offset in offsets {
            let (group, topic) = (&target.group, &target.topic);
            match door.hub.settle(group, topic, target.queue, offset, attempt) {
                Ok(()) | Err(HubError::Lease(LeaseError::Stale | LeaseError::Unknown)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Reply::ok())
}

fn illegal(what: String) -> Refusal {
    Refusal::new(response::MESSAGE_ILLEGAL, format!("batch ack: {what}"))
}

/// The offsets whose bits are set.
fn offsets(ack: &BatchAck, bits_left: &mut usize) -> Result<Vec<u64>, Refusal> {
    let start = u64::try_from(ack.start_offset)
        .map_err(|_| illegal(format!("offset {}", ack.start_offset)))?;
    let text = ack.bits.as_deref().unwrap_or_default();
    // Six bits a character, roughly.
    *bits_left = bits_left
        .checked_sub(text.len() * 6)
        .ok_or_else(|| illegal(format!("more than {BITS_MAX} offsets")))?;
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| illegal("the bits are not base 64".to_owned()))?;
    let each = bytes.iter().zip((0u64..).step_by(8));
    let set = each.flat_map(|(byte, base)| {
        let bits = (0..8u64).filter(move |bit| byte >> bit & 1 == 1);
        bits.map(move |bit| base + bit)
    });
    set.map(|bit| {
        start
            .checked_add(bit)
            .ok_or_else(|| illegal("an offset is too large".to_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(start: i64, bytes: &[u8]) -> Result<Vec<u64>, Refusal> {
        let ack = BatchAck {
            start_offset: start,
            bits: Some(STANDARD.encode(bytes)),
            ..BatchAck::default()
        };
        offsets(&ack, &mut BITS_MAX.clone())
    }

    #[test]
    fn bits_count_from_the_lowest_of_the_first_byte() {
        assert_eq!(of(10, &[0b1000_0101, 0, 0b10]).unwrap(), [10, 12, 17, 27]);
        assert_eq!(of(10, &[]).unwrap(), [0u64; 0]);
    }

    #[test]
    fn impossible_bits_are_refused() {
        assert!(of(-1, &[1]).is_err());
        assert_eq!(of(i64::MAX, &[1]).unwrap(), [i64::MAX as u64]);
        assert!(of(0, &[1; BITS_MAX]).is_err());
        let ack = BatchAck {
            bits: Some("*".into()),
            ..BatchAck::default()
        };
        assert!(offsets(&ack, &mut BITS_MAX.clone()).is_err());
    }
}
