//! What can go wrong while reading or writing wire data, one enum per layer so that a caller
//! can only meet failures its own operation can produce.

use thiserror::Error;

pub use crossdock_proto_rmq4::RecordError;

/// A frame that cannot be decoded. The connection it came from is out of step and must close.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("frame of {len} bytes exceeds the limit of {max}")]
    TooLong { len: u64, max: usize },
    #[error("announced frame length {0} cannot hold a header")]
    TooShort(i32),
    #[error("header of {header} bytes exceeds the {available} bytes of its frame")]
    HeaderOverrun { header: usize, available: usize },
    #[error("unknown header encoding {0}")]
    UnknownEncoding(u8),
    #[error("header is not JSON: {reason} at byte {at}")]
    Json { reason: &'static str, at: usize },
    #[error("binary header is malformed: {0}")]
    Binary(&'static str),
    #[error("header text is not UTF-8")]
    Utf8,
    #[error("more than {0} extension fields")]
    TooManyFields(usize),
}

/// A command that does not fit the wire format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("header exceeds the 24-bit length of the frame format")]
    HeaderTooLong,
    #[error("extension field name of {0} bytes exceeds the binary encoding's 32767")]
    NameTooLong(usize),
    #[error("body of {0} bytes exceeds the frame format")]
    BodyTooLong(usize),
}

/// An extension field that is absent or does not hold what its type demands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    #[error("header field {0} is missing")]
    Missing(&'static str),
    #[error("header field {0} is malformed")]
    Malformed(&'static str),
}

impl HeaderError {
    /// The wire name of the offending field.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing(name) | Self::Malformed(name) => name,
        }
    }
}

/// A body that is not the document its request calls for.
#[derive(Debug, Error)]
pub enum BodyError {
    #[error("body is not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("body is not JSON in any accepted dialect: {reason} at byte {at}")]
    Dialect { reason: &'static str, at: usize },
    #[error("registration body is malformed: {0}")]
    Registration(&'static str),
}
