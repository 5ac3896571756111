//! Offsets: a group's progress, and a queue's bounds and positions in time.

use super::headers;

headers! {
    QueryConsumerOffset<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        /// Absent means true.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }

    UpdateConsumerOffset<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        commit_offset: i64 = "commitOffset",
    }

    SearchOffset<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        timestamp: i64 = "timestamp",
        /// `LOWER`, also when absent, or `UPPER`.
        boundary_type: Option<&'a str> = "boundaryType",
    }

    MaxOffset<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        /// Absent means true.
        committed: Option<bool> = "committed",
    }

    MinOffset<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
    }

    EarliestStoreTime<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
    }

    /// Answer to every question for an offset.
    OffsetResponse {
        offset: i64 = "offset",
    }

    /// Answer to GET_EARLIEST_MSG_STORETIME; -1 when the queue has no message.
    StoreTimeResponse {
        timestamp: i64 = "timestamp",
    }

    /// INVOKE_BROKER_TO_RESET_OFFSET and, towards clients, RESET_CONSUMER_CLIENT_OFFSET.
    ResetOffset<'a> {
        topic: &'a str = "topic",
        group: &'a str = "group",
        /// Negative or absent means all queues.
        queue_id: Option<i32> = "queueId",
        offset: Option<i64> = "offset",
        timestamp: i64 = "timestamp",
        is_force: bool = "isForce",
    }
}
