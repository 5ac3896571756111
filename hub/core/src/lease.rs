//! Consumption by lease: a group is given messages of any queue of a topic, and settles each for itself. Owns a ledger
//! for every group and queue consumed this way; the store has what was written of them.
//!
//! A seat is one group at one queue. Its ledger is behind a short lock; choosing and reading messages happens under the
//! seat's turn, which may be held across reads, so that two callers never choose the same message. While a ledger is
//! loaded it has the group's position, and it alone writes it.
//!
//! Lock order: a seat's turn, a shard of seats, a ledger, a shard of positions.

mod acquire;
mod flush;
mod look;
mod poll;
mod share;

pub(crate) use flush::AGAIN_AFTER;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crossdock_store::lease::{Ledger, Term, prefix};
use crossdock_store::types::{GroupId, QueueId};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::HubError;
use crate::group::Group;
use crate::hub::{Hub, Inner};
use crate::position::check_alive;
use crate::table;
use crate::topic::{Topic, split};

pub use crossdock_store::lease::{LeaseError, OwnerId};

pub use acquire::{Acquire, Delivered, Part, StartAt};
use flush::Listed;
use poll::Poll;
pub use share::average_share;

const SHARDS: usize = 16;
/// Most groups at queues consumed by lease at a time.
const SEATS_MAX: usize = 1_000_000;

type Key = (GroupId, QueueId);

/// One group at one queue.
#[derive(Debug)]
struct Seat {
    group: GroupId,
    queue: QueueId,
    ledger: Mutex<Ledger>,
    /// Held while messages are chosen.
    turn: tokio::sync::Mutex<()>,
    /// Somebody asks for its messages in order.
    is_ordered: AtomicBool,
    /// What the caller calls the attempt that got what is held now, of a queue that is given in order.
    attempt_id: Mutex<Option<Box<str>>>,
    /// What was set aside for those who ask for another part: deliveries so far by part and offset.
    aside: Mutex<BTreeMap<(u64, u64), u16>>,
    /// It is listed to be written.
    is_listed: AtomicBool,
}

/// The seats.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    shards: [Mutex<HashMap<Key, Arc<Seat>, foldhash::fast::RandomState>>; SHARDS],
    polls: Mutex<HashMap<(GroupId, u32), Arc<Poll>, foldhash::fast::RandomState>>,
    listed: Listed,
    owners: AtomicU32,
}

/// How long a lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseTerm {
    /// So long; zero makes the message available at once.
    For(Duration),
    /// As long as its owner lives.
    Owned(OwnerId),
}

impl LeaseTerm {
    fn from(self, now_ms: i64) -> Term {
        match self {
            Self::For(time) if time.is_zero() => Term::Until(0),
            Self::For(time) => {
                let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                // The last moment there is has another meaning.
                Term::Until(now_ms.saturating_add(ms).min(i64::MAX - 1))
            }
            Self::Owned(owner) => Term::Owner(owner),
        }
    }
}

impl Leases {
    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, Arc<Seat>, foldhash::fast::RandomState>> {
        let mixed = (key.1.0 ^ u64::from(key.0.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.shards[(mixed >> 32) as usize % SHARDS]
    }

    fn find(&self, key: Key) -> Option<Arc<Seat>> {
        self.shard(key).lock().get(&key).cloned()
    }

    /// Where the group stands, if its ledger has the say.
    pub(crate) fn position(&self, key: Key) -> Option<u64> {
        self.find(key).map(|seat| seat.ledger.lock().low())
    }

    /// Forgets the seats of deleted groups or topics.
    pub(crate) fn forget(&self, mut which: impl FnMut(GroupId, QueueId) -> bool) {
        for shard in &self.shards {
            shard
                .lock()
                .retain(|(group, queue), _| !which(*group, *queue));
        }
    }

    fn all_of(&self, group: GroupId) -> Vec<Arc<Seat>> {
        let seats = self.shards.iter().flat_map(|shard| {
            let shard = shard.lock();
            let of_group = shard.values().filter(|seat| seat.group == group);
            of_group.cloned().collect::<Vec<_>>()
        });
        seats.collect()
    }
}

impl Inner {
    /// Moves a position: by its ledger if that is loaded, by `otherwise` if not. Nobody loads it meanwhile.
    pub(crate) fn move_position<T>(
        &self,
        key: Key,
        by_ledger: impl FnOnce(&mut Ledger) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let shard = self.leases.shard(key).lock();
        let Some(seat) = shard.get(&key) else {
            return otherwise();
        };
        let done = by_ledger(&mut seat.ledger.lock());
        self.changed(seat);
        done
    }

    /// The seat, loaded from the store if need be. `start` is where a group without a position begins.
    fn seat(
        &self,
        group: &Group,
        topic: &Topic,
        queue: QueueId,
        start: impl FnOnce() -> Result<u64, HubError>,
    ) -> Result<Arc<Seat>, HubError> {
        let key = (group.id, queue);
        let mut shard = self.leases.shard(key).lock();
        if let Some(seat) = shard.get(&key) {
            return Ok(Arc::clone(seat));
        }
        check_alive(group, topic)?;
        if shard.len() >= SEATS_MAX / SHARDS {
            return Err(HubError::Busy("queues consumed by lease"));
        }
        // From here on the ledger writes the position: what waits to be written is taken over.
        let pending = self.positions.take(key);
        let known = pending.or_else(|| self.store.group_position(key.0, key.1));
        let (low, is_new) = match known {
            Some(low) => (low, pending.is_some()),
            None => (start()?, true),
        };
        let rows = self.store.rows(table::LEASES, &prefix(key.0, key.1));
        let rows = rows
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()));
        let mut ledger = Ledger::load(low, rows);
        if is_new {
            ledger.unflushed();
        }
        let seat = Arc::new(Seat {
            group: key.0,
            queue: key.1,
            ledger: Mutex::new(ledger),
            turn: tokio::sync::Mutex::default(),
            is_ordered: AtomicBool::new(false),
            attempt_id: Mutex::default(),
            aside: Mutex::default(),
            is_listed: AtomicBool::new(false),
        });
        shard.insert(key, Arc::clone(&seat));
        drop(shard);
        self.changed(&seat);
        Ok(seat)
    }
}

