//! Starts the servers that the compatibility tests talk to, on free ports with a throw-away data folder: the real
//! `crossdock` binary, and a real Apache RocketMQ name server, broker and Proxy from Maven artifacts.
//!
//! Everything started here is owned by a value; dropping the value ends the process, and a watchdog ends it when the
//! test process itself dies. What a server prints is kept in files and shown when something goes wrong.

#![forbid(unsafe_code)]

pub mod apache;
pub mod binary;
pub mod cache;
pub mod command;
pub mod crossdock;
pub mod java;
pub mod ports;
pub mod process;
pub mod procfs;
pub mod remoting;
pub mod toolchain;
pub mod workspace;

pub use apache::{Broker, BrokerOptions, Flush, NameServer, Proxy, ProxyOptions};
pub use crossdock::{Crossdock, Options};
pub use process::{Line, Managed};
