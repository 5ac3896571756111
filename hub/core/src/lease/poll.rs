//! Waiting for messages to lease. Of all who wait for one group and topic, one watches the queues; the others stand in
//! line behind it and are let in one by one, so that an arrival wakes one of them and not all.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crossdock_store::types::GroupId;
use crossdock_store::view::Arrival;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Acquire, Delivered, Leases};
use crate::error::HubError;
use crate::hub::Hub;

/// Most groups and topics consumed by lease at a time.
const POLLS_MAX: usize = 1_000_000;
/// Most callers that wait for one group and topic.
const WAITERS_MAX: usize = 10_000;

/// One group at one topic.
#[derive(Debug, Default)]
pub(super) struct Poll {
    /// Queue to begin with, so that all get their turn.
    pub(super) rotation: AtomicU32,
    watch: tokio::sync::Mutex<()>,
    /// Something was released or settled.
    changed: Notify,
    waiting: AtomicUsize,
}

impl Leases {
    pub(super) fn poll(&self, group: GroupId, topic: u32) -> Result<Arc<Poll>, HubError> {
        let mut polls = self.polls.lock();
        if polls.len() >= POLLS_MAX {
            polls.retain(|_, poll| Arc::strong_count(poll) > 1);
            if polls.len() >= POLLS_MAX {
                return Err(HubError::Busy("topics consumed by lease"));
            }
        }
        Ok(Arc::clone(polls.entry((group, topic)).or_default()))
    }

    /// A message may be available: whoever watches looks again.
    pub(super) fn wake(&self, group: GroupId, topic: u32) {
        if let Some(poll) = self.polls.lock().get(&(group, topic)) {
            poll.changed.notify_one();
        }
    }
}

/// One who waits; counted until dropped.
struct Waiting<'a>(&'a Poll);

impl<'a> Waiting<'a> {
    fn enter(poll: &'a Poll) -> Result<Self, HubError> {
        let waiting = Self(poll);
        if poll.waiting.fetch_add(1, Ordering::AcqRel) >= WAITERS_MAX {
            return Err(HubError::Busy("callers that wait for messages"));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Hub {
    /// As [`Hub::acquire`], waiting until there is a message or the deadline has come; then the answer is empty. Dropping
    /// the future gives up; what was just chosen is given out again when its lease ends.
    ///
    /// # Errors
    /// As [`Hub::acquire`]; or too many wait.
    pub async fn acquire_wait(
        &self,
        request: &Acquire<'_>,
        deadline: Instant,
    ) -> Result<Vec<Delivered>, HubError> {
        let found = self.acquire(request).await?;
        if !found.is_empty() || Instant::now() >= deadline {
            return Ok(found);
        }
        let poll = self.0.leases.poll(request.group.id, request.topic.id)?;
        let _waiting = Waiting::enter(&poll)?;
        let watch = async {
            let _watch = poll.watch.lock().await;
            loop {
                // Asked for before looking, so that what happens in between is not missed.
                let changed = poll.changed.notified();
                let arrivals = self.arrivals(request)?;
                let found = self.acquire(request).await?;
                if !found.is_empty() {
                    return Ok(found);
                }
                self.next_chance(request, arrivals, changed).await;
            }
        };
        let found = tokio::time::timeout_at(deadline, watch).await;
        found.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// How many callers wait for messages of a topic for a group.
    ///
    /// # Errors
    /// Too many groups and topics are consumed by lease.
    pub fn waiting(&self, group: GroupId, topic: u32) -> Result<usize, HubError> {
        Ok(self
            .0
            .leases
            .poll(group, topic)?
            .waiting
            .load(Ordering::Relaxed))
    }

    /// Ends when a message may be there: a new one, or one that is available again.
    async fn next_chance(
        &self,
        request: &Acquire<'_>,
        mut arrivals: FuturesUnordered<Arrival>,
        changed: impl Future<Output = ()>,
    ) {
        let ready = self.ready_in(request);
        tokio::select! {
            Some(_) = arrivals.next() => {}
            () = changed => {}
            () = tokio::time::sleep(ready.unwrap_or_default()), if ready.is_some() => {}
        }
    }

    fn arrivals(&self, request: &Acquire<'_>) -> Result<FuturesUnordered<Arrival>, HubError> {
        let arrivals = FuturesUnordered::new();
        for queue in request.queue_numbers() {
            let seat = self.seat_for(queue, request)?;
            let next = seat.ledger.lock().next();
            let filter = request.filter.clone();
            arrivals.push(self.0.store.arrival(seat.queue, next, filter)?);
        }
        Ok(arrivals)
    }

    /// How long until a message that was given out may be given out again.
    fn ready_in(&self, request: &Acquire<'_>) -> Option<Duration> {
        let now_ms = self.now_ms();
        let ready = request.queue_numbers().filter_map(|queue| {
            let seat = self.seat_for(queue, request).ok()?;
            let ledger = seat.ledger.lock();
            let held_until = request.is_ordered.then(|| ledger.held_until(now_ms));
            match held_until.flatten() {
                Some(until) => (until < i64::MAX).then_some(until),
                None => ledger.ready_ms(),
            }
        });
        let ms = ready.min()?.saturating_sub(now_ms);
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1)))
    }
}