impl Hub {
    /// A new owner of leases.
    #[must_use]
    pub fn new_owner(&self) -> OwnerId {
        loop {
            let number = self.0.leases.owners.fetch_add(1, Ordering::Relaxed);
            if let Some(number) = std::num::NonZeroU32::new(number) {
                return OwnerId(number);
            }
        }
    }

    /// Settles a message for good. With an `attempt`, which a delivery is known by, the answer to an earlier delivery is
    /// refused. Settling what is settled already is no error.
    ///
    /// # Errors
    /// The message was given out again, or never, or topic or queue do not exist.
    pub fn settle(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
        offset: u64,
        attempt: Option<u16>,
    ) -> Result<(), HubError> {
        let seat = self.seat_of(group, topic, queue)?;
        let settled = seat.ledger.lock().settle(offset, attempt);
        match settled {
            Err(LeaseError::Settled) => return Ok(()),
            other => other.map_err(HubError::Lease)?,
        }
        self.0.changed(&seat);
        if seat.is_ordered.load(Ordering::Acquire) {
            // What comes after it may be given out now.
            self.0.leases.wake(group.id, topic.id);
        }
        Ok(())
    }

    /// Gives a lease another term: more time, or less; with none the message is given out again at once.
    ///
    /// # Errors
    /// As [`Hub::settle`]; and the message is settled.
    pub fn renew(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
        offset: u64,
        attempt: Option<u16>,
        term: LeaseTerm,
    ) -> Result<(), HubError> {
        let seat = self.seat_of(group, topic, queue)?;
        let now_ms = self.now_ms();
        seat.ledger
            .lock()
            .renew(offset, attempt, term.from(now_ms), now_ms)
            .map_err(HubError::Lease)?;
        self.0.changed(&seat);
        self.0.leases.wake(group.id, topic.id);
        Ok(())
    }

    /// Says where a group without a position begins in a queue; one that has a position goes on where it is.
    ///
    /// # Errors
    /// Group, topic or queue do not exist (any more), or too many queues are consumed by lease.
    pub fn begin_at(
        &self,
        group: &Group,
        topic: &Topic,
        queue: u32,
        offset: u64,
    ) -> Result<(), HubError> {
        self.0
            .seat(group, topic, topic.queue(queue)?, || Ok(offset))?;
        Ok(())
    }

    /// Ends every lease an owner has of a group's messages; they are given out again first. Returns how many there were.
    pub fn drop_owner(&self, group: &Group, owner: OwnerId) -> usize {
        let now_ms = self.now_ms();
        let mut dropped = 0;
        for seat in self.0.leases.all_of(group.id) {
            let held = seat.ledger.lock().drop_owner(owner, now_ms);
            if held > 0 {
                dropped += held;
                self.0.changed(&seat);
                self.0.leases.wake(group.id, split(seat.queue).0);
            }
        }
        dropped
    }

    /// Messages of a queue that were given to the group and are not settled.
    ///
    /// # Errors
    /// The topic has no such queue.
    pub fn outstanding(&self, group: &Group, topic: &Topic, queue: u32) -> Result<usize, HubError> {
        let key = (group.id, topic.queue(queue)?);
        let seat = self.0.leases.find(key);
        Ok(seat.map_or(0, |seat| seat.ledger.lock().outstanding()))
    }

    /// The seat of a lease somebody claims to have: after a restart it may have to be loaded.
    fn seat_of(&self, group: &Group, topic: &Topic, queue: u32) -> Result<Arc<Seat>, HubError> {
        let queue = topic.queue(queue)?;
        self.0.seat(group, topic, queue, || {
            Err(HubError::Lease(LeaseError::Unknown))
        })
    }
}
