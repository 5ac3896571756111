//! Groups: membership, change notices and what brokers ask of clients. Queue locks have no
//! header; their bodies are in [`crate::body::lock`].

use super::headers;

/// Ext field names of the heartbeat response.
pub const IS_SUPPORT_HEART_BEAT_V2: &str = "IS_SUPPORT_HEART_BEAT_V2";
pub const IS_SUB_CHANGE: &str = "IS_SUB_CHANGE";

headers! {
    GetConsumerList<'a> {
        consumer_group: &'a str = "consumerGroup",
    }

    UnregisterClient<'a> {
        client_id: &'a str = "clientID",
        producer_group: Option<&'a str> = "producerGroup",
        consumer_group: Option<&'a str> = "consumerGroup",
    }

    NotifyConsumerIdsChanged<'a> {
        consumer_group: &'a str = "consumerGroup",
    }

    /// Answer to HEART_BEAT.
    HeartbeatResponse {
        support_v2: Option<bool> = "IS_SUPPORT_HEART_BEAT_V2",
        sub_change: Option<bool> = "IS_SUB_CHANGE",
    }

    GetConsumerRunningInfo<'a> {
        consumer_group: &'a str = "consumerGroup",
        client_id: &'a str = "clientId",
        jstack_enable: Option<bool> = "jstackEnable",
    }

    ConsumeMessageDirectly<'a> {
        consumer_group: &'a str = "consumerGroup",
        client_id: Option<&'a str> = "clientId",
        msg_id: Option<&'a str> = "msgId",
        broker_name: Option<&'a str> = "brokerName",
        topic: Option<&'a str> = "topic",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        group_sys_flag: Option<i32> = "groupSysFlag",
    }

    /// GET_CONSUMER_STATUS_FROM_CLIENT and INVOKE_BROKER_TO_GET_CONSUMER_STATUS.
    GetConsumerStatus<'a> {
        topic: &'a str = "topic",
        group: &'a str = "group",
        client_addr: Option<&'a str> = "clientAddr",
    }
}
