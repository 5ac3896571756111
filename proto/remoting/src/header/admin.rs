//! Administration of topics and groups, and the statistics that tools ask for.

use super::headers;

headers! {
    UpdateTopic<'a> {
        topic: &'a str = "topic",
        default_topic: &'a str = "defaultTopic",
        read_queue_nums: i32 = "readQueueNums",
        write_queue_nums: i32 = "writeQueueNums",
        perm: i32 = "perm",
        topic_filter_type: &'a str = "topicFilterType",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Absent means false.
        order: Option<bool> = "order",
        /// `+name=value,-name`.
        attributes: Option<&'a str> = "attributes",
        force: Option<bool> = "force",
    }

    DeleteTopic<'a> {
        topic: &'a str = "topic",
    }

    GetTopicConfig<'a> {
        topic: &'a str = "topic",
        lo: Option<bool> = "lo",
    }

    GetAllTopicConfig<'a> {
        topic_seq: Option<i32> = "topicSeq",
        max_topic_num: Option<i32> = "maxTopicNum",
        data_version: Option<&'a str> = "dataVersion",
    }

    GetAllTopicConfigResponse {
        total_topic_num: Option<i32> = "totalTopicNum",
    }

    GetAllGroupConfig<'a> {
        group_seq: Option<i32> = "groupSeq",
        max_group_num: Option<i32> = "maxGroupNum",
        data_version: Option<&'a str> = "dataVersion",
    }

    GetAllGroupConfigResponse {
        total_group_num: Option<i32> = "totalGroupNum",
    }

    GetGroupConfig<'a> {
        group: &'a str = "group",
    }

    DeleteGroup<'a> {
        group_name: &'a str = "groupName",
        clean_offset: Option<bool> = "cleanOffset",
    }

    GroupForbidden<'a> {
        group: &'a str = "group",
        topic: &'a str = "topic",
        readable: Option<bool> = "readable",
    }

    GetTopicStats<'a> {
        topic: &'a str = "topic",
    }

    GetConsumeStats<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: Option<&'a str> = "topic",
        /// Topics separated by semicolons.
        topic_list: Option<&'a str> = "topicList",
    }

    GetConsumerConnections<'a> {
        consumer_group: &'a str = "consumerGroup",
    }

    GetProducerConnections<'a> {
        producer_group: &'a str = "producerGroup",
    }

    QueryTopicConsumeByWho<'a> {
        topic: &'a str = "topic",
    }

    QueryTopicsByConsumer<'a> {
        group: &'a str = "group",
    }

    QuerySubscriptionByConsumer<'a> {
        group: &'a str = "group",
        topic: Option<&'a str> = "topic",
    }

    QueryConsumeTimeSpan<'a> {
        topic: &'a str = "topic",
        group: &'a str = "group",
    }

    ViewBrokerStats<'a> {
        stats_name: &'a str = "statsName",
        stats_key: &'a str = "statsKey",
    }

    QueryConsumeQueue<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        index: i64 = "index",
        count: i32 = "count",
        consumer_group: Option<&'a str> = "consumerGroup",
    }

    GetBrokerConsumeStats {
        is_order: bool = "isOrder",
    }

    CloneGroupOffset<'a> {
        src_group: &'a str = "srcGroup",
        dest_group: &'a str = "destGroup",
        /// All topics of the group when absent or empty.
        topic: Option<&'a str> = "topic",
        offline: Option<bool> = "offline",
    }

    GetBrokerConfigResponse<'a> {
        version: &'a str = "version",
    }
}
