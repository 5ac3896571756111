//! QUERY_CONSUME_QUEUE: entries of a queue's index as tools show them, and what a group's subscription makes of them.

use std::sync::Arc;

use crossdock_hub::{Action, ReadLimits, SubscriptionLookup, TagFilter};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::stats::{ConsumeQueue, ConsumeQueueEntry};
use crossdock_proto_remoting::header::admin::QueryConsumeQueue;

use super::connections::data;
use super::topic_stats::number;
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Most entries of one answer.
const ENTRIES_MAX: usize = 1024;
/// Most bytes read for one answer.
const BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) fn query(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = QueryConsumeQueue::parse(&call.command.ext)?;
        let needs = Action::Sub | Action::Get;
        auth::may(&door.hub, &call, needs, auth::behind(header.topic))?;
        let topic = door
            .hub
            .topic(header.topic)
            .ok_or_else(|| Refusal::no_topic(header.topic))?;
        let missing = || {
            let (queue, topic) = (header.queue_id, header.topic);
            Refusal::system(format!("{queue}@{topic} is not exist!"))
        };
        let queue = u32::try_from(header.queue_id).map_err(|_| missing())?;
        let bounds = door.hub.bounds(&topic, queue).map_err(|_| missing())?;
        let from = u64::try_from(header.index)
            .ok()
            .filter(|from| (bounds.min..bounds.max).contains(from))
            .ok_or_else(|| {
                let index = header.index;
                Refusal::system(format!("Index {index} of consumer queue doesn't exist"))
            })?;
        let count = usize::try_from(header.count).unwrap_or(0);
        let subscription = match header.consumer_group.filter(|group| !group.is_empty()) {
            None => None,
            Some(name) => {
                auth::may_ask_group(&door.hub, &call, name, None, Action::Get.into())?;
                let group = door.hub.group(name);
                let group = group.ok_or_else(|| Refusal::no_group(name))?;
                match door.hub.subscription(&group, header.topic) {
                    SubscriptionLookup::Subscribed(_, subscription) => Some(subscription),
                    _ => None,
                }
            }
        };
        let limits = ReadLimits {
            records: count.clamp(1, ENTRIES_MAX),
            bytes: BYTES_MAX,
            scanned: ENTRIES_MAX,
        };
        let read = door
            .hub
            .read(&topic, queue, from, limits, &TagFilter::All)
            .await?;
        let entries = read.messages.iter().map(|message| {
            let tag = message.record.tag_hash;
            ConsumeQueueEntry {
                bit_map: None,
                eval: subscription
                    .as_ref()
                    .is_some_and(|subscription| subscription.filter.wants(tag)),
                extend_data_json: None,
                msg: None,
                physic_offset: number(message.record.position.0),
                physic_size: i32::try_from(message.record.bytes).unwrap_or(i32::MAX),
                tags_code: tag,
            }
        });
        let body = ConsumeQueue {
            filter_data: None,
            max_queue_index: number(bounds.max),
            min_queue_index: number(bounds.min),
            queue_data: entries.collect(),
            subscription_data: subscription.as_deref().map(data),
        };
        Ok(Reply::ok().with_body(body::write(&body)?))
    })
}
