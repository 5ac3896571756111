//! The idle clock of a connection: a deadline that moves with every request without touching the
//! runtime's timer. The timer fires once per period at most and then looks at the last touch.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Expires when nothing touched it for the whole period.
#[derive(Debug)]
pub struct Idle {
    period: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Idle {
    /// Starts now.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        let last = Instant::now();
        Self {
            period,
            last,
            timer: Box::pin(tokio::time::sleep(period)),
        }
    }

    /// The connection did something.
    pub fn touch(&mut self) {
        self.last = Instant::now();
    }

    /// Resolves when the connection has been idle for the period. May be dropped and called
    /// again, as in a `select!`.
    pub async fn expired(&mut self) {
        loop {
            self.timer.as_mut().await;
            let deadline = self.last + self.period;
            if Instant::now() >= deadline {
                return;
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_touched_connection_lives_a_full_period_longer() {
        let period = Duration::from_millis(60);
        let begun = Instant::now();
        let mut idle = Idle::new(period);
        tokio::time::timeout(period / 2, idle.expired())
            .await
            .unwrap_err();
        idle.touch();
        idle.expired().await;
        assert!(begun.elapsed() >= period + period / 2);
    }
}
