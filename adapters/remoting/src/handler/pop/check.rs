//! What has to hold before a pop looks for messages: its numbers, topic, permission, queue, expression, group.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{
    Expression, Group, GroupName, Hub, Message, Perm, RETRY_PREFIX, StartAt, Subscription,
    TagFilter, Topic, TopicName,
};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pop::PopMessage;
use tokio::time::Instant;

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::handler::expression::{self, Fault};
use crate::translate::popped::{is_shown, with_tag};
use crate::translate::select;

/// Most messages of one answer.
const MESSAGES_MAX: i32 = 32;
/// Longest time a message may stay invisible.
pub(super) const INVISIBLE_MS_MAX: i64 = 7 * 86_400_000;
/// How far a request may be beyond its own deadline before its clock is not believed.
const GRACE_MS: i64 = 500;

/// What a pop wants to see.
#[derive(Debug)]
pub(super) struct Wanted(Subscription);

impl Wanted {
    /// Reads an expression; without one everything is wanted.
    fn parse(
        hub: &Hub,
        topic: TopicName,
        kind: Option<&str>,
        text: Option<&str>,
    ) -> Result<Self, Refusal> {
        let text = text.unwrap_or_default();
        let kind = kind.filter(|_| !text.is_empty()).unwrap_or_default();
        let parsed = expression::parse(hub, topic, (kind, text), 0);
        Ok(Self(parsed.map_err(|fault| match fault {
            Fault::Language(_) => Refusal::system(fault.to_string()),
            Fault::Tags(_) | Fault::Sql(_) => {
                let remark = format!("parse the consumer's subscription failed: {fault}");
                Refusal::new(response::SUBSCRIPTION_PARSE_FAILED, remark)
            }
        })?))
    }

    /// What the index can tell.
    pub(super) fn filter(&self) -> &TagFilter {
        &self.0.filter
    }

    /// What only the message itself can tell: hashes of tags collide.
    pub(super) fn accepts(&self, message: &Message) -> bool {
        match (&self.0.expression, self.filter()) {
            (Expression::Sql(filter), _) => select::wants(filter, message),
            (_, TagFilter::All) => is_shown(message),
            (_, TagFilter::Any(_)) => {
                with_tag(message, |tag| self.0.wants_tag(tag)).unwrap_or(false)
            }
        }
    }
}

/// A pop that may look.
#[derive(Debug)]
pub(super) struct Pop {
    group: GroupName,
    pub(super) topic: Arc<Topic>,
    queue: Option<u32>,
    pub(super) max: usize,
    pub(super) invisible: Duration,
    pub(super) deadline: Instant,
    pub(super) wanted: Wanted,
    pub(super) start: StartAt,
    pub(super) is_ordered: bool,
    pub(super) attempt_id: Option<Box<str>>,
    pub(super) store_host: SocketAddr,
}

impl Pop {
    pub(super) fn check(door: &Broker, call: &Call) -> Result<Self, Refusal> {
        let header = PopMessage::parse(&call.command.ext)?;
        auth::may_pull(&door.hub, call, header.topic, header.consumer_group)?;
        let max = header.max_msg_nums;
        if !(1..=MESSAGES_MAX).contains(&max) {
            return Err(Refusal::invalid(format!(
                "a pop takes 1 to {MESSAGES_MAX} messages, not {max}"
            )));
        }
        let invisible = invisible(header.invisible_time)?;
        if invisible.is_zero() {
            return Err(Refusal::invalid("the invisible time of a pop is zero"));
        }
        let topic = readable(door, header.topic)?;
        let queue = queue(&topic, header.queue_id)?;
        let wanted = Wanted::parse(&door.hub, topic.name.clone(), header.exp_type, header.exp)?;
        let now_ms = door.hub.now_ms();
        let wait = wait_ms(header.born_time.unwrap_or(0), header.poll_time, now_ms);
        Ok(Self {
            group: GroupName::parse(header.consumer_group)?,
            topic,
            queue,
            max: max as usize,
            invisible,
            deadline: Instant::now() + wait.min(door.config.held_pull_time_max),
            wanted,
            start: match header.init_mode {
                0 => StartAt::First,
                1 => StartAt::Next,
                mode => return Err(Refusal::invalid(format!("initMode {mode} is unknown"))),
            },
            is_ordered: header.order.unwrap_or(false),
            attempt_id: header
                .attempt_id
                .filter(|id| !id.is_empty())
                .map(Into::into),
            store_host: call.peer.advertised,
        })
    }

