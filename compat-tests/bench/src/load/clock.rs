//! Time as the generator needs it: read once per batch of answers, not once per message.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Digits of a timestamp in milliseconds, until the year 2286.
pub(super) const MILLIS_DIGITS: usize = 13;

/// The moment of the current batch.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// Nanoseconds since `start`.
    now: u64,
    millis: u64,
    text: [u8; MILLIS_DIGITS],
}

impl Clock {
    pub(super) fn new(start: Instant) -> Self {
        let mut clock = Self {
            start,
            now: 0,
            millis: 0,
            text: [b'0'; MILLIS_DIGITS],
        };
        clock.tick();
        clock
    }

    /// Moves to the present.
    pub(super) fn tick(&mut self) {
        self.now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or_default();
        if millis != self.millis {
            self.millis = millis;
            decimal(millis, &mut self.text);
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Wall-clock milliseconds in decimal.
    pub(super) fn millis_text(&self) -> &[u8; MILLIS_DIGITS] {
        &self.text
    }
}

/// Writes `value` in decimal, with leading zeros, over all of `out`.
pub(super) fn decimal(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Writes `value` in hex, with leading zeros, over all of `out`.
pub(super) fn hex(mut value: u64, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value & 15) as usize];
        value >>= 4;
    }
}

/// CPU time this thread has used, in nanoseconds.
pub(super) fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_field() {
        let mut out = [0; 5];
        decimal(420, &mut out);
        assert_eq!(&out, b"00420");
        hex(0xbeef, &mut out);
        assert_eq!(&out, b"0beef");
    }

    #[test]
    fn a_tick_moves_on_and_the_text_is_the_wall_clock() {
        let mut clock = Clock::new(Instant::now());
        let first = clock.now();
        while clock.now() == first {
            clock.tick();
        }
        let text = std::str::from_utf8(clock.millis_text()).unwrap();
        assert_eq!(text.parse::<u64>().unwrap(), clock.millis);
        assert!(clock.millis > 1_700_000_000_000);
    }

    #[test]
    fn work_shows_in_the_thread_clock() {
        let start = thread_cpu();
        let mut sum = 0u64;
        while thread_cpu() - start < 1_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
