//! Waiting for messages to lease. Of all who wait for one group and topic, one watches the queues; the others stand in
//! line behind it and are let in one by one, so that an arrival wakes one of them and not all. Those who ask for
//! different parts of a topic stand in different lines.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crossdock_store::types::GroupId;
use crossdock_store::view::Arrival;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::share::Leasable;
use super::{Acquire, Delivered, Leases};
use crate::error::HubError;
use crate::hub::Hub;

/// Most groups and topics consumed by lease at a time.
const POLLS_MAX: usize = 1_000_000;
/// Most callers that wait for one group and topic.
const WAITERS_MAX: usize = 10_000;
/// Most parts of one topic that are asked for at a time.
const LINES_MAX: usize = 1024;

/// One group at one topic.
#[derive(Debug, Default)]
pub(super) struct Poll {
    /// Queue to begin with, so that all get their turn.
    pub(super) rotation: AtomicU32,
    /// The queues that may be leased.
    pub(super) leasable: Mutex<Option<Leasable>>,
    /// For the whole topic.
    line: Arc<Line>,
    /// For parts of it.
    lines: Mutex<HashMap<u64, Arc<Line>, foldhash::fast::RandomState>>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Line {
    watch: tokio::sync::Mutex<()>,
    /// Something was released, settled or set aside.
    changed: Notify,
}

impl Poll {
    fn line(&self, request: &Acquire<'_>) -> Result<Arc<Line>, HubError> {
        let Some(part) = &request.part else {
            return Ok(Arc::clone(&self.line));
        };
        let mut lines = self.lines.lock();
        if lines.len() >= LINES_MAX {
            lines.retain(|_, line| Arc::strong_count(line) > 1);
            if lines.len() >= LINES_MAX {
                return Err(HubError::Busy("parts of a topic consumed by lease"));
            }
        }
        Ok(Arc::clone(lines.entry(part.wanted).or_default()))
    }

    /// A message may be available: whoever watches looks again.
    pub(super) fn wake(&self) {
        self.line.changed.notify_one();
        for line in self.lines.lock().values() {
            line.changed.notify_one();
        }
    }
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
    pub(crate) fn wake(&self, group: GroupId, topic: u32) {
        if let Some(poll) = self.polls.lock().get(&(group, topic)) {
            poll.wake();
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

/// What one waits for.
#[derive(Clone, Copy)]
enum For {
    /// To be given messages.
    Messages,
    /// To know that there are some.
    Notice,
}

impl Hub {
    /// As [`Hub::acquire`], waiting until there is a message or the deadline has come; then the answer is empty. Dropping
    /// the future gives up and changes nothing.
    ///
    /// # Errors
    /// As [`Hub::acquire`]; or too many wait.
    pub async fn acquire_wait(
        &self,
        request: &Acquire<'_>,
        deadline: Instant,
    ) -> Result<Vec<Delivered>, HubError> {
        let found = self.wait_for(For::Messages, request, deadline).await?;
        Ok(found.unwrap_or_default())
    }

    /// As [`Hub::is_available`], waiting until that is so or the deadline has come.
    ///
    /// # Errors
    /// As [`Hub::is_available`]; or too many wait.
    pub async fn available_wait(
        &self,
        request: &Acquire<'_>,
        deadline: Instant,
    ) -> Result<bool, HubError> {
        let found = self.wait_for(For::Notice, request, deadline).await?;
        Ok(found.is_some())
    }

    async fn wait_for(
        &self,
        what: For,
        request: &Acquire<'_>,
        deadline: Instant,
    ) -> Result<Option<Vec<Delivered>>, HubError> {
        let found = self.look_for(what, request).await?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        let poll = self.0.leases.poll(request.group.id, request.topic.id)?;
        let line = poll.line(request)?;
        let _waiting = Waiting::enter(&poll)?;
        let watch = async {
            let _watch = line.watch.lock().await;
            loop {
                // Asked for before looking, so that what happens in between is not missed.
                let changed = line.changed.notified();
                let members = request.group.live.session.changed();
                let queues = self.leasable_queues(&poll, request);
                let arrivals = self.arrivals(request, &queues)?;
                let found = self.look_for(what, request).await?;
                if found.is_some() {
                    return Ok(found);
                }
                let changed = async {
                    tokio::select! {
                        () = changed => {}
                        () = members => {}
                    }
                };
                self.next_chance(request, &queues, arrivals, changed).await;
            }
        };
        let found = tokio::time::timeout_at(deadline, watch).await;
        found.unwrap_or(Ok(None))
    }

    async fn look_for(
        &self,
        what: For,
        request: &Acquire<'_>,
    ) -> Result<Option<Vec<Delivered>>, HubError> {
        match what {
            For::Messages => {
                let found = self.acquire(request).await?;
                Ok((!found.is_empty()).then_some(found))
            }
            For::Notice => Ok(self.is_available(request)?.then(Vec::new)),
        }
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
        queues: &[u32],
        mut arrivals: FuturesUnordered<Arrival>,
        changed: impl Future<Output = ()>,
    ) {
        let ready = self.ready_in(request, queues);
        tokio::select! {
            Some(_) = arrivals.next() => {}
            () = changed => {}
            () = tokio::time::sleep(ready.unwrap_or_default()), if ready.is_some() => {}
        }
    }

    fn arrivals(
        &self,
        request: &Acquire<'_>,
        queues: &[u32],
    ) -> Result<FuturesUnordered<Arrival>, HubError> {
        let arrivals = FuturesUnordered::new();
        for number in queues {
            let (queue, next) = match self.known_seat(*number, request)? {
                Some(seat) => (seat.queue, seat.ledger.lock().next()),
                None => {
                    let queue = request.topic.readable_queue(*number)?;
                    (queue, self.0.store.bounds(queue)?.max)
                }
            };
            let filter = request.filter.clone();
            arrivals.push(self.0.store.arrival(queue, next, filter)?);
        }
        Ok(arrivals)
    }

    /// How long until a message that was given out may be given out again.
    fn ready_in(&self, request: &Acquire<'_>, queues: &[u32]) -> Option<Duration> {
        let now_ms = self.now_ms();
        let ready = queues.iter().filter_map(|queue| {
            let seat = self.known_seat(*queue, request).ok()??;
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
