//! The storage engine: one commit log, many views. It knows queues, records, timers and tables, and no protocol.
#![warn(missing_docs)]

pub mod change;
pub mod io;
pub mod kv;
pub mod log;
pub mod record;
pub mod types;
pub mod view;
