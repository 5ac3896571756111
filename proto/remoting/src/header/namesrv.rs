//! The name server: routes, broker registration and liveness, KV entries, write permission.

use super::headers;

headers! {
    GetRoute<'a> {
        topic: &'a str = "topic",
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }

    RegisterBroker<'a> {
        broker_name: &'a str = "brokerName",
        broker_addr: &'a str = "brokerAddr",
        cluster_name: &'a str = "clusterName",
        ha_server_addr: &'a str = "haServerAddr",
        broker_id: i64 = "brokerId",
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        enable_acting_master: Option<bool> = "enableActingMaster",
        compressed: Option<bool> = "compressed",
        /// CRC32 of the body without its top bit; 0 means unchecked.
        body_crc32: Option<i32> = "bodyCrc32",
    }

    RegisterBrokerResponse<'a> {
        ha_server_addr: Option<&'a str> = "haServerAddr",
        master_addr: Option<&'a str> = "masterAddr",
    }

    UnregisterBroker<'a> {
        broker_name: &'a str = "brokerName",
        broker_addr: &'a str = "brokerAddr",
        cluster_name: &'a str = "clusterName",
        broker_id: i64 = "brokerId",
    }

    QueryDataVersion<'a> {
        broker_name: &'a str = "brokerName",
        broker_addr: &'a str = "brokerAddr",
        cluster_name: &'a str = "clusterName",
        broker_id: i64 = "brokerId",
    }

    QueryDataVersionResponse {
        changed: bool = "changed",
    }

    BrokerHeartbeat<'a> {
        cluster_name: &'a str = "clusterName",
        broker_addr: &'a str = "brokerAddr",
        broker_name: &'a str = "brokerName",
        broker_id: Option<i64> = "brokerId",
        epoch: Option<i32> = "epoch",
        max_offset: Option<i64> = "maxOffset",
        confirm_offset: Option<i64> = "confirmOffset",
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMills",
        election_priority: Option<i32> = "electionPriority",
    }

    GetBrokerMemberGroup<'a> {
        cluster_name: &'a str = "clusterName",
        broker_name: &'a str = "brokerName",
    }

    RegisterTopic<'a> {
        topic: &'a str = "topic",
    }

    DeleteTopicInNamesrv<'a> {
        topic: &'a str = "topic",
        cluster_name: Option<&'a str> = "clusterName",
    }

    GetTopicsByCluster<'a> {
        cluster: &'a str = "cluster",
    }

    /// WIPE_WRITE_PERM_OF_BROKER and ADD_WRITE_PERM_OF_BROKER.
    WritePerm<'a> {
        broker_name: &'a str = "brokerName",
    }

    WipeWritePermResponse {
        wipe_topic_count: i32 = "wipeTopicCount",
    }

    AddWritePermResponse {
        add_topic_count: i32 = "addTopicCount",
    }

    PutKvConfig<'a> {
        namespace: &'a str = "namespace",
        key: &'a str = "key",
        value: &'a str = "value",
    }

    /// GET_KV_CONFIG and DELETE_KV_CONFIG.
    KvConfigKey<'a> {
        namespace: &'a str = "namespace",
        key: &'a str = "key",
    }

    GetKvConfigResponse<'a> {
        value: Option<&'a str> = "value",
    }

    GetKvList<'a> {
        namespace: &'a str = "namespace",
    }
}
