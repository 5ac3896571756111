//! The requests of the crash test, over the harness's plain client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::remoting::{Answer, Remoting};
use crossdock_proto_remoting::code::request::{
    GET_MAX_OFFSET, GET_MIN_OFFSET, HEART_BEAT, PULL_MESSAGE, QUERY_CONSUMER_OFFSET,
    SEND_MESSAGE_V2, UPDATE_AND_CREATE_TOPIC, UPDATE_CONSUMER_OFFSET,
};
use crossdock_proto_remoting::code::response::{
    PULL_NOT_FOUND, PULL_OFFSET_MOVED, PULL_RETRY_IMMEDIATELY, QUERY_NOT_FOUND, SUCCESS,
};
use crossdock_proto_remoting::header::pull::pull_flag;
use crossdock_proto_remoting::record::Records;
use serde_json::json;

use super::message::Id;

/// Messages asked for at once.
pub(super) const BATCH_MAX: u32 = 32;
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const SUB_VERSION: i64 = 1_700_000_000_000;

/// A queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) topic: String,
    pub(super) number: u32,
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.topic, self.number)
    }
}

/// What a server answers to a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Stored { offset: i64 },
    Refused { code: i64 },
}

/// What a pull brings.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) messages: Vec<Found>,
    pub(super) next: i64,
}

/// A message as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: i64,
    /// Absent when the body, its checksum, its topic or its queue is not what was sent.
    pub(super) id: Option<Id>,
}

#[derive(Debug)]
pub(super) struct Client {
    connection: Remoting,
}

impl Client {
    pub(super) fn connect(broker: SocketAddr) -> Result<Self> {
        Ok(Self {
            connection: Remoting::connect(broker, ANSWER_LIMIT)?,
        })
    }

