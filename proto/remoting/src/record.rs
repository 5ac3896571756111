//! The message record as stored and pulled, the batch element, property texts and message ids.
//! Parsing borrows from the input and checks every length; writing goes to the caller's buffer.

pub mod batch;
pub mod head;
pub mod id;
pub mod recall;
pub mod uniq_key;
pub mod view;

pub use crossdock_proto_rmq4::{Properties, PropertyEdit, body_crc, properties, sys_flag};

pub use batch::{BatchElement, BatchElements};
pub use head::{RecordHead, Sizes};
pub use id::{MessageId, MessageIdText};
pub use recall::RecallHandle;
pub use uniq_key::{UniqKey, UniqKeySource};
pub use view::{Record, Records};

/// First word after the length of a record with a one-byte topic length.
pub const MAGIC_V1: u32 = 0xdaa3_20a7;
/// The same for a two-byte topic length.
pub const MAGIC_V2: u32 = 0xdaa3_20ab;
/// Marks the unused end of a commit log file.
pub const MAGIC_BLANK: u32 = 0xcbd4_3194;

#[cfg(test)]
mod tests;
