//! Statistics of single topics and groups by name, and of every group at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossdock_hub::{Action, Resource, Topic};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::stats::{BrokerStats, GroupConsumeStats, StatsWindow};
use crossdock_proto_remoting::header::admin::{GetBrokerConsumeStats, ViewBrokerStats};

use super::progress::{consume_stats, topics_with_position};
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Most groups of one answer.
const GROUPS_MAX: usize = 10_000;

fn window(sum: u64, ms: i64) -> StatsWindow {
    StatsWindow {
        // Every message counts as one event, however many came at once.
        avgpt: if sum > 0 { 1.0 } else { 0.0 },
        sum: i64::try_from(sum).unwrap_or(i64::MAX),
        tps: sum as f64 * 1000.0 / ms as f64,
    }
}

fn stored(door: &Broker, topic: &Topic, ms: i64) -> Result<StatsWindow, Refusal> {
    let since = door.hub.now_ms().saturating_sub(ms);
    let mut sum = 0;
    for queue in 0..topic.queues() {
        sum += door.hub.stored_since(topic, queue, since)?;
    }
    Ok(window(sum, ms))
}

/// VIEW_BROKER_STATS_DATA: messages stored in a topic, counted in the log itself, and messages given to a group.
pub(crate) fn view(door: &Broker, call: &Call) -> Answer {
    let header = ViewBrokerStats::parse(&call.command.ext)?;
    let (name, key) = (header.stats_name, header.stats_key);
    let missing = || Refusal::system(format!("The stats <{name}> <{key}> not exist"));
    let stats = match name {
        "TOPIC_PUT_NUMS" => {
            auth::may(&door.hub, call, Action::Get, auth::behind(key))?;
            let topic = door.hub.topic(key).ok_or_else(missing)?;
            BrokerStats {
                stats_minute: stored(door, &topic, MINUTE_MS)?,
                stats_hour: stored(door, &topic, HOUR_MS)?,
                stats_day: stored(door, &topic, DAY_MS)?,
            }
        }
        "GROUP_GET_NUMS" => {
            let (topic, group) = key.split_once('@').ok_or_else(missing)?;
            auth::may(&door.hub, call, Action::Get, Resource::group(group))?;
            let known = door.hub.topic(topic).zip(door.hub.group(group));
            let (topic, group) = known.ok_or_else(missing)?;
            let counts = door.hub.delivered_counts(&group, &topic);
            let counts = counts.ok_or_else(missing)?;
            BrokerStats {
                stats_minute: window(counts.minute, MINUTE_MS),
                stats_hour: window(counts.hour, HOUR_MS),
                stats_day: window(counts.day, DAY_MS),
            }
        }
        _ => {
            auth::may_cluster(&door.hub, call, Action::Get)?;
            return Err(missing());
        }
    };
    Ok(Reply::ok().with_body(body::write(&stats)?))
}

/// GET_BROKER_CONSUME_STATS: progress of every group in every topic it has a position in.
pub(crate) fn consume(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = GetBrokerConsumeStats::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Get)?;
        let mut groups = door.hub.groups();
        if groups.len() > GROUPS_MAX {
            return Err(Refusal::system(format!(
                "{} groups are too many for one answer, ask for each group",
                groups.len()
            )));
        }
        groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut all = GroupConsumeStats {
            broker_addr: call.peer.advertised.to_string(),
            ..GroupConsumeStats::default()
        };
        for group in groups {
            let mut of_group = Vec::new();
            for topic in topics_with_position(&door, &group).await {
                if topic.is_order != header.is_order {
                    continue;
                }
                let stats = consume_stats(&door, &group, &[topic]).await?;
                for (_, offsets) in &stats.offset_table {
                    all.total_diff += offsets.broker_offset - offsets.consumer_offset;
                    all.total_inflight_diff += offsets.pull_offset - offsets.consumer_offset;
                }
                of_group.push(stats);
            }
            let entry = BTreeMap::from([(group.name.to_string(), of_group)]);
            all.consume_stats_list.push(entry);
        }
        Ok(Reply::ok().with_body(all.to_json()?))
    })
}
