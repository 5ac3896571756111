//! Looking messages up: by commit log offset and by key.

use super::headers;

headers! {
    ViewMessage<'a> {
        topic: Option<&'a str> = "topic",
        offset: i64 = "offset",
    }

    QueryMessage<'a> {
        topic: &'a str = "topic",
        key: &'a str = "key",
        max_num: i32 = "maxNum",
        begin_timestamp: i64 = "beginTimestamp",
        end_timestamp: i64 = "endTimestamp",
        /// The key is a unique id rather than one of KEYS.
        unique_key_query: Option<bool> = "_UNIQUE_KEY_QUERY",
    }

    QueryMessageResponse {
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }
}
