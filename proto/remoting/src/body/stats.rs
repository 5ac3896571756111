//! Offsets per queue: topic and group statistics and the outcome of an offset reset. Their maps
//! have queue objects as keys, so each document has a writer of its own.

use serde::{Deserialize, Serialize};

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
