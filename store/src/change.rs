//! State changes: what a system record's tail is made of.
//!
//! One system record packs many changes. Each is a kind byte and its fields, little-endian; byte strings carry a
//! four-byte length.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::smallvec;

use crate::record::{Draft, DraftError, Prepared};
use crate::types::{Flavour, GroupId, Position, QueueId, TableId};

/// Longest key of a table row.
pub const KEY_MAX: usize = 4096;
/// Longest value of a table row.
pub const VALUE_MAX: usize = 4 * 1024 * 1024;

/// One change of the store's small state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a row of a table.
    Put {
        /// The table.
        table: TableId,
        /// Key of the row.
        key: Bytes,
        /// New value.
        value: Bytes,
    },
    /// Removes a row of a table.
    Delete {
        /// The table.
        table: TableId,
        /// Key of the row.
        key: Bytes,
    },
    /// Moves a group's position in a queue.
    Commit {
        /// The group.
        group: GroupId,
        /// The queue.
        queue: QueueId,
        /// First offset the group has not consumed.
        offset: u64,
    },
    /// Forgets a group's position in a queue.
    Forget {
        /// The group.
        group: GroupId,
        /// The queue.
        queue: QueueId,
    },
    /// Cancels the timer of a scheduled record.
    Cancel {
        /// Position of the scheduled record.
        timer: Position,
    },
    /// Drops every entry of a queue below an offset.
    Trim {
        /// The queue.
        queue: QueueId,
        /// First offset kept.
        before: u64,
    },
    /// Retires a queue for good.
    Drop {
        /// The queue.
        queue: QueueId,
    },
}

/// A tail that is not a list of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state changes are malformed")]
pub struct ChangeError;

impl Change {
    fn encode(&self, out: &mut BytesMut) {
        let mut row = |kind: u8, table: TableId, key: &Bytes| {
            out.put_u8(kind);
            out.put_u16_le(table.0);
            out.put_u32_le(key.len() as u32);
            out.put_slice(key);
        };
        match self {
            Self::Put { table, key, value } => {
                row(1, *table, key);
                out.put_u32_le(value.len() as u32);
                out.put_slice(value);
            }
            Self::Delete { table, key } => row(2, *table, key),
            Self::Commit {
                group,
                queue,
                offset,
            } => {
                out.put_u8(3);
                out.put_u32_le(group.0);
                out.put_u64_le(queue.0);
                out.put_u64_le(*offset);
            }
            Self::Forget { group, queue } => {
                out.put_u8(4);
                out.put_u32_le(group.0);
                out.put_u64_le(queue.0);
            }
            Self::Cancel { timer } => {
                out.put_u8(5);
                out.put_u64_le(timer.0);
            }
            Self::Trim { queue, before } => {
                out.put_u8(6);
                out.put_u64_le(queue.0);
                out.put_u64_le(*before);
            }
            Self::Drop { queue } => {
                out.put_u8(7);
                out.put_u64_le(queue.0);
            }
        }
    }
}

/// Packs changes into the draft of one system record.
#[must_use]
pub fn draft(changes: &[Change]) -> Draft {
    let mut tail = BytesMut::new();
    for change in changes {
        change.encode(&mut tail);
    }
    Draft::new(QueueId::NONE, Flavour::System, smallvec![tail.freeze()])
}

/// A record that cancels the timer of a scheduled record, and is left out of the log if that is not pending any more.
///
/// # Errors
/// None in practice: the record is small.
pub fn cancel(timer: Position) -> Result<Prepared, DraftError> {
    let record = draft(&[Change::Cancel { timer }]).prepare()?;
    Ok(record.if_pending(timer))
}

/// Reads the changes of a system record's tail, in order.
#[derive(Clone, Debug)]
pub struct Changes(Bytes);

impl Changes {
    /// The changes packed in `tail`.
    #[must_use]
    pub fn of(tail: Bytes) -> Self {
        Self(tail)
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes, ChangeError> {
        if self.0.len() < bytes {
            return Err(ChangeError);
        }
        Ok(self.0.split_to(bytes))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ChangeError> {
        let raw = self.take(N)?;
        raw.as_ref().try_into().map_err(|_| ChangeError)
    }

    fn u32(&mut self) -> Result<u32, ChangeError> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ChangeError> {
        self.number().map(u64::from_le_bytes)
    }

    fn string(&mut self, max: usize) -> Result<Bytes, ChangeError> {
        let length = self.u32()? as usize;
        if length > max {
            return Err(ChangeError);
        }
        self.take(length)
    }

    fn read(&mut self) -> Result<Change, ChangeError> {
        let [kind] = self.number::<1>()?;
        Ok(match kind {
            1 => Change::Put {
                table: TableId(u16::from_le_bytes(self.number()?)),
                key: self.string(KEY_MAX)?,
                value: self.string(VALUE_MAX)?,
            },
            2 => Change::Delete {
                table: TableId(u16::from_le_bytes(self.number()?)),
                key: self.string(KEY_MAX)?,
            },
            3 => Change::Commit {
                group: GroupId(self.u32()?),
                queue: QueueId(self.u64()?),
                offset: self.u64()?,
            },
            4 => Change::Forget {
                group: GroupId(self.u32()?),
                queue: QueueId(self.u64()?),
            },
            5 => Change::Cancel {
                timer: Position(self.u64()?),
            },
            6 => Change::Trim {
                queue: QueueId(self.u64()?),
                before: self.u64()?,
            },
            7 => Change::Drop {
                queue: QueueId(self.u64()?),
            },
            _ => return Err(ChangeError),
        })
    }
}

impl Iterator for Changes {
    type Item = Result<Change, ChangeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let change = self.read();
        if change.is_err() {
            self.0.clear();
        }
        Some(change)
    }
}
