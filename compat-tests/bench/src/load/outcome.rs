//! Counts and latencies of a run, per load thread while it goes on and merged at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Two digits keep the histogram in the first-level cache; percentiles are good to 1 %.
const DIGITS: u8 = 2;
const LATENCY_MIN_NS: u64 = 1_000;
const LATENCY_MAX_NS: u64 = 120_000_000_000;
/// Distinct answer codes counted apart.
const CODES_MAX: usize = 64;

/// What one load thread counts. Outside the measured window only errors are.
#[derive(Debug)]
pub(super) struct Stats {
    recording: bool,
    from: u64,
    to: u64,
    cpu: u64,
    messages: u64,
    bytes: u64,
    requests: u64,
    errors: BTreeMap<i32, u64>,
    latency: Histogram<u64>,
    pub(super) unanswered: bool,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            recording: false,
            from: 0,
            to: 0,
            cpu: 0,
            messages: 0,
            bytes: 0,
            requests: 0,
            errors: BTreeMap::new(),
            latency: histogram(),
            unanswered: false,
        }
    }
}

impl Stats {
    pub(super) fn start(&mut self, now: u64) {
        self.recording = true;
        self.from = now;
    }

    pub(super) fn stop(&mut self, now: u64, cpu: u64) {
        self.recording = false;
        self.to = now;
        self.cpu = cpu;
    }

    /// One good answer that stands for `messages` messages.
    pub(super) fn answered(&mut self, messages: u64, bytes: u64, latency_ns: u64) {
        if self.recording {
            self.messages += messages;
            self.bytes += bytes;
            self.requests += 1;
            self.latency
                .saturating_record(latency_ns.max(LATENCY_MIN_NS));
        }
    }

    pub(super) fn failed(&mut self, code: i32) {
        if self.errors.len() < CODES_MAX || self.errors.contains_key(&code) {
            *self.errors.entry(code).or_default() += 1;
        }
    }
}

/// What came of a run, over all its threads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub elapsed: Duration,
    pub messages: u64,
    /// Body bytes of messages sent, or record bytes of messages received.
    pub bytes: u64,
    pub requests: u64,
    /// Answers other than success by their code, warm-up included.
    pub errors: BTreeMap<i32, u64>,
    /// Some requests never got an answer.
    pub unanswered: bool,
    /// CPU time of the generator itself.
    pub cpu: Duration,
    pub latency: Latency,
}

impl Outcome {
    pub(super) fn merge(all: impl IntoIterator<Item = Stats>) -> Self {
        let mut latency = histogram();
        let mut outcome = Self {
            elapsed: Duration::ZERO,
            messages: 0,
            bytes: 0,
            requests: 0,
            errors: BTreeMap::new(),
            unanswered: false,
            cpu: Duration::ZERO,
            latency: Latency::default(),
        };
        for stats in all {
            let elapsed = Duration::from_nanos(stats.to.saturating_sub(stats.from));
            outcome.elapsed = outcome.elapsed.max(elapsed);
            outcome.messages += stats.messages;
            outcome.bytes += stats.bytes;
            outcome.requests += stats.requests;
            outcome.unanswered |= stats.unanswered;
            outcome.cpu += Duration::from_nanos(stats.cpu);
            for (code, count) in stats.errors {
                *outcome.errors.entry(code).or_default() += count;
            }
            // Fails only for values out of range, which were brought into it when recorded.
            latency.add(stats.latency).unwrap_or_default();
        }
        outcome.latency = Latency::of(&latency);
        outcome
    }

    /// Messages per second.
    pub fn throughput(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// CPU time of the generator per message.
    pub fn cpu_per_message(&self) -> Duration {
        self.cpu
            .checked_div(u32::try_from(self.messages).unwrap_or(u32::MAX))
            .unwrap_or_default()
    }

    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} msg/s, {:.1} MB/s, {} messages in {:.2} s, {}, {} errors, generator {:.2} µs CPU/msg",
            self.throughput(),
            self.bytes as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON) / 1e6,
            self.messages,
            self.elapsed.as_secs_f64(),
            self.latency,
            self.error_count(),
            self.cpu_per_message().as_nanos() as f64 / 1e3,
        )?;
        if !self.errors.is_empty() {
            write!(f, " {:?}", self.errors)?;
        }
        if self.unanswered {
            write!(f, ", some requests unanswered")?;
        }
        Ok(())
    }
}

/// Time from request to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    pub mean: Duration,
    pub p50: Duration,
    pub p99: Duration,
    pub p999: Duration,
    pub max: Duration,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        Self {
            mean: Duration::from_nanos(histogram.mean() as u64),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(histogram.max()),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.3} p99 {:.3} p99.9 {:.3} max {:.3} ms",
            ms(self.p50),
            ms(self.p99),
            ms(self.p999),
            ms(self.max)
        )
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, DIGITS)
        .unwrap_or_else(|_| unreachable!("the bounds are constants that fit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_counts_and_threads_add_up() {
        let mut first = Stats::default();
        first.answered(1, 10, 1);
        first.failed(2);
        first.start(1_000_000_000);
        first.answered(2, 20, 5_000_000);
        first.stop(3_000_000_000, 4_000);
        first.answered(9, 90, 1);
        let mut second = Stats::default();
        second.start(0);
        second.answered(2, 20, 15_000_000);
        second.failed(2);
        second.stop(1_000_000_000, 4_000);
        let outcome = Outcome::merge([first, second]);
        assert_eq!(
            (outcome.messages, outcome.bytes, outcome.requests),
            (4, 40, 2)
        );
        assert_eq!(outcome.errors, BTreeMap::from([(2, 2)]));
        assert!((outcome.throughput() - 2.0).abs() < 1e-9);
        assert_eq!(outcome.cpu_per_message(), Duration::from_nanos(2_000));
        let max = outcome.latency.max.as_secs_f64();
        assert!((0.0149..0.0152).contains(&max), "{max}");
    }
}
