//! Times and durations of the wire ↔ milliseconds. What is out of the wire's own range is no time.

use std::time::Duration;

/// Seconds of the years 1 to 9999, all a timestamp may say.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS_MAX: i32 = 999_999_999;
const NANOS_PER_MS: i32 = 1_000_000;

pub(crate) fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: time.subsec_nanos() as i32,
    }
}

/// A duration that is not negative; `None` for any other.
pub(crate) fn span(duration: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos).ok()?;
    (duration.nanos <= NANOS_MAX).then(|| Duration::new(seconds, nanos))
}

pub(crate) fn timestamp(ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: ms.rem_euclid(1000) as i32 * NANOS_PER_MS,
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(timestamp: &prost_types::Timestamp) -> Option<i64> {
    let is_known =
        SECONDS.contains(&timestamp.seconds) && (0..=NANOS_MAX).contains(&timestamp.nanos);
    is_known.then(|| timestamp.seconds * 1000 + i64::from(timestamp.nanos / NANOS_PER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_before_and_after_1970() {
        for ms in [0, 1, 999, 1_700_000_000_123, -1, -1_001] {
            assert_eq!(millis(&timestamp(ms)), Some(ms));
        }
    }

    #[test]
    fn what_the_wire_cannot_mean_is_no_time() {
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(millis(&prost_types::Timestamp { seconds, nanos }), None);
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, i32::MAX)] {
            assert_eq!(span(&prost_types::Duration { seconds, nanos }), None);
        }
        let long = prost_types::Duration {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert!(span(&long).is_some());
    }
}
