//! Choosing the messages a group is given: first those that are available again, then new ones.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossdock_store::api::{Message, ReadLimits, ReadStatus, TagFilter};
use crossdock_store::lease::Lease;

use super::{LeaseTerm, Seat};
use crate::error::HubError;
use crate::group::Group;
use crate::hub::Hub;
use crate::topic::Topic;

/// Index entries looked at for one queue at a time, matching or not.
const SCANNED_MAX: usize = 4096;
/// Rounds of reading one queue without finding anything wanted; the caller comes again.
const ROUNDS_MAX: usize = 16;

/// Longest name of an attempt, in bytes.
const ATTEMPT_ID_MAX: usize = 1024;

/// Where a group without a position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With the first message there is.
    First,
    /// With the next message to come.
    Next,
}

/// What a caller wants to be given.
pub struct Acquire<'a> {
    /// For whom.
    pub group: &'a Group,
    /// Of which topic.
    pub topic: &'a Arc<Topic>,
    /// Of which of its queues; of all that can be read if empty.
    pub queues: &'a [u32],
    /// Messages that can be wanted at all.
    pub filter: &'a TagFilter,
    /// Whether a message is wanted; what is not is settled.
    pub accept: &'a (dyn Fn(&Message) -> bool + Sync),
    /// At most so many messages.
    pub max: usize,
    /// At most so many bytes, beyond the first message.
    pub bytes: usize,
    /// For how long.
    pub term: LeaseTerm,
    /// Only from queues of which the group holds nothing.
    pub is_ordered: bool,
    /// What the caller calls this attempt. If it asks in order, and what the group holds of a queue was given to an
    /// attempt of the same name, the answer to that was lost: the same is given again, as the same delivery.
    pub attempt_id: Option<&'a str>,
    /// Of a topic that several callers ask for parts of: which part. The rest stays for the others.
    pub part: Option<Part<'a>>,
    /// Where a group without a position begins.
    pub start: StartAt,
}

/// A part of a topic.
pub struct Part<'a> {
    /// The part a message belongs to.
    pub of: &'a (dyn Fn(&Message) -> u64 + Sync),
    /// The part that is asked for.
    pub wanted: u64,
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("group", &self.group.name)
            .field("topic", &self.topic.name)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// A message that was given out.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The message.
    pub message: Message,
    /// Number of its queue.
    pub queue: u32,
    /// How many times it was given to the group, this time included: the lease is known by it.
    pub attempt: u16,
}

/// What was found so far. What is not handed over in the end was not given to anybody.
struct Search<'a> {
    hub: &'a Hub,
    request: &'a Acquire<'a>,
    now_ms: i64,
    found: Vec<Delivered>,
    bytes: usize,
}

impl Search<'_> {
    /// How many more messages are wanted.
    fn left(&self) -> usize {
        if !self.found.is_empty() && self.bytes >= self.request.bytes {
            return 0;
        }
        self.request.max.saturating_sub(self.found.len())
    }

    fn take(&mut self, queue: u32, message: Message, lease: Lease) {
        self.bytes += message.record.bytes as usize;
        self.found.push(Delivered {
            message,
            queue,
            attempt: lease.attempt,
        });
    }

    fn hand_over(mut self) -> Vec<Delivered> {
        std::mem::take(&mut self.found)
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        let request = self.request;
        self.hub
            .take_back(request.group, request.topic, &self.found);
    }
}

impl Hub {
    /// Gives the group messages that are there now; none is no error. Dropping the future changes nothing.
    ///
    /// # Errors
    /// Topic or group do not exist (any more), the topic may not be read, a name is too long, or the store cannot read.
    pub async fn acquire(&self, request: &Acquire<'_>) -> Result<Vec<Delivered>, HubError> {
        if let Some(id) = request.attempt_id
            && id.len() > ATTEMPT_ID_MAX
        {
            return Err(HubError::TooLarge {
                what: "bytes of the name of an attempt",
                size: id.len(),
                limit: ATTEMPT_ID_MAX,
            });
        }
        let mut search = Search {
            hub: self,
            request,
            now_ms: self.now_ms(),
            found: Vec::new(),
            bytes: 0,
        };
        let poll = self.0.leases.poll(request.group.id, request.topic.id)?;
        let queues = self.leasable_queues(&poll, request);
        let first = poll.rotation.fetch_add(1, Ordering::Relaxed) as usize;
        for step in 0..queues.len() {
            let Some(queue) = queues.get(first.wrapping_add(step) % queues.len()) else {
                break;
            };
            if search.left() == 0 {
                break;
            }
            self.search(*queue, &mut search).await?;
        }
        Ok(search.hand_over())
    }

