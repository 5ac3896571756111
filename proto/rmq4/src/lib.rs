//! The native message flavour of RocketMQ, as every door that speaks a RocketMQ protocol stores and reads it: the tail of
//! a record (body, topic, property text), the names of properties, the flag bits and the producer's address. Bytes in,
//! values out; no state, no socket.
#![forbid(unsafe_code)]

mod error;
pub mod host;
pub mod name;
pub mod properties;
pub mod tail;

pub use error::RecordError;
pub use properties::{Properties, PropertyEdit};

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
