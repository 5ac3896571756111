//! The message record as stored and pulled, the batch element, property texts and message ids.
//! Parsing borrows from the input and checks every length; writing goes to the caller's buffer.

pub mod batch;
pub mod head;
pub mod id;
pub mod properties;
pub mod recall;
pub mod uniq_key;
pub mod view;

pub use batch::{BatchElement, BatchElements};
pub use head::{RecordHead, Sizes};
pub use id::{MessageId, MessageIdText};
pub use properties::{Properties, PropertyEdit};
pub use recall::RecallHandle;
pub use uniq_key::{UniqKey, UniqKeySource};
pub use view::{Record, Records};

/// First word after the length of a record with a one-byte topic length.
pub const MAGIC_V1: u32 = 0xdaa3_20a7;
/// The same for a two-byte topic length.
pub const MAGIC_V2: u32 = 0xdaa3_20ab;
/// Marks the unused end of a commit log file.
pub const MAGIC_BLANK: u32 = 0xcbd4_3194;

/// Bits of a message's sysFlag.
pub mod sys_flag {
    pub const COMPRESSED: i32 = 0x1;
    pub const MULTI_TAGS: i32 = 0x2;
    /// Both transaction bits: none, prepared, commit or rollback.
    pub const TRANSACTION_MASK: i32 = 0xc;
    pub const TRANSACTION_PREPARED: i32 = 0x4;
    pub const TRANSACTION_COMMIT: i32 = 0x8;
    pub const TRANSACTION_ROLLBACK: i32 = 0xc;
    pub const BORN_HOST_V6: i32 = 0x10;
    pub const STORE_HOST_V6: i32 = 0x20;
    pub const NEED_UNWRAP: i32 = 0x40;
    pub const INNER_BATCH: i32 = 0x80;
    pub const COMPRESSION_MASK: i32 = 0x700;
    pub const LZ4: i32 = 0x100;
    pub const ZSTD: i32 = 0x200;
    pub const ZLIB: i32 = 0x300;

    /// `flags` with its transaction bits replaced.
    pub fn with_transaction(flags: i32, transaction: i32) -> i32 {
        (flags & !TRANSACTION_MASK) | (transaction & TRANSACTION_MASK)
    }
}

/// The checksum of a record: CRC32 of the body without its top bit, 0 for an empty body.
pub fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7fff_ffff) as i32
}

#[cfg(test)]
mod tests;