    /// Takes back deliveries that did not happen: the messages are available at once and nothing counts. What was settled
    /// or given out again since is left as it is.
    pub fn take_back(&self, group: &Group, topic: &Topic, delivered: &[Delivered]) {
        let now_ms = self.now_ms();
        for delivered in delivered {
            let Some(seat) = self.0.leases.find((group.id, delivered.message.queue)) else {
                continue;
            };
            let lease = Lease {
                offset: delivered.message.offset,
                attempt: delivered.attempt,
            };
            if seat.ledger.lock().undo(lease, now_ms).is_ok() {
                self.0.changed(&seat);
            }
        }
        if !delivered.is_empty() {
            self.0.leases.wake(group.id, topic.id);
        }
    }

    async fn search(&self, number: u32, search: &mut Search<'_>) -> Result<(), HubError> {
        let request = search.request;
        let seat = self.seat_for(number, request)?;
        let _turn = seat.turn.lock().await;
        if request.is_ordered {
            seat.is_ordered.store(true, Ordering::Release);
            if !may_begin(&seat, search) {
                return Ok(());
            }
        }
        // Its ledger is where the group was moved to already; nobody who reads has to be told.
        self.0.resets.take(seat.group, seat.queue);
        let before = search.found.len();
        if let Some(part) = &request.part {
            self.search_aside(number, &seat, part, search).await?;
        }
        self.search_again(number, &seat, search).await?;
        self.search_new(number, &seat, search).await?;
        if request.is_ordered && search.found.len() > before {
            *seat.attempt_id.lock() = request.attempt_id.map(Into::into);
        }
        self.0.changed(&seat);
        Ok(())
    }

    /// The seat of a group that may not have a position yet.
    pub(super) fn seat_for(
        &self,
        number: u32,
        request: &Acquire<'_>,
    ) -> Result<Arc<Seat>, HubError> {
        let queue = request.topic.readable_queue(number)?;
        self.0.seat(request.group, request.topic, queue, || {
            let bounds = self.0.store.bounds(queue)?;
            Ok(self.start_of(request, bounds.min, bounds.max))
        })
    }

    pub(super) fn start_of(&self, request: &Acquire<'_>, min: u64, max: u64) -> u64 {
        match request.start {
            StartAt::First => min,
            StartAt::Next => max,
        }
    }

    /// Messages that others came across and set aside for this part.
    async fn search_aside(
        &self,
        number: u32,
        seat: &Seat,
        part: &Part<'_>,
        search: &mut Search<'_>,
    ) -> Result<(), HubError> {
        while search.left() > 0 {
            let range = (part.wanted, 0)..=(part.wanted, u64::MAX);
            let found = {
                let mut aside = seat.aside.lock();
                let first = aside.range(range).next().map(|(key, n)| (*key, *n));
                if let Some((key, _)) = &first {
                    aside.remove(key);
                }
                first
            };
            let Some(((_, offset), attempt)) = found else {
                break;
            };
            // Unless its place is known again, it would be lost until the next start.
            let guard = Aside {
                seat,
                key: (part.wanted, offset),
                attempt,
            };
            let lease = Lease { offset, attempt };
            self.give_again(number, seat, lease, search).await?;
            std::mem::forget(guard);
        }
        Ok(())
    }