    /// The group, created if it may be.
    pub(super) async fn group(&self, door: &Broker) -> Result<Arc<Group>, Refusal> {
        enabled(door.hub.ensure_group(&self.group).await?)
    }

    /// The queue that is asked for; all if none.
    pub(super) fn queues(&self) -> &[u32] {
        self.queue.as_slice()
    }

    /// The topic is itself one of retries.
    pub(super) fn is_retry(&self) -> bool {
        self.topic.name.as_str().starts_with(RETRY_PREFIX)
    }
}

pub(super) fn enabled(group: Arc<Group>) -> Result<Arc<Group>, Refusal> {
    if group.config.is_enabled {
        return Ok(group);
    }
    let remark = format!("subscription group no permission, {}", group.name);
    Err(Refusal::denied(remark))
}

pub(super) fn readable(door: &Broker, name: &str) -> Result<Arc<Topic>, Refusal> {
    let topic = door
        .hub
        .topic(name)
        .ok_or_else(|| Refusal::no_topic(name))?;
    if !topic.perm.has(Perm::READ) {
        let remark = format!("the topic[{}] peeking message is forbidden", topic.name);
        return Err(Refusal::denied(remark));
    }
    Ok(topic)
}

/// A queue of the topic; -1 means all of them.
pub(super) fn queue(topic: &Topic, number: i32) -> Result<Option<u32>, Refusal> {
    match u32::try_from(number) {
        Ok(queue) if queue < topic.read_queues => Ok(Some(queue)),
        Err(_) if number == -1 => Ok(None),
        _ => Err(Refusal::invalid(format!(
            "queueId[{number}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
            topic.name, topic.read_queues
        ))),
    }
}

pub(super) fn invisible(ms: i64) -> Result<Duration, Refusal> {
    match u64::try_from(ms) {
        Ok(known) if ms <= INVISIBLE_MS_MAX => Ok(Duration::from_millis(known)),
        _ => Err(Refusal::invalid(format!(
            "the invisible time {ms} is not within 0 and {INVISIBLE_MS_MAX} milliseconds"
        ))),
    }
}

/// How long a request waits that was made at `born_ms` to wait for `poll_ms`. What was on its way so long that it should
/// have been answered comes from a client with another clock; refusing it would bring it back at once, forever.
pub(super) fn wait_ms(born_ms: i64, poll_ms: i64, now_ms: i64) -> Duration {
    let poll_ms = poll_ms.max(0);
    let left = born_ms.saturating_add(poll_ms).saturating_sub(now_ms);
    let is_believed = born_ms > 0 && left >= -GRACE_MS;
    let left = if is_believed { left } else { poll_ms };
    Duration::from_millis(u64::try_from(left.min(poll_ms)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_for_what_is_left_of_its_time() {
        let wait = |born, poll| wait_ms(born, poll, 100_000).as_millis();
        assert_eq!(wait(99_000, 15_000), 14_000);
        assert_eq!(wait(0, 15_000), 15_000);
        // Within the grace nothing is left; beyond it the client's clock is wrong.
        assert_eq!(wait(84_800, 15_000), 0);
        assert_eq!(wait(10_000, 15_000), 15_000);
        // So it is when the client is ahead.
        assert_eq!(wait(200_000, 15_000), 15_000);
        assert_eq!(wait(99_000, -1), 0);
        assert_eq!(wait(i64::MAX, i64::MAX), i64::MAX as u128 - 100_000);
        assert_eq!(wait(i64::MIN, i64::MIN), 0);
    }
}
