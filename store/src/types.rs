//! Identifiers and small value types shared by every part of the store.

use std::fmt;

/// Identity of one ordered queue. Numbers are given out by the layer above and never reused; 0 means *no queue*.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct QueueId(pub u64);

impl QueueId {
    /// The absent queue: system records and records that wait for a timer carry it.
    pub const NONE: Self = Self(0);

    /// True for [`QueueId::NONE`].
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue:{:#x}", self.0)
    }
}

/// Identity of a consumer group inside the store. Given out by the layer above, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GroupId(pub u32);

/// Byte address in the log, counted over all segments since the log began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// The first byte of the log.
    pub const ZERO: Self = Self(0);

    /// The position `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Identity of a keyed table; the layer above names its tables by constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u16);

/// What an acknowledgement of an append promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// Handed to the operating system: survives the end of the process, not the loss of power.
    Written,
    /// Synced to the disk: survives the loss of power as well.
    #[default]
    Durable,
}

/// How the bytes of a record's tail are to be read. The store never parses a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Flavour {
    /// Packed state changes, see [`crate::change`].
    System = 0,
    /// Typed properties and body.
    Neutral = 1,
    /// A RocketMQ record from its body length to the end of its properties.
    Rmq4 = 2,
    /// A Kafka record batch, version 2.
    Kafka2 = 3,
    /// An MQTT publication.
    Mqtt = 4,
    /// An AMQP 0-9-1 message.
    Amqp091 = 5,
}

impl Flavour {
    /// The flavour with this number, if there is one.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::System,
            1 => Self::Neutral,
            2 => Self::Rmq4,
            3 => Self::Kafka2,
            4 => Self::Mqtt,
            5 => Self::Amqp091,
            _ => return None,
        })
    }
}
