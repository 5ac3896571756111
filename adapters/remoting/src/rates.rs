//! Rates of the last seconds and minutes, and totals at the beginning of days, from samples of the
//! counters. Owns a ring of samples that covers ten minutes, and the totals of two mornings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::Hub;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::stats::Stats;

/// Time between two samples; the shortest window.
const PERIOD: Duration = Duration::from_secs(10);
const DAY_MS: i64 = 86_400_000;
/// The windows tools expect, in samples.
const WINDOWS: [usize; 3] = [1, 6, 60];

/// What is rated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rated {
    /// Messages stored.
    In,
    /// Messages handed out.
    Out,
    /// Pulls answered with messages.
    PullsFound,
    /// Pulls.
    Pulls,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    counts: [u64; 4],
}

/// Messages stored and handed out until a day began. Days are those of UTC; before the first one
/// that the adapter saw begin, there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mornings {
    day: i64,
    pub(crate) today: [u64; 2],
    pub(crate) yesterday: [u64; 2],
}

impl Mornings {
    fn turn(&mut self, now_ms: i64, totals: [u64; 2]) {
        let day = now_ms.div_euclid(DAY_MS);
        if self.day == 0 || day <= self.day {
            self.day = self.day.max(day);
            return;
        }
        // Of days without a sample nothing is known but that they are over.
        self.yesterday = if day == self.day + 1 {
            self.today
        } else {
            totals
        };
        self.today = totals;
        self.day = day;
    }
}

/// The samples.
#[derive(Debug)]
pub(crate) struct Rates {
    stats: Arc<Stats>,
    samples: Mutex<VecDeque<Sample>>,
    mornings: Mutex<Mornings>,
}

impl Rates {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        let rates = Self {
            stats,
            samples: Mutex::default(),
            mornings: Mutex::default(),
        };
        rates.sample();
        rates
    }

    /// Takes samples until the token is cancelled.
    pub(crate) async fn run(self: Arc<Self>, hub: Hub, stop: CancellationToken) {
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        self.mornings(hub.now_ms());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {
                    self.sample();
                    self.mornings(hub.now_ms());
                }
            }
        }
    }

    fn now(&self) -> Sample {
        Sample {
            at: Instant::now(),
            counts: self.stats.rated(),
        }
    }

    fn sample(&self) {
        let sample = self.now();
        let mut samples = self.samples.lock();
        if samples.len() > WINDOWS[2] {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The totals of this and the last morning.
    pub(crate) fn mornings(&self, now_ms: i64) -> Mornings {
        let [stored, handed_out, ..] = self.stats.rated();
        let mut mornings = self.mornings.lock();
        mornings.turn(now_ms, [stored, handed_out]);
        *mornings
    }

    /// Events per second over ten seconds, one minute and ten minutes, separated by spaces. A
    /// window the adapter has not lived through is as long as it lives.
    pub(crate) fn text(&self, rated: Rated) -> String {
        let now = self.now();
        let samples = self.samples.lock();
        let rate = |window: usize| {
            let index = samples.len().saturating_sub(window);
            let Some(then) = samples.get(index).or(samples.back()) else {
                return 0.0;
            };
            let seconds = now.at.duration_since(then.at).as_secs_f64();
            let count = |sample: &Sample| sample.counts.get(rated as usize).copied().unwrap_or(0);
            let events = count(&now).saturating_sub(count(then));
            if seconds > 0.0 {
                events as f64 / seconds
            } else {
                0.0
            }
        };
        let [ten_seconds, minute, ten_minutes] = WINDOWS.map(rate);
        format!("{ten_seconds:.3} {minute:.3} {ten_minutes:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mornings_remember_the_totals_they_began_with() {
        let mut mornings = Mornings::default();
        mornings.turn(10 * DAY_MS + 5, [7, 1]);
        assert_eq!((mornings.today, mornings.yesterday), ([0, 0], [0, 0]));
        mornings.turn(11 * DAY_MS, [20, 2]);
        mornings.turn(11 * DAY_MS + 9, [30, 3]);
        assert_eq!((mornings.today, mornings.yesterday), ([20, 2], [0, 0]));
        mornings.turn(12 * DAY_MS, [50, 5]);
        assert_eq!((mornings.today, mornings.yesterday), ([50, 5], [20, 2]));
        // A clock that is set back changes nothing; a gap leaves yesterday empty.
        mornings.turn(11 * DAY_MS, [60, 6]);
        assert_eq!(mornings.today, [50, 5]);
        mornings.turn(20 * DAY_MS, [70, 7]);
        assert_eq!((mornings.today, mornings.yesterday), ([70, 7], [70, 7]));
    }

    #[tokio::test(start_paused = true)]
    async fn windows_reach_back_as_far_as_they_say() {
        let stats = Arc::new(Stats::new([]));
        let rates = Rates::new(Arc::clone(&stats));
        for _ in 0..61 {
            Stats::add(&stats.messages_in, 10);
            tokio::time::advance(PERIOD).await;
            rates.sample();
        }
        Stats::add(&stats.messages_in, 600);
        tokio::time::advance(PERIOD).await;
        // 600 in the last period, 10 in each of those before.
        assert_eq!(rates.text(Rated::In), "60.000 10.833 1.983");
        assert_eq!(rates.text(Rated::Out), "0.000 0.000 0.000");
    }
}
