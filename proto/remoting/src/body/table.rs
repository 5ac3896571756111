//! Small common documents: the version of a table, and plain text tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of a configuration table. Two differ when any member does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    pub counter: i64,
    pub state_version: i64,
    pub timestamp: i64,
}

/// Answer to GET_BROKER_RUNTIME_INFO and GET_KVLIST_BY_NAMESPACE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    pub table: BTreeMap<String, String>,
}

/// Answer to GET_BROKER_HA_STATUS of a master that has no replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaStatus {
    pub ha_connection_info: [(); 0],
    pub in_sync_slave_nums: i32,
    pub master: bool,
    pub master_commit_log_max_offset: i64,
}
