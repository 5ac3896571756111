//! The load generator: what to do ([`Produce`], [`Consume`]), what came of it ([`Outcome`]), and
//! the two entry points. One OS thread drives all its connections with `epoll`; each answer is met
//! with the next request, so the number of requests in flight is constant.

mod answer;
pub mod check;
mod clock;
mod connection;
mod consume;
mod drive;
mod outcome;
mod produce;
mod send_template;
mod sink;

use std::net::SocketAddr;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};

pub use consume::{Consume, Received};
pub use outcome::{Latency, Outcome};
pub use produce::{Produce, Sent};
pub use sink::{Rule, Sink};

/// When a run warms up, measures and ends.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Load without recording, until compilers, caches and buffers have settled.
    pub warm_up: Duration,
    pub measure: Duration,
}

/// What a run tells while it goes on, so that the caller can look at the server at these moments.
pub trait Observer: Send + Sync {
    /// Recording begins.
    fn measuring(&self) {}
    /// Recording is over; answers still outstanding are awaited.
    fn measured(&self) {}
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Where the load goes.
#[derive(Debug, Clone)]
pub struct Target {
    pub broker: SocketAddr,
    pub topic: String,
    /// Queues of the topic, used in turn.
    pub queues: u32,
}

/// The result of a load thread; a panic in it becomes an error.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => bail!("a load thread panicked"),
    }
}
