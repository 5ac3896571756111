//! What a group may do and how its failures are handled: plain data, stored with the group's definition. Members that
//! only clients or other brokers act on are kept as they were set.

use serde::{Deserialize, Serialize};

use crate::error::HubError;

/// Most retry queues a group may have.
const RETRY_QUEUES_MAX: u32 = 64;
/// Most retries before a message is dead.
const RETRY_MAX: u32 = 65_000;
/// Most delays a retry policy may list.
const DELAYS_MAX: usize = 64;
/// Longest delay of a retry policy.
const DELAY_MS_MAX: u64 = 365 * 86_400_000;
/// Most subscriptions a definition may declare.
const DECLARED_MAX: usize = 1024;
/// A delay list begins with those of the first two levels, which no retry uses.
const DELAYS_SKIPPED: usize = 2;
/// Attempts after which an exponential delay grows no more.
const EXPONENT_MAX: u16 = 32;

/// What a group may do and how its failures are handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupConfig {
    /// Whether the group may consume.
    pub is_enabled: bool,
    /// Whether its members may broadcast.
    pub may_broadcast: bool,
    /// Queues of its retry topic; with none, what fails is dropped.
    pub retry_queues: u32,
    /// Retries after which a message is dead.
    pub retry_max: u32,
    /// Delays of the retries of members that lease messages; by delay level if absent. What members send back instead
    /// comes again by delay level always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// Whether members are told of each other.
    pub notifies_members: bool,
    /// Whether members that lease messages are given those of one queue in order.
    pub is_ordered: bool,
    /// Opaque flags for clients.
    pub sys_flag: u32,
    /// Kept for others.
    #[serde(flatten)]
    pub hints: GroupHints,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            is_enabled: true,
            may_broadcast: true,
            retry_queues: 1,
            retry_max: 16,
            retry_policy: None,
            notifies_members: true,
            is_ordered: false,
            sys_flag: 0,
            hints: GroupHints::default(),
        }
    }
}

/// Settings that steer clients, replicas or tools. The hub does nothing by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupHints {
    /// Whether members may begin with the oldest message.
    pub may_start_at_oldest: bool,
    /// The replica that members are sent to.
    pub replica: i64,
    /// The replica that members are sent to when they fall behind.
    pub replica_when_slow: i64,
    /// Minutes a member may take for a message.
    pub consume_minutes: i32,
    /// What the group is declared to subscribe to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<Box<[DeclaredSubscription]>>,
}

impl Default for GroupHints {
    fn default() -> Self {
        Self {
            may_start_at_oldest: true,
            replica: 0,
            replica_when_slow: 1,
            consume_minutes: 15,
            declared: None,
        }
    }
}

/// A subscription that stands in a group's definition; members subscribe by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredSubscription {
    /// The topic.
    pub topic: Box<str>,
    /// The language of the expression.
    pub kind: Box<str>,
    /// What is wanted of the topic.
    pub expression: Box<str>,
    /// Its version.
    pub version: i64,
}

/// How long a failed message waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryPolicy {
    /// These delays in milliseconds, laid out like the delay levels: retries begin with the third, the last one stays.
    Listed(Box<[u64]>),
    /// Growing delays.
    Exponential {
        /// The first.
        initial_ms: u64,
        /// The longest.
        max_ms: u64,
        /// Factor from one to the next.
        multiplier: u64,
    },
}

impl RetryPolicy {
    /// Delay after a delivery failed that `attempt` failed ones went before.
    #[must_use]
    pub fn delay_ms(&self, attempt: u16) -> u64 {
        match self {
            Self::Listed(delays) => {
                let delay = delays.get(usize::from(attempt) + DELAYS_SKIPPED);
                delay.or(delays.last()).copied().unwrap_or(0)
            }
            Self::Exponential {
                initial_ms,
                max_ms,
                multiplier,
            } => {
                let growth = multiplier.saturating_pow(u32::from(attempt.min(EXPONENT_MAX)));
                initial_ms.saturating_mul(growth).min(*max_ms)
            }
        }
    }

    fn check(&self) -> Result<(), HubError> {
        let delays: &[u64] = match self {
            Self::Listed(delays) => delays,
            Self::Exponential { max_ms, .. } => &[*max_ms],
        };
        if delays.is_empty() || delays.len() > DELAYS_MAX {
            return Err(HubError::invalid(format!(
                "a retry policy lists 1 to {DELAYS_MAX} delays"
            )));
        }
        if let Some(long) = delays.iter().find(|delay| **delay > DELAY_MS_MAX) {
            return Err(HubError::invalid(format!(
                "a retry delay of {long} ms is more than {DELAY_MS_MAX}"
            )));
        }
        Ok(())
    }
}

impl GroupConfig {
    pub(crate) fn check(&self) -> Result<(), HubError> {
        let declared = self.hints.declared.as_ref().map_or(0, |all| all.len());
        for (what, number, limit) in [
            (
                "retry queues",
                self.retry_queues as usize,
                RETRY_QUEUES_MAX as usize,
            ),
            ("retries", self.retry_max as usize, RETRY_MAX as usize),
            ("declared subscriptions", declared, DECLARED_MAX),
        ] {
            if number > limit {
                let remark = format!("{number} {what} are more than {limit}");
                return Err(HubError::invalid(remark));
            }
        }
        self.retry_policy
            .as_ref()
            .map_or(Ok(()), RetryPolicy::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_configurations_are_refused() {
        let default = GroupConfig::default;
        let declared = DeclaredSubscription {
            topic: "T".into(),
            kind: "TAG".into(),
            expression: "*".into(),
            version: 0,
        };
        let hints = GroupHints {
            declared: Some(vec![declared; 1025].into()),
            ..GroupHints::default()
        };
        let listed = |delays: Vec<u64>| GroupConfig {
            retry_policy: Some(RetryPolicy::Listed(delays.into())),
            ..default()
        };
        assert!(default().check().is_ok() && listed(vec![0; 64]).check().is_ok());
        for bad in [
            GroupConfig {
                retry_queues: 65,
                ..default()
            },
            GroupConfig {
                retry_max: 65_001,
                ..default()
            },
            GroupConfig { hints, ..default() },
            listed(Vec::new()),
            listed(vec![1; 65]),
            listed(vec![u64::MAX]),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn listed_delays_begin_with_the_third_and_end_with_the_last() {
        let policy = RetryPolicy::Listed([1, 2, 3, 4].into());
        let delays = [0, 1, 2, u16::MAX].map(|attempt| policy.delay_ms(attempt));
        assert_eq!(delays, [3, 4, 4, 4]);
        assert_eq!(RetryPolicy::Listed([7].into()).delay_ms(0), 7);
    }

    #[test]
    fn exponential_delays_grow_up_to_the_longest() {
        let policy = RetryPolicy::Exponential {
            initial_ms: 5_000,
            max_ms: 60_000,
            multiplier: 2,
        };
        let delays = [0, 1, 3, 4, u16::MAX].map(|attempt| policy.delay_ms(attempt));
        assert_eq!(delays, [5_000, 10_000, 40_000, 60_000, 60_000]);
        let steep = RetryPolicy::Exponential {
            initial_ms: u64::MAX,
            max_ms: 9,
            multiplier: u64::MAX,
        };
        assert_eq!(steep.delay_ms(3), 9);
    }
}