    /// Messages that were given out before and are available again.
    async fn search_again(
        &self,
        number: u32,
        seat: &Seat,
        search: &mut Search<'_>,
    ) -> Result<(), HubError> {
        // What belongs to another part is set aside and makes room for more.
        for _ in 0..ROUNDS_MAX {
            let ready = seat.ledger.lock().ready(search.now_ms, search.left());
            if ready.is_empty() {
                break;
            }
            for lease in ready {
                if search.left() == 0 {
                    return Ok(());
                }
                self.give_again(number, seat, lease, search).await?;
            }
            if search.request.part.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn give_again(
        &self,
        number: u32,
        seat: &Seat,
        lease: Lease,
        search: &mut Search<'_>,
    ) -> Result<(), HubError> {
        let request = search.request;
        let message = self.message_at(seat, lease.offset).await?;
        if let (Some(message), Some(part)) = (&message, &request.part)
            && (part.of)(message) != part.wanted
        {
            self.set_aside(seat, lease, lease.attempt, (part.of)(message), search);
            return Ok(());
        }
        let Some(message) = message.filter(|message| (request.accept)(message)) else {
            // It has expired, or is not wanted any more. A late answer may have settled it in between.
            let _ = seat.ledger.lock().settle(lease.offset, Some(lease.attempt));
            return Ok(());
        };
        let term = request.term.from(search.now_ms);
        let given = seat.ledger.lock().give_again(lease, term, search.now_ms);
        if let Ok(given) = given {
            search.take(number, message, given);
        }
        Ok(())
    }

    fn set_aside(&self, seat: &Seat, lease: Lease, attempts: u16, part: u64, search: &Search<'_>) {
        let request = search.request;
        let mut ledger = seat.ledger.lock();
        if ledger.set_aside(lease, attempts, search.now_ms).is_err() {
            return;
        }
        drop(ledger);
        seat.aside.lock().insert((part, lease.offset), attempts);
        self.0.leases.wake(request.group.id, request.topic.id);
    }

    /// Messages that were never given out.
    async fn search_new(
        &self,
        number: u32,
        seat: &Seat,
        search: &mut Search<'_>,
    ) -> Result<(), HubError> {
        let request = search.request;
        for _ in 0..ROUNDS_MAX {
            let (from, room) = {
                let ledger = seat.ledger.lock();
                (ledger.next(), ledger.room())
            };
            let records = search
                .left()
                .min(usize::try_from(room).unwrap_or(usize::MAX));
            if records == 0 {
                return Ok(());
            }
            let limits = ReadLimits {
                records,
                bytes: request.bytes.saturating_sub(search.bytes),
                scanned: SCANNED_MAX.min(usize::try_from(room).unwrap_or(usize::MAX)),
            };
            let read = self.0.store.read(seat.queue, from, limits, request.filter);
            let outcome = read.await?;
            match outcome.status {
                ReadStatus::Found | ReadStatus::NoMatch => {}
                ReadStatus::AtEnd | ReadStatus::Empty => return Ok(()),
                // Retention was faster than the group, or its position was set beyond the end.
                ReadStatus::TooSmall => {
                    seat.ledger.lock().jump(outcome.bounds.min);
                    continue;
                }
                ReadStatus::TooLarge => {
                    seat.ledger.lock().jump(outcome.bounds.max);
                    return Ok(());
                }
            }
            let part = request.part.as_ref();
            let others = |message: &Message| {
                let of = part.map(|part| ((part.of)(message), part.wanted));
                of.and_then(|(of, wanted)| (of != wanted).then_some(of))
            };
            let kept: Vec<_> = outcome
                .messages
                .into_iter()
                .map(|message| (others(&message), message))
                .filter(|(others, message)| others.is_some() || (request.accept)(message))
                .collect();
            let offsets = kept.iter().map(|(_, message)| message.offset);
            let term = request.term.from(search.now_ms);
            let given = {
                let mut ledger = seat.ledger.lock();
                ledger.give_new(outcome.next, offsets, term, search.now_ms)
            };
            for ((others, message), lease) in kept.into_iter().zip(given) {
                match others {
                    Some(part) => self.set_aside(seat, lease, 0, part, search),
                    None => search.take(number, message, lease),
                }
            }
            if outcome.next >= outcome.bounds.max {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn message_at(&self, seat: &Seat, offset: u64) -> Result<Option<Message>, HubError> {
        let limits = ReadLimits {
            records: 1,
            bytes: 1,
            scanned: 1,
        };
        let read = self
            .0
            .store
            .read(seat.queue, offset, limits, &TagFilter::All);
        let mut outcome = read.await?;
        Ok(outcome.messages.pop().filter(|m| m.offset == offset))
    }
}

/// A record that was taken from what is set aside, and goes back there if it cannot be looked at.
struct Aside<'a> {
    seat: &'a Seat,
    key: (u64, u64),
    attempt: u16,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.seat.aside.lock().insert(self.key, self.attempt);
    }
}

/// True if a queue that is given in order may be given from: nobody holds anything of it, or what is held was given to
/// this same attempt and is taken back.
fn may_begin(seat: &Seat, search: &Search<'_>) -> bool {
    let mut ledger = seat.ledger.lock();
    if ledger.held_until(search.now_ms).is_none() {
        return true;
    }
    let Some(id) = search.request.attempt_id else {
        return false;
    };
    if seat.attempt_id.lock().as_deref() != Some(id) {
        return false;
    }
    for lease in ledger.held(search.now_ms) {
        // Named a moment ago, under the same lock.
        let _ = ledger.undo(lease, search.now_ms);
    }
    true
}
