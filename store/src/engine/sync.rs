//! When the syncing thread works: a while after something was merely written, or at once when that is much.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

#[derive(Debug, Default)]
struct State {
    /// Something is written that is not durable.
    armed: bool,
    /// It is much.
    urgent: bool,
    closed: bool,
}

/// Wakes and ends the syncing thread.
#[derive(Debug)]
pub(crate) struct SyncBell {
    state: Mutex<State>,
    rung: Condvar,
    interval: Duration,
}

impl SyncBell {
    /// A bell for a thread that lets written bytes wait for `interval`.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            state: Mutex::default(),
            rung: Condvar::new(),
            interval,
        }
    }

    /// Tells that something is written that is not durable, and whether it is too much to wait.
    pub(crate) fn ring(&self, urgent: bool) {
        let mut state = self.state.lock();
        let is_news = !state.armed || (urgent && !state.urgent);
        state.armed = true;
        state.urgent |= urgent;
        drop(state);
        if is_news {
            self.rung.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.rung.notify_one();
    }

    /// Waits until it is time to sync. False once closed.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.armed && !state.closed {
            self.rung.wait(&mut state);
        }
        let due = Instant::now() + self.interval;
        while !state.urgent && !state.closed {
            if self.rung.wait_until(&mut state, due).timed_out() {
                break;
            }
        }
        state.armed = false;
        state.urgent = false;
        !state.closed
    }
}
