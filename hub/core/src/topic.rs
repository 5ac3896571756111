//! Topics: what one is, how its queues are numbered in the store, and the table of all of them. The table is owned here;
//! definitions are immutable and shared, a change makes a new one with the same number.

mod attribute;
mod create;
mod delete;
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crossdock_store::store::Store;
use crossdock_store::types::{Durability, QueueId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use attribute::Attributes;
pub use attribute::{AttributeEdit, MessageType};
pub(crate) use delete::CHANGES_AT_ONCE;

use crate::changelog::{Changelog, Edits, Version};
use crate::config::HubConfig;
use crate::error::HubError;
use crate::hub::Hub;
use crate::ids::Ids;
use crate::name::TopicName;
use crate::registry::{Entry, Registry};
use crate::single_flight::Flights;
use crate::table;

/// Bits of a queue identity that hold the queue number; the rest is the topic's number.
const NUMBER_BITS: u32 = 20;
/// Most queues any configuration may allow a topic.
pub(crate) const QUEUES_MAX: u32 = 1 << NUMBER_BITS;

/// What may be done with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perm(pub u8);

impl Perm {
    /// Automatically created topics may inherit from this one.
    pub const INHERIT: Self = Self(1);
    /// May be published to.
    pub const WRITE: Self = Self(2);
    /// May be read.
    pub const READ: Self = Self(4);
    /// Reserved; carried along.
    pub const PRIORITY: Self = Self(8);
    /// Read and write.
    pub const READ_WRITE: Self = Self(6);

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These bits without the others.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True if every bit of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How many tags a message of the topic may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterKind {
    /// One.
    #[default]
    SingleTag,
    /// Several.
    MultiTag,
}

/// A topic as it is defined now. Take it anew for every request: a change of the definition makes a new one.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its number, never used again.
    pub id: u32,
    /// Queues that can be read.
    pub read_queues: u32,
    /// Queues that are published to.
    pub write_queues: u32,
    /// What may be done with it.
    pub perm: Perm,
    /// How many tags a message may have.
    pub filter: FilterKind,
    /// Whether clients treat the topic as globally ordered.
    pub is_order: bool,
    /// Opaque flags for clients.
    pub sys_flag: u32,
    /// What its messages are meant for.
    pub message_type: MessageType,
    /// What an acknowledgement promises, if not the hub's default.
    pub durability: Option<Durability>,
    attributes: Attributes,
    /// Most queues it ever had; what deleting it has to drop.
    queues_ever: u32,
    state: AtomicU8,
    cursor: AtomicU32,
}

const CURRENT: u8 = 0;
const REPLACED: u8 = 1;
const DELETED: u8 = 2;

impl Topic {
    /// Highest number of queues in either direction.
    #[must_use]
    pub fn queues(&self) -> u32 {
        self.read_queues.max(self.write_queues)
    }

    /// The store's identity of a queue.
    ///
    /// # Errors
    /// There is no queue of this number.
    pub fn queue(&self, number: u32) -> Result<QueueId, HubError> {
        if number >= self.queues() {
            return Err(HubError::NoQueue {
                topic: self.name.to_string(),
                queue: number,
                last: self.queues().saturating_sub(1),
            });
        }
        Ok(self.queue_id(number))
    }

    /// The store's identity of a queue that can be read.
    ///
    /// # Errors
    /// The topic may not be read, or there is no readable queue of this number.
    pub fn readable_queue(&self, number: u32) -> Result<QueueId, HubError> {
        if !self.perm.has(Perm::READ) {
            return Err(HubError::Denied(format!(
                "topic {} may not be read",
                self.name
            )));
        }
        if number >= self.read_queues {
            return Err(HubError::NoQueue {
                topic: self.name.to_string(),
                queue: number,
                last: self.read_queues.saturating_sub(1),
            });
        }
        Ok(self.queue_id(number))
    }

    fn queue_id(&self, number: u32) -> QueueId {
        QueueId(u64::from(self.id) << NUMBER_BITS | u64::from(number))
    }

    /// Every queue the topic ever had.
    pub(crate) fn every_queue(&self) -> impl Iterator<Item = QueueId> + '_ {
        (0..self.queues_ever).map(|number| self.queue_id(number))
    }

    /// The next queue in turn for a message that may go to any; `None` if nothing may be written.
    #[must_use]
    pub fn next_queue(&self) -> Option<u32> {
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        turn.checked_rem(self.write_queues)
    }

    /// Name and value of every attribute that was set.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.attributes.iter()
    }

    /// What its messages are meant for, if that was said; a topic of which nothing is said takes all kinds.
    #[must_use]
    pub fn declared_type(&self) -> Option<MessageType> {
        self.attributes.declared_type()
    }

    pub(crate) fn is_current(&self) -> bool {
        self.state.load(Ordering::Acquire) == CURRENT
    }

    fn retire(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    /// True once the topic was deleted: this handle stands for nothing any more.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.state.load(Ordering::Acquire) == DELETED
    }
}

