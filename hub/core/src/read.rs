//! Reading: queues by offset, offsets by time, single messages by position or key. Adds names and permissions to what the
//! store does; holds no state.

mod select;

use crossdock_store::api::{Boundary, Bounds, Message, ReadLimits, ReadOutcome, TagFilter};
use crossdock_store::types::Position;

use crate::error::HubError;
use crate::hub::Hub;
use crate::publish::key_hash;
use crate::topic::{Topic, split};

/// Most messages one search by key returns.
const FOUND_MAX: usize = 1024;

impl Hub {
    /// Reads a queue from memory; `None` if the disk has to be asked, which [`Hub::read`] does.
    pub fn try_read(
        &self,
        topic: &Topic,
        queue: u32,
        from: u64,
        limits: ReadLimits,
        filter: &TagFilter,
    ) -> Option<Result<ReadOutcome, HubError>> {
        let queue = match topic.readable_queue(queue) {
            Ok(queue) => queue,
            Err(error) => return Some(Err(error)),
        };
        let outcome = self.0.store.try_read(queue, from, limits, filter)?;
        Some(outcome.map_err(HubError::from))
    }

    /// Reads a queue.
    ///
    /// # Errors
    /// The topic may not be read or has no such readable queue, or the store cannot read.
    pub async fn read(
        &self,
        topic: &Topic,
        queue: u32,
        from: u64,
        limits: ReadLimits,
        filter: &TagFilter,
    ) -> Result<ReadOutcome, HubError> {
        let queue = topic.readable_queue(queue)?;
        Ok(self.0.store.read(queue, from, limits, filter).await?)
    }

    /// Waits until a message at or after `from` that the filter wants may be there. Dropping the future gives up.
    ///
    /// # Errors
    /// The topic has no such queue, or too many wait already.
    pub async fn arrival(
        &self,
        topic: &Topic,
        queue: u32,
        from: u64,
        filter: &TagFilter,
    ) -> Result<(), HubError> {
        let queue = topic.queue(queue)?;
        self.0.store.arrival(queue, from, filter.clone())?.await;
        Ok(())
    }

    /// First readable offset and the offset the next message will get.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn bounds(&self, topic: &Topic, queue: u32) -> Result<Bounds, HubError> {
        Ok(self.0.store.bounds(topic.queue(queue)?)?)
    }

    /// The offset that was stored at a time, within the bounds of the queue.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn offset_by_time(
        &self,
        topic: &Topic,
        queue: u32,
        ms: i64,
        boundary: Boundary,
    ) -> Result<u64, HubError> {
        let queue = topic.queue(queue)?;
        Ok(self.0.store.offset_by_time(queue, ms, boundary)?)
    }

    /// Number of readable messages stored at a time or later.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn stored_since(&self, topic: &Topic, queue: u32, ms: i64) -> Result<u64, HubError> {
        if self
            .latest_ms(topic, queue)?
            .is_none_or(|latest| latest < ms)
        {
            return Ok(0);
        }
        let first = self.offset_by_time(topic, queue, ms, Boundary::Lower)?;
        Ok(self.bounds(topic, queue)?.max.saturating_sub(first))
    }

    /// Store time of the first readable message.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn earliest_ms(&self, topic: &Topic, queue: u32) -> Result<Option<i64>, HubError> {
        Ok(self.0.store.earliest_ms(topic.queue(queue)?)?)
    }

    /// Store time of the last message.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn latest_ms(&self, topic: &Topic, queue: u32) -> Result<Option<i64>, HubError> {
        Ok(self.0.store.latest_ms(topic.queue(queue)?))
    }

    /// The message at a position. Its topic, if it still exists: [`Hub::topic_of`] the message's queue, or of the
    /// record's target while it waits for its due time.
    ///
    /// # Errors
    /// Nothing begins there, it has expired, or it is damaged.
    pub async fn view(&self, position: Position) -> Result<Message, HubError> {
        let message = self.0.store.read_at(position).await?;
        // System records are nobody's messages.
        if message.queue.is_none() && message.record.target().is_none() {
            return Err(crossdock_store::api::ReadError::NotFound(position).into());
        }
        Ok(message)
    }

    /// Messages of the topic published with the key and stored within the times, newest first. Hashes may collide: who
    /// needs certainty compares the key text.
    ///
    /// # Errors
    /// The store cannot read.
    pub async fn find_by_key(
        &self,
        topic: &Topic,
        key: &str,
        from_ms: i64,
        to_ms: i64,
        max: usize,
    ) -> Result<Vec<Message>, HubError> {
        let hash = key_hash(topic.name.as_str(), key);
        let max = max.min(FOUND_MAX);
        let mut found = self.0.store.by_key(hash, from_ms, to_ms, max).await?;
        found.retain(|message| {
            let queue = if message.queue.is_none() {
                message.record.target().unwrap_or_default()
            } else {
                message.queue
            };
            split(queue).0 == topic.id
        });
        Ok(found)
    }

    /// Where the log begins and ends.
    #[must_use]
    pub fn log_bounds(&self) -> (Position, Position) {
        self.0.store.log_bounds()
    }
}
