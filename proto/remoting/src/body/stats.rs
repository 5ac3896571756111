//! Offsets per queue: topic and group statistics and the outcome of an offset reset. Their maps
//! have queue objects as keys, so each document has a writer of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::SubscriptionData;
use super::queue::{self, MessageQueue, QueueTable};
use crate::error::BodyError;

/// Answer to GET_TOPIC_STATS_INFO.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStats {
    #[serde(deserialize_with = "queue::deserialize")]
    pub offset_table: QueueTable<TopicOffset>,
    pub topic_put_tps: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    pub last_update_timestamp: i64,
    pub max_offset: i64,
    pub min_offset: i64,
}

impl TopicStats {
    pub fn to_json(&self) -> Result<Vec<u8>, BodyError> {
        let mut out = b"{\"offsetTable\":".to_vec();
        queue::write(&self.offset_table, &mut out)?;
        out.extend_from_slice(b",\"topicPutTps\":");
        queue::write_number(self.topic_put_tps, &mut out)?;
        out.push(b'}');
        Ok(out)
    }
}

/// Answer to GET_CONSUME_STATS.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    pub consume_tps: f64,
    #[serde(deserialize_with = "queue::deserialize")]
    pub offset_table: QueueTable<ConsumeOffset>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeOffset {
    pub broker_offset: i64,
    pub consumer_offset: i64,
    pub last_timestamp: i64,
    pub pull_offset: i64,
}

impl ConsumeStats {
    pub fn to_json(&self) -> Result<Vec<u8>, BodyError> {
        let mut out = b"{\"consumeTps\":".to_vec();
        queue::write_number(self.consume_tps, &mut out)?;
        out.extend_from_slice(b",\"offsetTable\":");
        queue::write(&self.offset_table, &mut out)?;
        out.push(b'}');
        Ok(out)
    }
}

/// Answer to GET_BROKER_CONSUME_STATS.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupConsumeStats {
    pub broker_addr: String,
    /// One map per group, from its name to one entry per topic.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    pub total_diff: i64,
    pub total_inflight_diff: i64,
}

impl GroupConsumeStats {
    pub fn to_json(&self) -> Result<Vec<u8>, BodyError> {
        let mut out = b"{\"brokerAddr\":".to_vec();
        serde_json::to_writer(&mut out, &self.broker_addr)?;
        out.extend_from_slice(b",\"consumeStatsList\":[");
        for (index, groups) in self.consume_stats_list.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            for (index, (group, topics)) in groups.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut out, group)?;
                out.extend_from_slice(b":[");
                for (index, stats) in topics.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend(stats.to_json()?);
                }
                out.push(b']');
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"totalDiff\":");
        serde_json::to_writer(&mut out, &self.total_diff)?;
        out.extend_from_slice(b",\"totalInflightDiff\":");
        serde_json::to_writer(&mut out, &self.total_inflight_diff)?;
        out.push(b'}');
        Ok(out)
    }
}

/// Events over one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatsWindow {
    /// Mean of what is counted per event.
    pub avgpt: f64,
    pub sum: i64,
    pub tps: f64,
}

/// Answer to VIEW_BROKER_STATS_DATA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStats {
    pub stats_day: StatsWindow,
    pub stats_hour: StatsWindow,
    pub stats_minute: StatsWindow,
}

/// Answer to QUERY_CONSUME_QUEUE.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueue {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    pub max_queue_index: i64,
    pub min_queue_index: i64,
    pub queue_data: Vec<ConsumeQueueEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_map: Option<String>,
    /// Whether the group's subscription wants the message.
    pub eval: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_data_json: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    pub physic_offset: i64,
    pub physic_size: i32,
    pub tags_code: i64,
}

/// Answer to QUERY_CONSUME_TIME_SPAN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeTimeSpans {
    pub consume_time_span_set: Vec<ConsumeTimeSpan>,
}

/// When the messages of a queue were stored, and where the group is among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeTimeSpan {
    pub consume_time_stamp: i64,
    pub delay_time: i64,
    pub max_time_stamp: i64,
    pub message_queue: MessageQueue,
    pub min_time_stamp: i64,
}

/// Answer to INVOKE_BROKER_TO_RESET_OFFSET, and body of RESET_CONSUMER_CLIENT_OFFSET.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsets {
    #[serde(deserialize_with = "queue::deserialize")]
    pub offset_table: QueueTable<i64>,
}

impl ResetOffsets {
    pub fn to_json(&self) -> Result<Vec<u8>, BodyError> {
        let mut out = b"{\"offsetTable\":".to_vec();
        queue::write(&self.offset_table, &mut out)?;
        out.push(b'}');
        Ok(out)
    }

    /// The form for peers that declare the language CPP: a list instead of a map.
    pub fn to_list_json(&self) -> Result<Vec<u8>, BodyError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            offset_table: Vec<Entry<'a>>,
        }
        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            queue: &'a MessageQueue,
            offset: i64,
        }
        let offset_table = self.offset_table.iter().map(|(queue, offset)| Entry {
            queue,
            offset: *offset,
        });
        super::write(&Body {
            offset_table: offset_table.collect(),
        })
    }
}

/// A client's answer to GET_CONSUMER_STATUS_FROM_CLIENT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientOffsets {
    #[serde(deserialize_with = "queue::deserialize")]
    pub message_queue_table: QueueTable<i64>,
}

impl ClientOffsets {
    pub fn to_json(&self) -> Result<Vec<u8>, BodyError> {
        let mut out = b"{\"messageQueueTable\":".to_vec();
        queue::write(&self.message_queue_table, &mut out)?;
        out.push(b'}');
        Ok(out)
    }
}

/// Answer to INVOKE_BROKER_TO_GET_CONSUMER_STATUS: where each client says it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerStatus {
    pub consumer_table: BTreeMap<String, QueueTable<i64>>,
}

impl ConsumerStatus {
    pub fn to_json(&self) -> Result<Vec<u8>, BodyError> {
        let mut out = b"{\"consumerTable\":{".to_vec();
        for (index, (client, table)) in self.consumer_table.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, client)?;
            out.push(b':');
            queue::write(table, &mut out)?;
        }
        out.extend_from_slice(b"},\"messageQueueTable\":{}}");
        Ok(out)
    }
}