    pub(super) fn create_topic(&mut self, topic: &str, queues: u32) -> Result<()> {
        let queues = queues.to_string();
        let fields = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", &queues),
            ("writeQueueNums", &queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        let answer = self
            .connection
            .call(UPDATE_AND_CREATE_TOPIC, &fields, &[])?;
        expect(&answer, SUCCESS)
    }

    /// Sends without waiting; answers the opaque.
    pub(super) fn send(&mut self, queue: &Queue, id: Id) -> Result<i64> {
        let number = queue.number.to_string();
        let fields = [
            ("a", "crash_producer"),
            ("b", &queue.topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &number),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        let opaque = self.connection.send(SEND_MESSAGE_V2, &fields, &id.body())?;
        Ok(i64::from(opaque))
    }

    /// The next answer to a send, with its opaque.
    pub(super) fn sent(&mut self) -> Result<(i64, Sent)> {
        loop {
            let answer = self.connection.receive()?;
            if answer.flag & 1 == 0 {
                continue;
            }
            let sent = if answer.code == i64::from(SUCCESS) {
                Sent::Stored {
                    offset: number(&answer.fields, "queueOffset")?,
                }
            } else {
                Sent::Refused { code: answer.code }
            };
            return Ok((answer.opaque, sent));
        }
    }

    /// Joins a group with a subscription to all topics.
    pub(super) fn join(&mut self, group: &str, topics: &[String]) -> Result<()> {
        let subscription = |topic: &String| {
            json!({
                "classFilterMode": false, "topic": topic, "subString": "*", "expressionType": "TAG",
                "tagsSet": [], "codeSet": [], "subVersion": SUB_VERSION,
            })
        };
        let subscriptions: Vec<_> = topics.iter().map(subscription).collect();
        let body = json!({
            "clientID": format!("127.0.0.1@crash-{}", std::process::id()),
            "producerDataSet": [],
            "consumerDataSet": [{
                "groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": false,
                "subscriptionDataSet": subscriptions,
            }],
            "heartbeatFingerprint": 0, "withoutSub": false,
        });
        let body = serde_json::to_vec(&body)?;
        expect(&self.connection.call(HEART_BEAT, &[], &body)?, SUCCESS)
    }

    /// Reads from `offset` on, without waiting for messages.
    pub(super) fn pull(&mut self, group: &str, queue: &Queue, offset: i64) -> Result<Pulled> {
        let (number_text, offset_text) = (queue.number.to_string(), offset.to_string());
        let (batch, version) = (BATCH_MAX.to_string(), SUB_VERSION.to_string());
        let flags = pull_flag::SUBSCRIPTION.to_string();
        let fields = [
            ("consumerGroup", group),
            ("topic", &queue.topic),
            ("queueId", &number_text),
            ("queueOffset", &offset_text),
            ("maxMsgNums", &batch),
            ("sysFlag", &flags),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subVersion", &version),
            ("subscription", "*"),
            ("expressionType", "TAG"),
        ];
        let answer = self.connection.call(PULL_MESSAGE, &fields, &[])?;
        let mut messages = Vec::new();
        match i32::try_from(answer.code)? {
            SUCCESS => {
                for record in Records::new(&answer.body) {
                    let record = record.with_context(|| format!("{queue} from {offset} on"))?;
                    let is_whole = record.crc_matches()
                        && record.topic == queue.topic
                        && u32::try_from(record.head.queue_id) == Ok(queue.number);
                    messages.push(Found {
                        offset: record.head.queue_offset,
                        id: Id::of(record.body).filter(|_| is_whole),
                    });
                }
            }
            PULL_NOT_FOUND | PULL_RETRY_IMMEDIATELY | PULL_OFFSET_MOVED => {}
            _ => return Err(refusal(&answer).context(format!("pulling {queue}"))),
        }
        Ok(Pulled {
            messages,
            next: number(&answer.fields, "nextBeginOffset")?,
        })
    }

    pub(super) fn commit(&mut self, group: &str, queue: &Queue, offset: i64) -> Result<()> {
        let (number, offset) = (queue.number.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", group),
            ("topic", &queue.topic),
            ("queueId", &number),
            ("commitOffset", &offset),
        ];
        expect(
            &self.connection.call(UPDATE_CONSUMER_OFFSET, &fields, &[])?,
            SUCCESS,
        )
    }

    /// Where a group stands, if it ever committed.
    pub(super) fn position(&mut self, group: &str, queue: &Queue) -> Result<Option<i64>> {
        let number_text = queue.number.to_string();
        let fields = [
            ("consumerGroup", group),
            ("topic", &queue.topic),
            ("queueId", &number_text),
            ("setZeroIfNotFound", "false"),
        ];
        let answer = self.connection.call(QUERY_CONSUMER_OFFSET, &fields, &[])?;
        if answer.code == i64::from(QUERY_NOT_FOUND) {
            return Ok(None);
        }
        expect(&answer, SUCCESS)?;
        number(&answer.fields, "offset").map(Some)
    }

    /// Smallest offset, and the one after the largest.
    pub(super) fn bounds(&mut self, queue: &Queue) -> Result<(i64, i64)> {
        let number_text = queue.number.to_string();
        let fields = [("topic", queue.topic.as_str()), ("queueId", &number_text)];
        let mut bounds = [0; 2];
        for (bound, code) in bounds.iter_mut().zip([GET_MIN_OFFSET, GET_MAX_OFFSET]) {
            let answer = self.connection.call(code, &fields, &[])?;
            expect(&answer, SUCCESS)?;
            *bound = number(&answer.fields, "offset")?;
        }
        Ok((bounds[0], bounds[1]))
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(super) struct Refusal {
    code: i64,
    remark: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answer with code {} {}", self.code, self.remark)
    }
}

impl std::error::Error for Refusal {}

fn expect(answer: &Answer, code: i32) -> Result<()> {
    if answer.code != i64::from(code) {
        return Err(refusal(answer));
    }
    Ok(())
}

fn refusal(answer: &Answer) -> anyhow::Error {
    anyhow::Error::new(Refusal {
        code: answer.code,
        remark: answer.remark.clone(),
    })
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> Result<i64> {
    let text = fields.get(name).with_context(|| format!("no {name}"))?;
    text.parse().with_context(|| format!("{name}={text}"))
}
