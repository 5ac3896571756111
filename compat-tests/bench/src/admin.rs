//! The few administrative requests a benchmark needs, over the harness's plain client.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use crossdock_harness::remoting::Remoting;
use crossdock_proto_remoting::code::request::{
    GET_MAX_OFFSET, QUERY_CONSUMER_OFFSET, UPDATE_AND_CREATE_TOPIC,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A connection to a broker for administration.
#[derive(Debug)]
pub struct Admin {
    connection: Remoting,
}

impl Admin {
    pub fn connect(broker: SocketAddr) -> Result<Self> {
        Ok(Self {
            connection: Remoting::connect(broker, LIMIT)?,
        })
    }

    pub fn create_topic(&mut self, topic: &str, queues: u32) -> Result<()> {
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
        if answer.code != 0 {
            bail!(
                "creating {topic} failed: code {} {}",
                answer.code,
                answer.remark
            );
        }
        Ok(())
    }

    /// Messages ever written to a topic, over all its queues.
    pub fn written(&mut self, topic: &str, queues: u32) -> Result<u64> {
        let mut sum = 0;
        for queue in 0..queues {
            let queue = queue.to_string();
            let fields = [("topic", topic), ("queueId", &queue)];
            let answer = self.connection.call(GET_MAX_OFFSET, &fields, &[])?;
            let offset = answer.fields.get("offset").with_context(|| {
                format!(
                    "no offset of {topic}: code {} {}",
                    answer.code, answer.remark
                )
            })?;
            sum += offset.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Messages a group has committed as consumed, over all queues of a topic.
    pub fn consumed(&mut self, group: &str, topic: &str, queues: u32) -> Result<u64> {
        let mut sum = 0;
        for queue in 0..queues {
            let queue = queue.to_string();
            let fields = [
                ("consumerGroup", group),
                ("topic", topic),
                ("queueId", &queue),
                ("setZeroIfNotFound", "false"),
            ];
            let answer = self.connection.call(QUERY_CONSUMER_OFFSET, &fields, &[])?;
            let offset = answer
                .fields
                .get("offset")
                .and_then(|text| text.parse().ok());
            // A group without a position in this queue has consumed nothing of it.
            sum += offset.unwrap_or(0u64);
        }
        Ok(sum)
    }
}
