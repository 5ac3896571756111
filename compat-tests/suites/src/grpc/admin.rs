//! Creates topics and groups over the remoting protocol, for drivers whose clients have no administration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossdock_harness::remoting::Remoting;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;

use crate::hub::Credentials;

const LIMIT: Duration = Duration::from_secs(20);
const CREATE_TOPIC: i32 = 17;
const CREATE_GROUP: i32 = 200;

/// Where to administer, and as whom.
#[derive(Debug)]
pub(super) struct Admin<'a> {
    pub(super) broker: SocketAddr,
    pub(super) credentials: Option<&'a Credentials>,
}

impl Admin<'_> {
    /// `kind` is the message type of the topic in upper case.
    pub(super) fn create_topic(&self, name: &str, kind: &str, queues: &str) -> Result<()> {
        let attributes = format!("+message.type={kind}");
        let fields = [
            ("topic", name),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", queues),
            ("writeQueueNums", queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
            ("attributes", &attributes),
        ];
        self.call(CREATE_TOPIC, &fields, &[])
    }

    pub(super) fn create_group(
        &self,
        name: &str,
        is_orderly: bool,
        max_retries: u32,
    ) -> Result<()> {
        let config = json!({
            "groupName": name, "consumeEnable": true, "consumeFromMinEnable": true, "consumeBroadcastEnable": true,
            "consumeMessageOrderly": is_orderly, "retryQueueNums": 1, "retryMaxTimes": max_retries, "brokerId": 0,
            "whichBrokerWhenConsumeSlowly": 1, "notifyConsumerIdsChangedEnable": true,
        });
        self.call(CREATE_GROUP, &[], config.to_string().as_bytes())
    }

    fn call(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut fields: BTreeMap<&str, &str> = fields.iter().copied().collect();
        let signature;
        if let Some(user) = self.credentials {
            fields.insert("AccessKey", &user.access_key);
            let mut mac = Hmac::<Sha1>::new_from_slice(user.secret_key.as_bytes())?;
            fields
                .values()
                .for_each(|value| mac.update(value.as_bytes()));
            mac.update(body);
            signature = STANDARD.encode(mac.finalize().into_bytes());
            fields.insert("Signature", &signature);
        }
        let fields: Vec<(&str, &str)> = fields.into_iter().collect();
        let answer = Remoting::connect(self.broker, LIMIT)?.call(code, &fields, body)?;
        if answer.code != 0 {
            bail!("request {code}: code {} {}", answer.code, answer.remark);
        }
        Ok(())
    }
}
