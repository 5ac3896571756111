//! What the hub is configured with: plain validated values. The composition root reads files and fills this in.

use std::fmt;
use std::time::Duration;

use crossdock_store::record::RECORD_MAX;
use crossdock_store::types::Durability;

use crate::delay::DelayLevels;
use crate::error::HubError;
use crate::group::GroupConfig;
use crate::name::{REPLY_SUFFIX, TopicName};
use crate::topic::QUEUES_MAX;

/// Settings of a hub. Every field has a default.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Name of the cluster; also the name of a topic.
    pub cluster: String,
    /// Name of this node; also the name of a topic.
    pub node: String,
    /// Whether topics come into being when first published to.
    pub auto_create_topics: bool,
    /// Whether groups come into being with their first heartbeat.
    pub auto_create_groups: bool,
    /// Queues of the template topic.
    pub default_queues: u32,
    /// Most queues a topic may have.
    pub queues_max: u32,
    /// Most topics.
    pub topics_max: usize,
    /// Most groups.
    pub groups_max: usize,
    /// Most bytes of one message: body, properties and their framing.
    pub message_bytes_max: usize,
    /// What an acknowledgement promises when neither message nor topic say otherwise.
    pub durability: Durability,
    /// Retry queues of a group created on its own.
    pub retry_queues: u32,
    /// Retries after which a message is dead, for a group created on its own.
    pub retry_max: u32,
    /// Delay levels, from level 1.
    pub delay_levels: DelayLevels,
    /// Longest time a committed position stays in memory only.
    pub position_flush: Duration,
    /// How long a member or producer lives without a heartbeat.
    pub member_expiry: Duration,
    /// How often expired members are looked for.
    pub member_scan: Duration,
    /// How long a queue lock lives without being refreshed.
    pub lock_expiry: Duration,
    /// How long a prepared message is left alone before its producers are asked.
    pub transaction_timeout: Duration,
    /// How long after one question the next is asked.
    pub transaction_interval: Duration,
    /// How often undecided messages are looked at.
    pub transaction_scan: Duration,
    /// Questions after which a message is given up.
    pub transaction_checks_max: u32,
    /// Most members of one group.
    pub members_max: usize,
    /// Most topics a group may subscribe to.
    pub subscriptions_max: usize,
    /// Most producers, counted once for each of their groups.
    pub producers_max: usize,
    /// Whether doors record the way of every message.
    pub traces_messages: bool,
    /// While there is no user, let anybody in from anywhere and not from this machine only.
    pub allow_insecure: bool,
    /// Users to create if they do not exist yet.
    pub users: Vec<UserSeed>,
}

impl HubConfig {
    /// Name of the topic that replies to requests of clients go through.
    #[must_use]
    pub fn reply_topic(&self) -> String {
        format!("{}{REPLY_SUFFIX}", self.cluster)
    }

    /// Finds everything that is impossible.
    ///
    /// # Errors
    /// `Invalid`, naming every fault.
    pub fn check(&self) -> Result<(), HubError> {
        let mut faults = Vec::new();
        for name in [&self.cluster, &self.node, &self.reply_topic()] {
            if let Err(error) = TopicName::parse(name) {
                faults.push(error.to_string());
            }
        }
        let queues = 1..=QUEUES_MAX;
        if !queues.contains(&self.queues_max) {
            faults.push(format!("queues_max has to be 1 to {QUEUES_MAX}"));
        } else if !(1..=self.queues_max).contains(&self.default_queues) {
            faults.push(format!("default_queues has to be 1 to {}", self.queues_max));
        }
        let group = GroupConfig {
            retry_queues: self.retry_queues,
            retry_max: self.retry_max,
            ..GroupConfig::default()
        };
        if let Err(error) = group.check() {
            faults.push(error.to_string());
        }
        for (what, time) in [
            ("member_scan", self.member_scan),
            ("member_expiry", self.member_expiry),
            ("lock_expiry", self.lock_expiry),
            ("transaction_scan", self.transaction_scan),
        ] {
            if time.is_zero() {
                faults.push(format!("{what} cannot be zero"));
            }
        }
        if self.delay_levels.last() == 0 {
            faults.push("delay_levels needs a level".into());
        }
        if self.message_bytes_max > RECORD_MAX / 2 {
            faults.push(format!("message_bytes_max is more than {}", RECORD_MAX / 2));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(HubError::Invalid(faults.join("; ")))
    }
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            cluster: "DefaultCluster".into(),
            node: "crossdock".into(),
            auto_create_topics: true,
            auto_create_groups: true,
            default_queues: 8,
            queues_max: 1024,
            topics_max: 1_000_000,
            groups_max: 200_000,
            message_bytes_max: 4 * 1024 * 1024 + 64 * 1024,
            durability: Durability::Durable,
            retry_queues: 1,
            retry_max: 16,
            delay_levels: DelayLevels::default(),
            position_flush: Duration::from_millis(10),
            member_expiry: Duration::from_secs(120),
            member_scan: Duration::from_secs(10),
            lock_expiry: Duration::from_secs(60),
            transaction_timeout: Duration::from_secs(6),
            transaction_interval: Duration::from_secs(30),
            transaction_scan: Duration::from_secs(1),
            transaction_checks_max: 15,
            members_max: 10_000,
            subscriptions_max: 10_000,
            producers_max: 500_000,
            traces_messages: false,
            allow_insecure: false,
            users: Vec::new(),
        }
    }
}

/// A user to create at start.
#[derive(Clone)]
pub struct UserSeed {
    /// Name, and access key unless one is given.
    pub name: String,
    /// Password for protocols that send one.
    pub password: Option<String>,
    /// Access key for protocols that sign.
    pub access_key: Option<String>,
    /// Secret for protocols that sign; without one the user cannot sign.
    pub secret: Option<String>,
    /// Whether every rule is passed.
    pub is_admin: bool,
}

impl fmt::Debug for UserSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSeed")
            .field("name", &self.name)
            .field("is_admin", &self.is_admin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_possible() {
        assert_eq!(HubConfig::default().check(), Ok(()));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let config = HubConfig {
            cluster: "not legal".into(),
            default_queues: 5000,
            retry_queues: 100,
            member_scan: Duration::ZERO,
            delay_levels: DelayLevels::of(&[]),
            message_bytes_max: usize::MAX,
            ..HubConfig::default()
        };
        let faults = config.check().unwrap_err().to_string();
        let named = [
            "not legal",
            "default_queues",
            "retry queues",
            "member_scan",
            "delay_levels",
            "message_bytes_max",
        ];
        assert!(named.iter().all(|name| faults.contains(name)), "{faults}");
    }
}
