//! Queue locks of ordered consumers.

use serde::{Deserialize, Serialize};

use super::queue::MessageQueue;

/// Body of LOCK_BATCH_MQ and UNLOCK_BATCH_MQ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatch {
    pub client_id: String,
    pub consumer_group: String,
    pub mq_set: Vec<MessageQueue>,
    pub only_this_broker: bool,
}

/// Answer to LOCK_BATCH_MQ: the queues now held. It must be written even when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResult {
    #[serde(rename = "lockOKMQSet")]
    pub locked: Vec<MessageQueue>,
}
