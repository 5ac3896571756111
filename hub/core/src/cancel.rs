//! Taking back what was scheduled: finding messages that wait for their time, and cancelling them. The store decides between
//! a cancel and the delivery; nothing is kept here.

use crossdock_store::api::{Message, ReadError};
use crossdock_store::types::Position;

use crate::error::HubError;
use crate::hub::Hub;
use crate::publish::key_hash;
use crate::topic::{Topic, split};

/// Most waiting messages one search by key returns.
const PENDING_MAX: usize = 64;

impl Hub {
    /// Cancels the message that was scheduled at a position. True: it was waiting for its time and will not be delivered.
    /// False: nothing changed, because it is on its way or was cancelled before, or nothing was scheduled there. An
    /// acknowledged cancel is as durable as an acknowledged message of the topic.
    ///
    /// # Errors
    /// The store refuses, or cannot say what stands there.
    pub async fn cancel(&self, position: Position) -> Result<bool, HubError> {
        let message = match self.0.store.read_at(position).await {
            Ok(message) => message,
            Err(ReadError::NotFound(_) | ReadError::Expired(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if !message.record.is_scheduled() {
            return Ok(false);
        }
        let target = message.record.target();
        let durability = target
            .and_then(|queue| self.topic_of(queue))
            .and_then(|(topic, _)| topic.durability)
            .unwrap_or(self.0.config.durability);
        if self.0.store.cancel(position, durability).await? {
            return Ok(true);
        }
        match self.copy_of(&message).await? {
            Some(copy) => Ok(self.0.store.cancel(copy, durability).await?),
            None => Ok(false),
        }
    }

    /// Where a scheduled message waits now if it was moved on so that it does not hold back old ones. Found by its key:
    /// messages without one are not.
    async fn copy_of(&self, message: &Message) -> Result<Option<Position>, HubError> {
        let Some(key) = message.record.keys().next() else {
            return Ok(None);
        };
        let pending = self.0.store.pending_by_key(key, PENDING_MAX).await?;
        let mut places = pending.iter().map(|pending| &pending.record);
        let copy = places.find(|record| record.fires() == Some(message.record.position));
        Ok(copy.map(|record| record.position))
    }

    /// Messages of the topic that wait for their time and were published with the key, newest first. Hashes may collide:
    /// who needs certainty compares the key text.
    ///
    /// # Errors
    /// The store cannot read.
    pub async fn pending_by_key(
        &self,
        topic: &Topic,
        key: &str,
        max: usize,
    ) -> Result<Vec<Message>, HubError> {
        let hash = key_hash(topic.name.as_str(), key);
        let max = max.min(PENDING_MAX);
        let mut found = self.0.store.pending_by_key(hash, max).await?;
        found.retain(|message| {
            let target = message.record.target().unwrap_or_default();
            split(target).0 == topic.id
        });
        Ok(found)
    }
}
