//! Prepared messages: stored, in no queue, until the one who prepared them decides. A decision is made once: whoever makes
//! it claims the message meanwhile. Those that stay undecided are asked about, by a task of the hub, through any connected
//! producer of the group that is to decide; what nobody decides in the end goes to a topic where operators find it.
//!
//! What was asked is in memory only: after a restart the asking begins anew.

mod check;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use crossdock_store::api::{AppendError, Message, Receipt};
use crossdock_store::change::Change;
use crossdock_store::record::UNDECIDED;
use crossdock_store::types::{Position, QueueId};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use smallvec::smallvec;

use crate::error::HubError;
use crate::hub::Hub;
use crate::topic::Topic;

use check::Asked;

/// Prepared messages listed at a time.
const PAGE: usize = 256;

/// Who decides about a prepared message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// The group of producers.
    pub group: Bytes,
    /// How long it is left alone before it is asked; as configured if absent.
    pub patience: Option<Duration>,
}

impl Decider {
    /// The bytes a record keeps: patience in milliseconds, little-endian, 0 for none of its own; then the group.
    pub(crate) fn encode(&self) -> Bytes {
        let patience = self.patience.map_or(0, |patience| {
            u32::try_from(patience.as_millis())
                .unwrap_or(u32::MAX)
                .max(1)
        });
        let mut out = BytesMut::with_capacity(4 + self.group.len());
        out.put_u32_le(patience);
        out.put_slice(&self.group);
        out.freeze()
    }

    fn decode(bytes: &[u8]) -> Option<(Arc<str>, Option<Duration>)> {
        let (patience, group) = bytes.split_first_chunk()?;
        let ms = u32::from_le_bytes(*patience);
        let patience = (ms > 0).then(|| Duration::from_millis(ms.into()));
        Some((std::str::from_utf8(group).ok()?.into(), patience))
    }
}

/// What is decided about a prepared message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Deliver it, with these flags of the protocol's.
    Commit {
        /// See [`crate::Publish::sys_flags`].
        sys_flags: u32,
    },
    /// Do not.
    Rollback,
}

/// A prepared message that nobody has decided about.
#[derive(Clone, Debug)]
pub struct Undecided {
    /// The message.
    pub message: Message,
    /// The topic it is for.
    pub topic: Arc<Topic>,
    /// The queue it is for.
    pub queue: u32,
    /// The group that is to decide.
    pub decider: Arc<str>,
    /// How long it is left alone, if not as configured.
    pub patience: Option<Duration>,
    /// How many times the group was asked since the hub started.
    pub asked: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Messages somebody is deciding about.
    claims: Mutex<HashSet<Position>>,
    asked: Mutex<HashMap<Position, Asked>>,
}

/// The right to decide about a message, until dropped.
struct Claim<'a> {
    transactions: &'a Transactions,
    position: Position,
}

impl Transactions {
    fn claim(&self, position: Position) -> Option<Claim<'_>> {
        let is_free = self.claims.lock().insert(position);
        is_free.then(|| Claim {
            transactions: self,
            position,
        })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.transactions.claims.lock().remove(&self.position);
    }
}

impl Hub {
    /// Decides about the message prepared at a position. A decision to deliver is answered with where the message stands.
    ///
    /// # Errors
    /// `NotPrepared` if there is no such message, another group is to decide, or it has been decided; or the store
    /// refuses.
    pub async fn decide(
        &self,
        position: Position,
        decider: &str,
        decision: Resolution,
    ) -> Result<Option<Receipt>, HubError> {
        let transactions = &self.0.transactions;
        let Some(_claim) = transactions.claim(position) else {
            return Err(HubError::NotPrepared);
        };
        let undecided = self.undecided_at(position).await?;
        if &*undecided.decider != decider {
            return Err(HubError::NotPrepared);
        }
        let receipt = match decision {
            Resolution::Commit { sys_flags } => {
                let queue = undecided.topic.queue(undecided.queue)?;
                Some(self.deliver(&undecided, queue, sys_flags).await?)
            }
            Resolution::Rollback => {
                let cancel = Change::Cancel { timer: position };
                let durability = self.durability_for(&undecided.topic);
                self.0.store.change(&[cancel], durability).await?;
                None
            }
        };
        transactions.asked.lock().remove(&position);
        Ok(receipt)
    }

    /// The undecided message at a position.
    ///
    /// # Errors
    /// `NotPrepared` if there is none.
    pub async fn undecided_at(&self, position: Position) -> Result<Undecided, HubError> {
        if !self.0.store.is_pending(position)? {
            return Err(HubError::NotPrepared);
        }
        let message = self.0.store.read_at(position).await?;
        self.undecided_of(message).ok_or(HubError::NotPrepared)
    }

    /// Undecided messages after a position, oldest first: a page of them, and where to go on.
    ///
    /// # Errors
    /// The store cannot read.
    pub async fn undecided(
        &self,
        after: Option<Position>,
    ) -> Result<(Vec<Undecided>, Option<Position>), HubError> {
        let page = self.0.store.undecided(after, PAGE)?;
        let next = page.get(PAGE - 1).map(|timer| timer.position);
        let mut found = Vec::with_capacity(page.len());
        for timer in page {
            let message = self.0.store.read_at(timer.position).await?;
            found.extend(self.undecided_of(message));
        }
        Ok((found, next))
    }

    fn undecided_of(&self, message: Message) -> Option<Undecided> {
        let record = &message.record;
        let is_prepared = record.is_scheduled() && record.due_ms() == Some(UNDECIDED);
        let (decider, patience) = Decider::decode(record.decider()?)?;
        let (topic, queue) = self.topic_of(record.target()?).filter(|_| is_prepared)?;
        let asked = self.0.transactions.asked.lock();
        let asked = asked.get(&record.position).map_or(0, |asked| asked.times);
        Some(Undecided {
            topic,
            queue,
            decider,
            patience,
            asked,
            message,
        })
    }

    /// Appends the record that delivers a prepared one to a queue. The caller has the claim.
    async fn deliver(
        &self,
        undecided: &Undecided,
        queue: QueueId,
        sys_flags: u32,
    ) -> Result<Receipt, HubError> {
        let durability = self.durability_for(&undecided.topic);
        for borrow in [true, false] {
            let mut draft = self.0.store.delivery(&undecided.message, queue, borrow);
            draft.sys_flags = sys_flags;
            let record = draft.prepare()?;
            match self.0.store.append(smallvec![record], durability).await {
                Err(AppendError::SourceTooOld) => {}
                outcome => return Ok(outcome?),
            }
        }
        Err(HubError::Internal("a copy borrows nothing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_decides_about_a_message() {
        let transactions = Transactions::default();
        let claim = transactions.claim(Position(8));
        assert!(claim.is_some());
        assert!(transactions.claim(Position(8)).is_none());
        assert!(transactions.claim(Position(16)).is_some());
        drop(claim);
        assert!(transactions.claim(Position(8)).is_some());
    }
}
