//! Sending: SEND_MESSAGE with long names, SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE with one-letter
//! names, the reply family, and their common response.

use super::{Value, WriteHeader, headers};
use crate::error::HeaderError;
use crate::ext::{ExtBuilder, ExtFields};

/// Ext field names that accompany a send response.
pub const MSG_REGION: &str = "MSG_REGION";
pub const TRACE_ON: &str = "TRACE_ON";

/// The header of every send request; the two spellings carry the same fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendMessage<'a> {
    pub producer_group: &'a str,
    pub topic: &'a str,
    /// Template for creating a missing topic.
    pub default_topic: &'a str,
    pub default_topic_queue_nums: i32,
    /// Negative lets the broker choose.
    pub queue_id: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub flag: i32,
    pub properties: Option<&'a str>,
    pub reconsume_times: Option<i32>,
    pub unit_mode: Option<bool>,
    pub max_reconsume_times: Option<i32>,
    pub batch: Option<bool>,
    pub broker_name: Option<&'a str>,
}

/// Wire names in declaration order: long, short.
const NAMES: [(&str, &str); 14] = [
    ("producerGroup", "a"),
    ("topic", "b"),
    ("defaultTopic", "c"),
    ("defaultTopicQueueNums", "d"),
    ("queueId", "e"),
    ("sysFlag", "f"),
    ("bornTimestamp", "g"),
    ("flag", "h"),
    ("properties", "i"),
    ("reconsumeTimes", "j"),
    ("unitMode", "k"),
    ("maxReconsumeTimes", "l"),
    ("batch", "m"),
    ("bname", "n"),
];

impl<'a> SendMessage<'a> {
    /// Reads the long names of SEND_MESSAGE and SEND_REPLY_MESSAGE.
    pub fn parse_v1(ext: &'a ExtFields) -> Result<Self, HeaderError> {
        Self::assemble(NAMES.map(|(long, _)| ext.get(long)), |n| NAMES[n].0)
    }

    /// Reads the one-letter names of SEND_MESSAGE_V2, SEND_BATCH_MESSAGE and
    /// SEND_REPLY_MESSAGE_V2, in one pass over the fields.
    pub fn parse_v2(ext: &'a ExtFields) -> Result<Self, HeaderError> {
        let mut found = [None; 14];
        for (name, value) in ext.iter_bytes() {
            if let [letter @ b'a'..=b'n'] = name {
                found[usize::from(letter - b'a')] = Some(value);
            }
        }
        let found = found.map(|v| v.map(|v| std::str::from_utf8(v).unwrap_or_default()));
        Self::assemble(found, |n| NAMES[n].1)
    }

    /// Reads the names that `code` uses.
    pub fn parse(code: i32, ext: &'a ExtFields) -> Result<Self, HeaderError> {
        use crate::code::request::{SEND_MESSAGE, SEND_REPLY_MESSAGE};
        match code {
            SEND_MESSAGE | SEND_REPLY_MESSAGE => Self::parse_v1(ext),
            _ => Self::parse_v2(ext),
        }
    }

    pub fn write_v1(&self, ext: &mut ExtBuilder) {
        self.put(|n| NAMES[n].0, ext);
    }

    pub fn write_v2(&self, ext: &mut ExtBuilder) {
        self.put(|n| NAMES[n].1, ext);
    }

    fn assemble(
        texts: [Option<&'a str>; 14],
        name: impl Fn(usize) -> &'static str,
    ) -> Result<Self, HeaderError> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = texts;
        Ok(Self {
            producer_group: value(a, name(0))?,
            topic: value(b, name(1))?,
            default_topic: value(c, name(2))?,
            default_topic_queue_nums: value(d, name(3))?,
            queue_id: value(e, name(4))?,
            sys_flag: value(f, name(5))?,
            born_timestamp: value(g, name(6))?,
            flag: value(h, name(7))?,
            properties: value(i, name(8))?,
            reconsume_times: value(j, name(9))?,
            unit_mode: value(k, name(10))?,
            max_reconsume_times: value(l, name(11))?,
            batch: value(m, name(12))?,
            broker_name: value(n, name(13))?,
        })
    }

    fn put(&self, name: impl Fn(usize) -> &'static str, ext: &mut ExtBuilder) {
        self.producer_group.put(name(0), ext);
        self.topic.put(name(1), ext);
        self.default_topic.put(name(2), ext);
        self.default_topic_queue_nums.put(name(3), ext);
        self.queue_id.put(name(4), ext);
        self.sys_flag.put(name(5), ext);
        self.born_timestamp.put(name(6), ext);
        self.flag.put(name(7), ext);
        self.properties.put(name(8), ext);
        self.reconsume_times.put(name(9), ext);
        self.unit_mode.put(name(10), ext);
        self.max_reconsume_times.put(name(11), ext);
        self.batch.put(name(12), ext);
        self.broker_name.put(name(13), ext);
    }
}

/// Writes the one-letter names, the form clients use by default.
impl WriteHeader for SendMessage<'_> {
    fn write(&self, ext: &mut ExtBuilder) {
        self.write_v2(ext);
    }
}

fn value<'a, T: Value<'a>>(text: Option<&'a str>, name: &'static str) -> Result<T, HeaderError> {
    match text {
        Some(text) => T::read(text).ok_or(HeaderError::Malformed(name)),
        None => T::absent().ok_or(HeaderError::Missing(name)),
    }
}

headers! {
    /// Answer to every send, with or without a completed flush.
    SendResponse<'a> {
        /// Offset message id; a comma list for batches.
        msg_id: &'a str = "msgId",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        transaction_id: Option<&'a str> = "transactionId",
        batch_uniq_id: Option<&'a str> = "batchUniqId",
        recall_handle: Option<&'a str> = "recallHandle",
        /// Java clients fail on a success that carries neither region nor trace switch.
        region: Option<&'a str> = "MSG_REGION",
        trace_on: Option<bool> = "TRACE_ON",
    }

    /// A reply pushed to the requester's connection (PUSH_REPLY_MESSAGE_TO_CLIENT).
    ReplyMessage<'a> {
        producer_group: &'a str = "producerGroup",
        topic: &'a str = "topic",
        default_topic: &'a str = "defaultTopic",
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        queue_id: i32 = "queueId",
        sys_flag: i32 = "sysFlag",
        born_timestamp: i64 = "bornTimestamp",
        flag: i32 = "flag",
        properties: Option<&'a str> = "properties",
        reconsume_times: Option<i32> = "reconsumeTimes",
        unit_mode: Option<bool> = "unitMode",
        born_host: &'a str = "bornHost",
        store_host: &'a str = "storeHost",
        store_timestamp: i64 = "storeTimestamp",
    }

    /// RECALL_MESSAGE.
    RecallMessage<'a> {
        producer_group: Option<&'a str> = "producerGroup",
        topic: &'a str = "topic",
        recall_handle: &'a str = "recallHandle",
    }

    RecallResponse<'a> {
        msg_id: &'a str = "msgId",
    }

    /// CONSUMER_SEND_MSG_BACK: a failed message returns to be retried.
    SendBack<'a> {
        /// Commit log offset of the message.
        offset: i64 = "offset",
        group: &'a str = "group",
        delay_level: i32 = "delayLevel",
        origin_msg_id: Option<&'a str> = "originMsgId",
        origin_topic: Option<&'a str> = "originTopic",
        unit_mode: Option<bool> = "unitMode",
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }
}
