//! How far a group is: its position in every queue beside the queue's end.

use std::sync::Arc;

use crossdock_hub::{Action, Group, ReadLimits, Resource, TagFilter, Topic};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::stats::{
    ConsumeOffset, ConsumeStats, ConsumeTimeSpan, ConsumeTimeSpans,
};
use crossdock_proto_remoting::body::topic::TopicList;
use crossdock_proto_remoting::header::admin::{
    GetConsumeStats, QueryConsumeTimeSpan, QueryTopicsByConsumer,
};

use super::topic_stats::{number, queue_of};
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Topics looked at before other tasks get their turn.
const TURN: usize = 64;

/// The topics a group has a position in.
pub(super) async fn topics_with_position(door: &Broker, group: &Group) -> Vec<Arc<Topic>> {
    let mut found = Vec::new();
    for (index, topic) in door.hub.topics().into_iter().enumerate() {
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        if !door.hub.positions(group, &topic).is_empty() {
            found.push(topic);
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}

/// GET_CONSUME_STATS.
pub(crate) fn stats(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = GetConsumeStats::parse(&call.command.ext)?;
        let name = header.consumer_group;
        auth::may(&door.hub, &call, Action::Get, Resource::group(name))?;
        let Some(group) = door.hub.group(name) else {
            return Ok(Reply::ok().with_body(ConsumeStats::default().to_json()?));
        };
        let named: Vec<&str> = match (
            header.topic.filter(|topic| !topic.is_empty()),
            header.topic_list,
        ) {
            (Some(topic), _) => vec![topic],
            (None, Some(list)) => list.split(';').filter(|name| !name.is_empty()).collect(),
            (None, None) => Vec::new(),
        };
        let topics = if named.is_empty() {
            topics_with_position(&door, &group).await
        } else {
            named
                .into_iter()
                .filter_map(|name| door.hub.topic(name))
                .collect()
        };
        let stats = consume_stats(&door, &group, &topics).await?;
        Ok(Reply::ok().with_body(stats.to_json()?))
    })
}

/// The group's progress in every queue of the topics.
pub(super) async fn consume_stats(
    door: &Broker,
    group: &Group,
    topics: &[Arc<Topic>],
) -> Result<ConsumeStats, Refusal> {
    let mut stats = ConsumeStats::default();
    for topic in topics {
        stats.consume_tps += door.hub.delivery_rate(group, topic);
        for queue in 0..topic.read_queues {
            let offsets = offsets(door, group, topic, queue).await?;
            stats
                .offset_table
                .push((queue_of(door, topic.name.as_str(), queue), offsets));
        }
    }
    Ok(stats)
}

/// QUERY_CONSUME_TIME_SPAN: when each queue's messages were stored, and how old the next one is that the group consumes.
pub(crate) fn time_spans(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = QueryConsumeTimeSpan::parse(&call.command.ext)?;
        let (name, actions) = (header.group, Action::Get.into());
        auth::may_ask_group(&door.hub, &call, name, Some(header.topic), actions)?;
        let topic = door
            .hub
            .topic(header.topic)
            .ok_or_else(|| Refusal::no_topic(header.topic))?;
        let group = door
            .hub
            .group(name)
            .ok_or_else(|| Refusal::no_group(name))?;
        let mut spans = ConsumeTimeSpans::default();
        let now = door.hub.now_ms();
        for queue in 0..topic.read_queues {
            let offsets = offsets(&door, &group, &topic, queue).await?;
            let next = u64::try_from(offsets.consumer_offset).unwrap_or(0);
            let waiting = if offsets.consumer_offset < offsets.broker_offset {
                stored_ms(&door, &topic, queue, next).await?
            } else {
                0
            };
            spans.consume_time_span_set.push(ConsumeTimeSpan {
                consume_time_stamp: offsets.last_timestamp,
                delay_time: if waiting > 0 { now - waiting } else { 0 },
                max_time_stamp: door.hub.latest_ms(&topic, queue)?.unwrap_or(-1),
                message_queue: queue_of(&door, topic.name.as_str(), queue),
                min_time_stamp: door.hub.earliest_ms(&topic, queue)?.unwrap_or(-1),
            });
        }
        Ok(Reply::ok().with_body(body::write(&spans)?))
    })
}

async fn offsets(
    door: &Broker,
    group: &Group,
    topic: &Topic,
    queue: u32,
) -> Result<ConsumeOffset, Refusal> {
    let bounds = door.hub.bounds(topic, queue)?;
    let position = door.hub.position(group, topic, queue)?.unwrap_or(0);
    // When the last consumed message was stored.
    let last = match position.checked_sub(1).filter(|last| *last >= bounds.min) {
        Some(last) => stored_ms(door, topic, queue, last).await?,
        None => 0,
    };
    Ok(ConsumeOffset {
        broker_offset: number(bounds.max),
        consumer_offset: number(position),
        last_timestamp: last,
        // What was pulled and not committed is known to the client alone.
        pull_offset: number(position),
    })
}

async fn stored_ms(door: &Broker, topic: &Topic, queue: u32, offset: u64) -> Result<i64, Refusal> {
    let one = ReadLimits {
        records: 1,
        bytes: 1,
        scanned: 1,
    };
    let read = door
        .hub
        .read(topic, queue, offset, one, &TagFilter::All)
        .await;
    // Retention may pass, or the topic be closed to readers; then nothing is known.
    let first = read
        .ok()
        .and_then(|outcome| outcome.messages.into_iter().next());
    Ok(first.map_or(0, |message| message.record.stored_ms))
}

/// QUERY_TOPICS_BY_CONSUMER.
pub(crate) fn topics_of(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = QueryTopicsByConsumer::parse(&call.command.ext)?;
        auth::may(&door.hub, &call, Action::Get, Resource::group(header.group))?;
        let topics = match door.hub.group(header.group) {
            Some(group) => topics_with_position(&door, &group).await,
            None => Vec::new(),
        };
        let list = TopicList {
            broker_addr: None,
            topic_list: topics.iter().map(|topic| topic.name.to_string()).collect(),
        };
        Ok(Reply::ok().with_body(body::write(&list)?))
    })
}