/// The number of the topic a queue belongs to, and the queue's number in it.
pub(crate) fn split(queue: QueueId) -> (u32, u32) {
    let number = (queue.0 & u64::from(QUEUES_MAX - 1)) as u32;
    ((queue.0 >> NUMBER_BITS) as u32, number)
}

impl Entry for Topic {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn number(&self) -> u32 {
        self.id
    }
}

/// What a topic is to be.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: TopicName,
    /// Queues that can be read.
    pub read_queues: u32,
    /// Queues that are published to.
    pub write_queues: u32,
    /// What may be done with it.
    pub perm: Perm,
    /// How many tags a message may have.
    pub filter: FilterKind,
    /// Whether clients treat the topic as globally ordered.
    pub is_order: bool,
    /// Opaque flags for clients.
    pub sys_flag: u32,
    /// Attributes to set and remove.
    pub attributes: Vec<AttributeEdit>,
}

impl TopicSpec {
    /// A topic with as many read as write queues that may be read and written.
    #[must_use]
    pub fn new(name: TopicName, queues: u32) -> Self {
        Self {
            name,
            read_queues: queues,
            write_queues: queues,
            perm: Perm::READ_WRITE,
            filter: FilterKind::SingleTag,
            is_order: false,
            sys_flag: 0,
            attributes: Vec::new(),
        }
    }
}

/// A definition as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: u32,
    read: u32,
    write: u32,
    ever: u32,
    perm: Perm,
    filter: FilterKind,
    order: bool,
    flag: u32,
    attributes: Attributes,
}

impl Row {
    fn into_topic(self, name: TopicName) -> Topic {
        Topic {
            name,
            id: self.id,
            read_queues: self.read,
            write_queues: self.write,
            perm: self.perm,
            filter: self.filter,
            is_order: self.order,
            sys_flag: self.flag,
            message_type: self.attributes.message_type(),
            durability: self.attributes.durability(),
            queues_ever: self.ever.max(self.read).max(self.write).min(QUEUES_MAX),
            attributes: self.attributes,
            state: AtomicU8::new(CURRENT),
            // Topics start at different queues, so that many young topics do not all fill queue 0 first.
            cursor: AtomicU32::new(self.id),
        }
    }
}

/// The table of topics.
#[derive(Debug)]
pub(crate) struct Topics {
    table: Registry<Topic>,
    changes: Changelog<Topic>,
    flights: Flights,
    ids: Ids,
    /// Topics named after the cluster and the node; the hub's own.
    own: [Box<str>; 3],
}

impl Topics {
    pub(crate) fn load(store: &Store, config: &HubConfig) -> Result<Self, HubError> {
        let topics = Self {
            table: Registry::default(),
            changes: Changelog::new(store.now_ms()),
            flights: Flights::default(),
            ids: Ids::load(store, "topic")?,
            own: [
                config.cluster.as_str().into(),
                config.node.as_str().into(),
                config.reply_topic().into(),
            ],
        };
        for (key, value) in store.rows(table::TOPICS, b"") {
            let name = TopicName::parse(table::name(&key, "topic")?)?;
            let row: Row = table::read(&value, "topic")?;
            topics.table.put(Arc::new(row.into_topic(name)));
        }
        Ok(topics)
    }

    fn is_system(&self, name: &TopicName) -> bool {
        name.is_builtin() || self.own.iter().any(|own| **own == *name.as_str())
    }
}

