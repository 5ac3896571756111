//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::io::Clock;

/// Wall clock and monotonic clock of a test. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct SimClock {
    wall_ms: Arc<AtomicI64>,
    monotonic_ms: Arc<AtomicU64>,
}

impl SimClock {
    /// A clock that shows `wall_ms`.
    #[must_use]
    pub fn at(wall_ms: i64) -> Self {
        let clock = Self::default();
        clock.set_wall(wall_ms);
        clock
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let ms = by.as_millis() as u64;
        self.wall_ms.fetch_add(ms as i64, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, forward or back, as an operator or a time service does.
    pub fn set_wall(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}
