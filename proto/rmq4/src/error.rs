//! What can be wrong with a message record or one of its parts.

use thiserror::Error;

/// A message record, batch element, property text or message id that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("{0} is cut short")]
    Truncated(&'static str),
    #[error("length {len} of {what} is impossible")]
    BadLength { what: &'static str, len: i64 },
    #[error("unknown record magic {0:#010x}")]
    BadMagic(u32),
    #[error("port {0} is out of range")]
    BadPort(i32),
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    #[error("{what} of {len} bytes exceeds {max}")]
    TooLong {
        what: &'static str,
        len: usize,
        max: usize,
    },
    #[error("property {0:?} has a separator in its name or value, or no name")]
    BadProperty(String),
    #[error("not a message id")]
    BadMessageId,
    #[error("not a recall handle")]
    BadRecallHandle,
}