impl Hub {
    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.0.topics.table.get(name)
    }

    /// The topic of this name, or the error that says there is none.
    ///
    /// # Errors
    /// There is none.
    pub fn require_topic(&self, name: &str) -> Result<Arc<Topic>, HubError> {
        self.topic(name)
            .ok_or_else(|| HubError::NoTopic(name.chars().take(255).collect()))
    }

    /// The topic a queue belongs to and the queue's number in it.
    #[must_use]
    pub fn topic_of(&self, queue: QueueId) -> Option<(Arc<Topic>, u32)> {
        let (id, number) = split(queue);
        Some((self.0.topics.table.by_number(id)?, number))
    }

    /// Every topic, in no order.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.0.topics.table.list()
    }

    /// Number of topics.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.0.topics.table.len()
    }

    /// True for a topic that belongs to the hub and is never changed or deleted on request.
    #[must_use]
    pub fn is_system_topic(&self, name: &TopicName) -> bool {
        self.0.topics.is_system(name)
    }

    /// Version of the table of topics.
    #[must_use]
    pub fn topics_version(&self) -> Version {
        self.0.topics.changes.version()
    }

    /// Wakes on every change of the table of topics.
    #[must_use]
    pub fn watch_topics(&self) -> watch::Receiver<Version> {
        self.0.topics.changes.watch()
    }

    /// What changed in the table of topics after the version with this counter, and the version that leads to.
    #[must_use]
    pub fn topics_since(&self, counter: u64) -> (Version, Edits<Topic>) {
        self.0.topics.changes.since(counter)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn topic(id: u32, queues: u32) -> Topic {
        let row = Row {
            id,
            read: queues,
            write: queues,
            ever: queues,
            perm: Perm::READ_WRITE,
            filter: FilterKind::SingleTag,
            order: false,
            flag: 0,
            attributes: Attributes::default(),
        };
        row.into_topic(TopicName::parse("T").unwrap())
    }

    #[test]
    fn queues_of_different_topics_never_share_an_identity() {
        let (one, two) = (topic(1, 8), topic(2, 8));
        assert_eq!(one.queue(0).unwrap(), QueueId(1 << 20));
        assert_eq!(two.queue(7).unwrap(), QueueId(2 << 20 | 7));
        assert_eq!(split(two.queue(7).unwrap()), (2, 7));
        assert_eq!(split(topic(u32::MAX, 1).queue(0).unwrap()), (u32::MAX, 0));
    }

    #[test]
    fn a_queue_beyond_both_counts_does_not_exist() {
        let mut topic = topic(1, 4);
        topic.read_queues = 8;
        assert!(topic.queue(7).is_ok());
        assert!(matches!(
            topic.queue(8),
            Err(HubError::NoQueue { last: 7, .. })
        ));
    }

    #[test]
    fn any_queue_takes_turns_over_the_write_queues_only() {
        let mut topic = topic(1, 8);
        topic.write_queues = 3;
        let mut taken: Vec<u32> = (0..6).filter_map(|_| topic.next_queue()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 0, 1, 1, 2, 2]);
        topic.write_queues = 0;
        assert_eq!(topic.next_queue(), None);
    }

    #[test]
    fn a_topic_takes_less_than_300_bytes() {
        // The pointer twice in tables that are at least 7/16 full, a control byte each, the counts of the pointer and of the name.
        let entry = (size_of::<usize>() + 1) * 2 * 16 / 7;
        let bytes = size_of::<Topic>() + 2 * 2 * size_of::<usize>() + entry + 40;
        assert!(bytes < 300, "{bytes}");
    }

    #[test]
    fn a_row_survives_its_round_trip() {
        let row = Row {
            id: 7,
            read: 4,
            write: 2,
            ever: 5,
            perm: Perm(7),
            filter: FilterKind::MultiTag,
            order: true,
            flag: 0,
            attributes: Attributes::default(),
        };
        let row = serde_json::to_vec(&row).unwrap();
        let name = TopicName::parse("T").unwrap();
        let after = serde_json::from_slice::<Row>(&row)
            .unwrap()
            .into_topic(name);
        assert_eq!(
            (
                after.id,
                after.read_queues,
                after.write_queues,
                after.perm,
                after.is_order
            ),
            (7, 4, 2, Perm(7), true)
        );
        assert_eq!(after.every_queue().count(), 5);
    }
}
