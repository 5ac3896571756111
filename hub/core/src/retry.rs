//! What becomes of a message that a group could not consume: another attempt later, or the group's dead-letter topic.
//! Decides, and brings the topics into being; publishing the message is the caller's.

use std::sync::Arc;

use crate::error::HubError;
use crate::group::Group;
use crate::hub::Hub;
use crate::name::TopicName;
use crate::topic::{Topic, TopicSpec};

/// Delay level of the first retry.
const FIRST_LEVEL: i32 = 3;
/// Queues of a dead-letter topic.
const DEAD_QUEUES: u32 = 1;

/// Where and when a failed message is published again.
#[derive(Clone, Debug)]
pub struct RetryPlan {
    /// The group's retry or dead-letter topic.
    pub topic: Arc<Topic>,
    /// Number of the queue.
    pub queue: u32,
    /// Attempt the new message carries.
    pub attempt: u16,
    /// When it is due; at once if absent.
    pub due_ms: Option<i64>,
    /// Whether this is the end.
    pub is_dead: bool,
}

/// What is decided about a failed message before any topic is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Retry { level: i32 },
    Dead,
}

/// `attempt` deliveries failed before the one that failed now. A negative level asks for the dead-letter topic, level 0
/// leaves the choice to the hub.
fn judge(attempt: u16, level: i32, retry_max: u32) -> Verdict {
    if level < 0 || u32::from(attempt) >= retry_max {
        Verdict::Dead
    } else if level == 0 {
        Verdict::Retry {
            level: FIRST_LEVEL + i32::from(attempt),
        }
    } else {
        Verdict::Retry { level }
    }
}

/// A limit the client names wins over the group's; a negative one means that it does not know.
fn retry_max(group: &Group, named: Option<i32>) -> u32 {
    named
        .and_then(|named| u32::try_from(named).ok())
        .unwrap_or(group.config.retry_max)
}

impl Hub {
    /// Plans what becomes of a message a member sends back, whatever the group's policy for leases is: clients know delay
    /// levels and may name one. `attempt` is the message's own, before this failure.
    /// `None` means that the group keeps no retries and the message is dropped.
    ///
    /// # Errors
    /// A topic has to be created and cannot be.
    pub async fn plan_retry(
        &self,
        group: &Group,
        attempt: u16,
        delay_level: i32,
        max_attempts: Option<i32>,
    ) -> Result<Option<RetryPlan>, HubError> {
        if group.config.retry_queues == 0 {
            return Ok(None);
        }
        let (topic, due_ms, is_dead) =
            match judge(attempt, delay_level, retry_max(group, max_attempts)) {
                Verdict::Dead => (self.ensure_dead_topic(group).await?, None, true),
                Verdict::Retry { level } => {
                    let due_ms = self.0.config.delay_levels.due_ms(level, self.now_ms());
                    (self.ensure_retry_topic(group).await?, due_ms, false)
                }
            };
        let queue = topic
            .next_queue()
            .ok_or_else(|| HubError::Denied(format!("topic {} has no write queue", topic.name)))?;
        Ok(Some(RetryPlan {
            topic,
            queue,
            attempt: attempt.saturating_add(1),
            due_ms,
            is_dead,
        }))
    }

    /// The dead-letter topic, if a message that a client itself publishes to the group's retry topic has to go there:
    /// after too many attempts, or because the group consumes in order and has retried in place already. `attempt` counts
    /// this failure.
    ///
    /// # Errors
    /// The topic has to be created and cannot be.
    pub async fn plan_dead(
        &self,
        group: &Group,
        attempt: u16,
        max_attempts: Option<i32>,
    ) -> Result<Option<Arc<Topic>>, HubError> {
        let is_dead =
            u32::from(attempt) > retry_max(group, max_attempts) || self.has_live_locks(group);
        if !is_dead {
            return Ok(None);
        }
        self.ensure_dead_topic(group).await.map(Some)
    }

    /// How long a message waits, in milliseconds, that a member had on lease and could not consume: as the group's policy
    /// says, or by delay level. `attempt` deliveries failed before.
    #[must_use]
    pub fn lease_retry_ms(&self, group: &Group, attempt: u16) -> u64 {
        match &group.config.retry_policy {
            Some(policy) => policy.delay_ms(attempt),
            None => {
                let level = FIRST_LEVEL + i32::from(attempt);
                let delay = self.0.config.delay_levels.delay_ms(level);
                delay.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
            }
        }
    }

    /// When a message of this delay level is due; `None` for a level below 1.
    #[must_use]
    pub fn due_by_level(&self, level: i32) -> Option<i64> {
        self.0.config.delay_levels.due_ms(level, self.now_ms())
    }

    /// The group's retry topic, created if there is none.
    ///
    /// # Errors
    /// It has to be created and cannot be.
    pub async fn ensure_retry_topic(&self, group: &Group) -> Result<Arc<Topic>, HubError> {
        let queues = group.config.retry_queues.max(1);
        self.ensure(TopicSpec::new(TopicName::retry_of(&group.name), queues))
            .await
    }

    /// The group's dead-letter topic, created if there is none.
    ///
    /// # Errors
    /// It has to be created and cannot be.
    pub async fn ensure_dead_topic(&self, group: &Group) -> Result<Arc<Topic>, HubError> {
        self.ensure(TopicSpec::new(TopicName::dead_of(&group.name), DEAD_QUEUES))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::DelayLevels;
    use crate::group::tests::group;

    #[test]
    fn retries_climb_from_the_third_level() {
        assert_eq!(judge(0, 0, 16), Verdict::Retry { level: 3 });
        assert_eq!(judge(15, 0, 16), Verdict::Retry { level: 18 });
        let last = DelayLevels::default().delay_ms(FIRST_LEVEL + 100);
        assert_eq!(last, Some(7_200_000));
    }

    #[test]
    fn a_level_the_client_names_is_taken() {
        assert_eq!(judge(5, 1, 16), Verdict::Retry { level: 1 });
    }

    #[test]
    fn too_many_attempts_or_a_negative_level_are_the_end() {
        assert_eq!(judge(16, 0, 16), Verdict::Dead);
        assert_eq!(judge(0, -1, 16), Verdict::Dead);
        assert_eq!(judge(0, 0, 0), Verdict::Dead);
        assert_eq!(
            judge(u16::MAX, 0, u32::MAX),
            Verdict::Retry { level: 65_538 }
        );
    }

    #[test]
    fn the_clients_limit_wins_unless_it_has_none() {
        let group = group(1);
        assert_eq!(retry_max(&group, Some(3)), 3);
        assert_eq!(retry_max(&group, Some(-1)), 16);
        assert_eq!(retry_max(&group, None), 16);
        assert_eq!(retry_max(&group, Some(i32::MAX)), i32::MAX as u32);
    }
}
