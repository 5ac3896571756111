//! The pop family: popping, acknowledging, extending invisibility, waiting for messages.

use super::headers;

headers! {
    PopMessage<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        /// -1 means any queue of the broker.
        queue_id: i32 = "queueId",
        max_msg_nums: i32 = "maxMsgNums",
        invisible_time: i64 = "invisibleTime",
        poll_time: i64 = "pollTime",
        /// Absent or 0 stands for the time of arrival.
        born_time: Option<i64> = "bornTime",
        init_mode: i32 = "initMode",
        exp_type: Option<&'a str> = "expType",
        exp: Option<&'a str> = "exp",
        order: Option<bool> = "order",
        attempt_id: Option<&'a str> = "attemptId",
    }

    /// Answer to POP_MESSAGE and PEEK_MESSAGE.
    PopResponse<'a> {
        pop_time: i64 = "popTime",
        invisible_time: i64 = "invisibleTime",
        revive_qid: i32 = "reviveQid",
        rest_num: i64 = "restNum",
        start_offset_info: Option<&'a str> = "startOffsetInfo",
        msg_offset_info: Option<&'a str> = "msgOffsetInfo",
        order_count_info: Option<&'a str> = "orderCountInfo",
    }

    AckMessage<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        extra_info: &'a str = "extraInfo",
        offset: i64 = "offset",
    }

    ChangeInvisibleTime<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        extra_info: &'a str = "extraInfo",
        offset: i64 = "offset",
        invisible_time: i64 = "invisibleTime",
    }

    ChangeInvisibleTimeResponse {
        pop_time: i64 = "popTime",
        invisible_time: i64 = "invisibleTime",
        revive_qid: i32 = "reviveQid",
    }

    Notification<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        poll_time: i64 = "pollTime",
        born_time: i64 = "bornTime",
        order: Option<bool> = "order",
        attempt_id: Option<&'a str> = "attemptId",
    }

    NotificationResponse {
        has_msg: bool = "hasMsg",
        polling_full: Option<bool> = "pollingFull",
    }

    PeekMessage<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        max_msg_nums: i32 = "maxMsgNums",
    }

    PollingInfo<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
    }

    PollingInfoResponse {
        polling_num: i32 = "pollingNum",
    }
}
