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
    /// Where a group without a position begins.
    pub start: StartAt,
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

impl Acquire<'_> {
    /// The queues that are asked for.
    pub(super) fn queue_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let all = if self.queues.is_empty() {
            0..self.topic.read_queues
        } else {
            0..0
        };
        all.chain(self.queues.iter().copied())
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

/// What was found so far.
struct Search<'a> {
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
}

impl Hub {
    /// Gives the group messages that are there now; none is no error.
    ///
    /// # Errors
    /// Topic or group do not exist (any more), the topic may not be read, or the store cannot read. What was chosen
    /// before the error is given out again when its lease ends.
    pub async fn acquire(&self, request: &Acquire<'_>) -> Result<Vec<Delivered>, HubError> {
        let mut search = Search {
            request,
            now_ms: self.now_ms(),
            found: Vec::new(),
            bytes: 0,
        };
        let poll = self.0.leases.poll(request.group.id, request.topic.id)?;
        let queues: Vec<u32> = request.queue_numbers().collect();
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
        Ok(search.found)
    }

    async fn search(&self, number: u32, search: &mut Search<'_>) -> Result<(), HubError> {
        let seat = self.seat_for(number, search.request)?;
        let _turn = seat.turn.lock().await;
        if search.request.is_ordered && seat.ledger.lock().held_until(search.now_ms).is_some() {
            return Ok(());
        }
        self.search_again(number, &seat, search).await?;
        self.search_new(number, &seat, search).await?;
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
            Ok(match request.start {
                StartAt::First => bounds.min,
                StartAt::Next => bounds.max,
            })
        })
    }

    /// Messages that were given out before and are available again.
    async fn search_again(
        &self,
        number: u32,
        seat: &Seat,
        search: &mut Search<'_>,
    ) -> Result<(), HubError> {
        let request = search.request;
        let ready = seat.ledger.lock().ready(search.now_ms, search.left());
        for lease in ready {
            if search.left() == 0 {
                break;
            }
            let message = self.message_at(seat, lease.offset).await?;
            let Some(message) = message.filter(|message| (request.accept)(message)) else {
                // It has expired, or is not wanted any more. A late answer may have settled it in between.
                let _ = seat.ledger.lock().settle(lease.offset, Some(lease.attempt));
                continue;
            };
            let term = request.term.from(search.now_ms);
            let given = seat.ledger.lock().give_again(lease, term, search.now_ms);
            if let Ok(given) = given {
                search.take(number, message, given);
            }
        }
        Ok(())
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
            let accept = |message: &Message| (request.accept)(message);
            let messages: Vec<_> = outcome.messages.into_iter().filter(accept).collect();
            let offsets = messages.iter().map(|message| message.offset);
            let term = request.term.from(search.now_ms);
            let given = {
                let mut ledger = seat.ledger.lock();
                ledger.give_new(outcome.next, offsets, term, search.now_ms)
            };
            for (message, lease) in messages.into_iter().zip(given) {
                search.take(number, message, lease);
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
