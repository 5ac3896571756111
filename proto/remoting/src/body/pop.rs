//! Who consumes which queues and how, as the broker decides it; and acknowledgements in batches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::MessageModel;
use super::java_enum;
use super::queue::MessageQueue;

java_enum! {
    /// How a client gets the messages of a queue.
    MessageRequestMode {
        Pull = "PULL",
        Pop = "POP",
    }
}

/// Body of QUERY_ASSIGNMENT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryAssignment {
    pub topic: String,
    pub consumer_group: String,
    pub client_id: String,
    /// How queues are shared among clients.
    #[serde(default)]
    pub strategy_name: Option<String>,
    #[serde(default)]
    pub message_model: Option<MessageModel>,
}

/// A queue that is a client's, and how it gets the messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Queue -1 stands for every queue of the broker.
    pub message_queue: MessageQueue,
    pub mode: MessageRequestMode,
    #[serde(default)]
    pub attachments: BTreeMap<String, String>,
}

/// Answer to QUERY_ASSIGNMENT. Without a list the client keeps what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignments {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<Assignment>>,
}

/// Body of SET_MESSAGE_REQUEST_MODE, and a member of [`MessageRequestModes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetMessageRequestMode {
    pub topic: String,
    pub consumer_group: String,
    pub mode: MessageRequestMode,
    /// With how many others a client shares its queues; with all of them unless this is positive.
    #[serde(default)]
    pub pop_share_queue_num: i32,
}

/// Answer to GET_ALL_MESSAGE_REQUEST_MODE: settings by topic and group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageRequestModes {
    pub message_request_mode_map: BTreeMap<String, BTreeMap<String, SetMessageRequestMode>>,
}

/// Body of BATCH_ACK_MESSAGE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckBody {
    pub broker_name: String,
    pub acks: Vec<BatchAck>,
}

/// Messages of one queue that were popped together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAck {
    #[serde(rename = "c")]
    pub consumer_group: String,
    #[serde(rename = "t")]
    pub topic: String,
    /// Whether they come from a retry topic, as in the handle of a message.
    #[serde(rename = "r", default)]
    pub retry: String,
    #[serde(rename = "so")]
    pub start_offset: i64,
    #[serde(rename = "q")]
    pub queue_id: i32,
    #[serde(rename = "rq", default)]
    pub revive_queue_id: i32,
    #[serde(rename = "pt", default)]
    pub pop_time: i64,
    #[serde(rename = "it", default)]
    pub invisible_time: i64,
    /// Bit `i` stands for offset `start_offset + i`: bytes from the lowest bits on, in base 64.
    #[serde(rename = "b", default)]
    pub bits: Option<String>,
}
