//! Deleting topics: the definition, its queues in the store, and every group's position in them, as one record unless
//! there is very much of it.

use std::sync::Arc;

use crossdock_store::change::Change;
use crossdock_store::types::Durability;

use super::{CURRENT, DELETED, Topic, split};
use crate::changelog::Edit;
use crate::error::HubError;
use crate::hub::Hub;
use crate::name::TopicName;
use crate::table;

/// Changes written as one record; less than a megabyte.
pub(crate) const CHANGES_AT_ONCE: usize = 64 * 1024;

impl Hub {
    /// Deletes the topic with everything in it; `false` if there is none.
    ///
    /// # Errors
    /// The topic belongs to the hub, or the store refuses.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<bool, HubError> {
        if self.is_system_topic(name) {
            return Err(HubError::invalid(format!(
                "topic {name} belongs to the hub and cannot be deleted"
            )));
        }
        let (hub, name) = (self.clone(), name.clone());
        self.0
            .tasks
            .finish(async move { hub.delete_topic_now(&name).await })
            .await
    }

    async fn delete_topic_now(&self, name: &TopicName) -> Result<bool, HubError> {
        let topics = &self.0.topics;
        let _alone = topics.flights.enter(name.as_str()).await;
        let Some(topic) = topics.table.get(name.as_str()) else {
            return Ok(false);
        };
        // From here on nobody publishes or commits through a handle taken earlier.
        topic.retire(DELETED);
        let written = async {
            let changes = self.leftovers(&topic).await?;
            // The definition goes first: should there be several records and a crash between them, nothing points at what
            // is left.
            for part in changes.chunks(CHANGES_AT_ONCE) {
                self.0.store.change(part, Durability::Durable).await?;
            }
            Ok(())
        };
        if let Err(error) = written.await {
            topic.retire(CURRENT);
            return Err(error);
        }
        topics.table.remove(name.as_str());
        topics
            .changes
            .record(Edit::Removed(Arc::clone(&topic)), self.now_ms());
        tracing::info!(topic = %name, "topic deleted");
        Ok(true)
    }

    /// What has to be written to forget the topic.
    async fn leftovers(&self, topic: &Topic) -> Result<Vec<Change>, HubError> {
        let mut changes = vec![table::delete(table::TOPICS, topic.name.as_str())];
        self.drop_positions(|_, queue| split(queue).0 == topic.id)
            .await?;
        let groups = self.group_ids();
        for queue in topic.every_queue() {
            for group in &groups {
                if self.0.store.group_position(*group, queue).is_some() {
                    changes.push(Change::Forget {
                        group: *group,
                        queue,
                    });
                }
            }
            changes.push(Change::Drop { queue });
            tokio::task::yield_now().await;
        }
        Ok(changes)
    }
}
