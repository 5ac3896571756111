//! What a topic holds, and who consumes it.

use std::sync::Arc;

use crossdock_hub::{Action, SubscriptionLookup};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::MessageQueue;
use crossdock_proto_remoting::body::group::GroupList;
use crossdock_proto_remoting::body::stats::{TopicOffset, TopicStats};
use crossdock_proto_remoting::header::admin::{GetTopicStats, QueryTopicConsumeByWho};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Groups looked at before other tasks get their turn.
const TURN: usize = 64;

/// The time that a rate is the mean of.
const RATED_MS: i64 = 60_000;

pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn queue_of(door: &Broker, topic: &str, queue: u32) -> MessageQueue {
    MessageQueue {
        broker_name: door.name().to_owned(),
        queue_id: i32::try_from(queue).unwrap_or(i32::MAX),
        topic: topic.to_owned(),
    }
}

/// GET_TOPIC_STATS_INFO.
pub(crate) fn stats(door: &Broker, call: &Call) -> Answer {
    let header = GetTopicStats::parse(&call.command.ext)?;
    auth::may(&door.hub, call, Action::Get, auth::behind(header.topic))?;
    let Some(topic) = door.hub.topic(header.topic) else {
        return Err(Refusal::no_topic(header.topic));
    };
    let mut stats = TopicStats::default();
    let since = door.hub.now_ms().saturating_sub(RATED_MS);
    let mut stored = 0;
    for queue in 0..topic.queues() {
        stored += door.hub.stored_since(&topic, queue, since)?;
        let bounds = door.hub.bounds(&topic, queue)?;
        let offsets = TopicOffset {
            last_update_timestamp: door.hub.latest_ms(&topic, queue)?.unwrap_or(0),
            max_offset: number(bounds.max),
            min_offset: number(bounds.min),
        };
        stats
            .offset_table
            .push((queue_of(door, topic.name.as_str(), queue), offsets));
    }
    stats.topic_put_tps = stored as f64 * 1000.0 / RATED_MS as f64;
    Ok(Reply::ok().with_body(stats.to_json()?))
}

/// QUERY_TOPIC_CONSUME_BY_WHO: groups that subscribe to the topic now or have a position in it.
pub(crate) fn consumed_by(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = QueryTopicConsumeByWho::parse(&call.command.ext)?;
        auth::may(&door.hub, &call, Action::Get, auth::behind(header.topic))?;
        let mut list = GroupList::default();
        let Some(topic) = door.hub.topic(header.topic) else {
            return Ok(Reply::ok().with_body(body::write(&list)?));
        };
        for (index, group) in door.hub.groups().into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let subscribed = matches!(
                door.hub.subscription(&group, header.topic),
                SubscriptionLookup::Subscribed(..)
            );
            if subscribed || !door.hub.positions(&group, &topic).is_empty() {
                list.group_list.push(group.name.to_string());
            }
        }
        list.group_list.sort_unstable();
        Ok(Reply::ok().with_body(body::write(&list)?))
    })
}
