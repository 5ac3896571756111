//! The real server under load, killed at random instants, with the oracle outside of it: producers
//! and a consumer in this process remember every answer they got, and after each restart every
//! queue is read from its smallest to its largest offset and compared.
//!
//! [`run`] is the kill loop, [`full_disk`] the disk without room.

mod actors;
mod client;
mod consumer;
pub mod full_disk;
mod message;
mod oracle;
mod producer;
mod reader;
mod report;
mod rounds;
pub mod subject;

pub use actors::Shape;
pub use report::{Report, Violations};
pub use rounds::{Options, run};
