//! The RocketMQ remoting wire format: bytes in, values out. Frames and their two header
//! encodings, request and response codes, typed headers, the message record and the JSON bodies.
//! The crate owns no state, opens no socket and reads no clock; callers pass time in.

pub mod body;
pub mod code;
mod command;
mod error;
mod ext;
pub mod frame;
pub mod header;
pub mod java;
pub mod record;
pub mod sign;

pub use command::{Command, Encoding, Language, PROTOCOL_VERSION};
pub use error::{BodyError, EncodeError, FrameError, HeaderError, RecordError};
pub use ext::{ExtBuilder, ExtFields, MAX_EXT_FIELDS};
pub use frame::{DEFAULT_MAX_FRAME, FrameDecoder};
