//! Looking without taking: whether there is something to lease, how much, and where the group goes on.

use std::sync::Arc;

use super::{Acquire, Seat};
use crate::error::HubError;
use crate::group::Group;
use crate::hub::Hub;
use crate::topic::Topic;

impl Hub {
    /// True if [`Hub::acquire`] might find something: a message that is available again, or one that was never given out
    /// and may be wanted.
    ///
    /// # Errors
    /// Topic or group do not exist (any more), or the topic may not be read.
    pub fn is_available(&self, request: &Acquire<'_>) -> Result<bool, HubError> {
        let now_ms = self.now_ms();
        let poll = self.0.leases.poll(request.group.id, request.topic.id)?;
        for number in self.leasable_queues(&poll, request) {
            let Some(seat) = self.known_seat(number, request)? else {
                let queue = request.topic.readable_queue(number)?;
                let bounds = self.0.store.bounds(queue)?;
                if self.start_of(request, bounds.min, bounds.max) < bounds.max {
                    return Ok(true);
                }
                continue;
            };
            let max = self.0.store.bounds(seat.queue)?.max;
            let mut ledger = seat.ledger.lock();
            let is_held = request.is_ordered && ledger.held_until(now_ms).is_some();
            if !is_held && (ledger.next() < max || !ledger.ready(now_ms, 1).is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many messages were never given out to the group, wanted or not, in the queues that are asked for.
    ///
    /// # Errors
    /// As [`Hub::is_available`].
    pub fn remaining(&self, request: &Acquire<'_>) -> Result<u64, HubError> {
        let poll = self.0.leases.poll(request.group.id, request.topic.id)?;
        let mut remaining = 0;
        for number in self.leasable_queues(&poll, request) {
            let queue = request.topic.readable_queue(number)?;
            let bounds = self.0.store.bounds(queue)?;
            let next = match self.known_seat(number, request)? {
                Some(seat) => seat.ledger.lock().next().max(bounds.min),
                None => self.start_of(request, bounds.min, bounds.max),
            };
            remaining += bounds.max.saturating_sub(next);
        }
        Ok(remaining)
    }

    /// The first offset that was never given out to the group, if it has a position in the queue.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn next_to_lease(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
    ) -> Result<Option<u64>, HubError> {
        let seat = self.0.leases.find((group.id, topic.queue(queue)?));
        match seat {
            Some(seat) => Ok(Some(seat.ledger.lock().next())),
            None => self.position(group, topic, queue),
        }
    }

    /// The seat, unless the group has no position in the queue yet.
    pub(super) fn known_seat(
        &self,
        number: u32,
        request: &Acquire<'_>,
    ) -> Result<Option<Arc<Seat>>, HubError> {
        let queue = request.topic.readable_queue(number)?;
        if let Some(seat) = self.0.leases.find((request.group.id, queue)) {
            return Ok(Some(seat));
        }
        if self
            .position(request.group, request.topic, number)?
            .is_none()
        {
            return Ok(None);
        }
        self.seat_for(number, request).map(Some)
    }
}
