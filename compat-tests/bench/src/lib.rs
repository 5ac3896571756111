//! Benchmarks: a native load generator for the remoting protocol, and the comparisons that run a
//! server beside a real peer on the same machine with the same clients.
//!
//! Nothing here is a test. The generator is built to cost so little per message that the server is
//! the bottleneck; it reports its own CPU time so that a reader can tell.

#![forbid(unsafe_code)]

pub mod admin;
pub mod load;
pub mod peers;
