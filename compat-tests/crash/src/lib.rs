//! Crash tests: servers and stores are brought down at random instants, and an oracle of everything
//! they acknowledged judges what they come back with.
//!
//! [`processes`] kills the real server from outside and fills its disk.

#![forbid(unsafe_code)]

pub mod processes;
