//! A connection that speaks just enough of the protocol by hand to send, receive and misbehave.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use crossdock_harness::remoting::{Answer, Remoting};
use serde_json::json;

use super::ANSWER_LIMIT;

pub(super) const SEND: i32 = 310;
pub(super) const SEND_BATCH: i32 = 320;
pub(super) const PULL: i32 = 11;
pub(super) const HEARTBEAT: i32 = 34;
pub(super) const PUT_TOPIC: i32 = 17;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: Remoting,
}

impl Peer {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            connection: Remoting::connect(address, ANSWER_LIMIT)?,
        })
    }

    /// Calls and demands success.
    pub(super) fn ok(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let answer = self.connection.call(code, fields, body)?;
        if answer.code != 0 {
            bail!(
                "request {code} was answered {} {}",
                answer.code,
                answer.remark
            );
        }
        Ok(answer)
    }

    pub(super) fn create_topic(&mut self, topic: &str) -> Result<()> {
        let fields = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", "1"),
            ("writeQueueNums", "1"),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        self.ok(PUT_TOPIC, &fields, &[]).map(drop)
    }

    /// Introduces this connection as a consumer of the topic.
    pub(super) fn join(&mut self, group: &str, topic: &str) -> Result<()> {
        let body = json!({
            "clientID": format!("127.0.0.1@{group}"),
            "consumerDataSet": [{
                "groupName": group,
                "consumeType": "CONSUME_ACTIVELY",
                "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "unitMode": false,
                "subscriptionDataSet": [{
                    "topic": topic, "subString": "*", "expressionType": "TAG", "subVersion": 1,
                    "tagsSet": [], "codeSet": [], "classFilterMode": false,
                }],
            }],
            "producerDataSet": [],
            "heartbeatFingerprint": 0,
            "withoutSub": false,
        });
        self.ok(HEARTBEAT, &[], body.to_string().as_bytes())
            .map(drop)
    }

    /// Stores a message in queue 0; answers its offset.
    pub(super) fn send(&mut self, topic: &str, body: &[u8]) -> Result<u64> {
        let answer = self.ok(SEND, &send_fields(topic), body)?;
        let offset = answer
            .fields
            .get("queueOffset")
            .context("no queueOffset in the answer")?;
        Ok(offset.parse()?)
    }

    /// Reads queue 0 from an offset on, waiting for messages a little.
    pub(super) fn wait_and_pull(
        &mut self,
        group: &str,
        topic: &str,
        offset: u64,
    ) -> Result<Answer> {
        let offset = offset.to_string();
        let mut fields = pull_fields(group, topic, &offset);
        replace(&mut fields, "sysFlag", "6");
        replace(&mut fields, "suspendTimeoutMillis", "1000");
        self.connection.call(PULL, &fields, &[])
    }

    /// Reads queue 0 from an offset on, without waiting for messages.
    pub(super) fn pull(&mut self, group: &str, topic: &str, offset: u64) -> Result<Answer> {
        let offset = offset.to_string();
        self.ok(PULL, &pull_fields(group, topic, &offset), &[])
    }
}

pub(super) fn send_fields(topic: &str) -> [(&str, &str); 10] {
    [
        ("a", "hostile"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "1"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("j", "0"),
        ("m", "false"),
    ]
}

pub(super) fn pull_fields<'a>(
    group: &'a str,
    topic: &'a str,
    offset: &'a str,
) -> [(&'a str, &'a str); 11] {
    [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        // The subscription comes with the request.
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subVersion", "1"),
        ("subscription", "*"),
        ("expressionType", "TAG"),
    ]
}

pub(super) fn replace<'a>(fields: &mut [(&'a str, &'a str)], name: &str, value: &'a str) {
    for field in fields.iter_mut().filter(|field| field.0 == name) {
        field.1 = value;
    }
}

/// What became of a connection that sent something unacceptable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Closed,
    /// It was told this code.
    Refused(i64),
}

/// Waits until the server closes the connection or answers with an error. Success or silence is a failure.
pub(super) fn fate(peer: &mut Peer) -> Result<Fate> {
    match peer.connection.receive() {
        Ok(answer) if answer.code != 0 => Ok(Fate::Refused(answer.code)),
        Ok(answer) => bail!("the server answered success: {answer:?}"),
        Err(error) if is_close(&error) => Ok(Fate::Closed),
        Err(error) => Err(error.context("neither an answer nor a close")),
    }
}

/// Waits until the server closes the connection, whatever it says before.
pub(super) fn await_close(peer: &mut Peer) -> Result<()> {
    let mut rest = [0; 4096];
    loop {
        match peer.connection.stream().read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_close_kind(error.kind()) => return Ok(()),
            Err(error) => {
                return Err(anyhow::Error::new(error).context("the connection stayed open"));
            }
        }
    }
}

fn is_close(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| is_close_kind(error.kind()))
}

fn is_close_kind(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
