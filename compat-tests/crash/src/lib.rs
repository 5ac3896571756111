//! Crash tests: servers and stores are brought down at random instants, and an oracle of everything
//! they acknowledged judges what they come back with.
//!
//! [`processes`] kills the real server from outside and fills its disk; [`sim`] runs the store on a simulated disk
//! through everything a disk can do.

#![forbid(unsafe_code)]

pub mod processes;
pub mod sim;
