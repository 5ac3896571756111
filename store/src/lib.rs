//! The storage engine: one commit log, many views. It knows queues, records, timers and tables, and no protocol.
//!
//! [`store::Store`] is the handle. Below it, in the order a message meets them: [`engine`] makes blocks of what is
//! appended, [`log`] puts them on the disk, [`view`] derives what readers need, [`read`](mod@read) brings messages back.
#![warn(missing_docs)]

pub mod api;
pub mod change;
mod cold;
pub mod engine;
pub mod error;
pub mod io;
pub mod kv;
pub mod lease;
pub mod log;
pub mod options;
pub mod read;
pub mod record;
pub mod recover;
pub mod store;
pub mod types;
pub mod view;
