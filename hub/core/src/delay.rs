//! Delay levels: the table that turns a small number into a waiting time.

use std::str::FromStr;

/// Most levels a table may have.
const LEVELS_MAX: usize = 64;
/// Longest delay of a level: ten years.
const DELAY_MAX_MS: i64 = 10 * 365 * 86_400_000;
const DEFAULT: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/// Delay levels, numbered from 1. Written as `"1s 5s 1m 2h 1d"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels(Box<[i64]>);

/// Why a delay level table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a delay level: a number above zero and one of s, m, h, d, at most 64 levels")]
pub struct DelayError(String);

impl DelayLevels {
    /// The levels with these delays, the first being level 1.
    #[must_use]
    pub fn of(delays: &[std::time::Duration]) -> Self {
        Self(
            delays
                .iter()
                .map(|delay| delay.as_millis() as i64)
                .collect(),
        )
    }

    /// Number of the last level.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.0.len() as u32
    }

    /// Delay of a level in milliseconds; a level beyond the last counts as the last, none below 1 is one.
    #[must_use]
    pub fn delay_ms(&self, level: i32) -> Option<i64> {
        let index = usize::try_from(level).ok()?.checked_sub(1)?;
        self.0.get(index).or(self.0.last()).copied()
    }

    /// When a message of this level is due, counted from `now_ms`.
    #[must_use]
    pub fn due_ms(&self, level: i32, now_ms: i64) -> Option<i64> {
        self.delay_ms(level)
            .map(|delay| now_ms.saturating_add(delay))
    }
}

impl Default for DelayLevels {
    fn default() -> Self {
        DEFAULT.parse().unwrap_or(Self(Box::new([])))
    }
}

impl FromStr for DelayLevels {
    type Err = DelayError;

    fn from_str(text: &str) -> Result<Self, DelayError> {
        let mut levels = Vec::new();
        for word in text.split_ascii_whitespace() {
            let wrong = || DelayError(word.chars().take(32).collect());
            let unit_at = word.len().checked_sub(1).ok_or_else(wrong)?;
            let unit_ms = match word.get(unit_at..) {
                Some("s") => 1_000,
                Some("m") => 60_000,
                Some("h") => 3_600_000,
                Some("d") => 86_400_000,
                _ => return Err(wrong()),
            };
            let number: i64 = word[..unit_at].parse().map_err(|_| wrong())?;
            let delay = number.checked_mul(unit_ms).ok_or_else(wrong)?;
            if !(1..=DELAY_MAX_MS).contains(&delay) || levels.len() == LEVELS_MAX {
                return Err(wrong());
            }
            levels.push(delay);
        }
        if levels.is_empty() {
            return Err(DelayError(String::new()));
        }
        Ok(Self(levels.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_table_has_the_eighteen_known_levels() {
        let levels = DelayLevels::default();
        assert_eq!(levels.last(), 18);
        assert_eq!(levels.delay_ms(1), Some(1_000));
        assert_eq!(levels.delay_ms(3), Some(10_000));
        assert_eq!(levels.delay_ms(18), Some(7_200_000));
    }

    #[test]
    fn levels_are_clipped_at_the_last_and_absent_below_one() {
        let levels: DelayLevels = "1s 2m".parse().unwrap();
        assert_eq!(levels.delay_ms(99), Some(120_000));
        assert_eq!(levels.delay_ms(0), None);
        assert_eq!(levels.delay_ms(-1), None);
        assert_eq!(levels.due_ms(2, 5), Some(120_005));
    }

    #[test]
    fn malformed_tables_are_refused() {
        for bad in [
            "",
            "s",
            "1",
            "1x",
            "-1s",
            "0s",
            "1s 99999999999999999999d",
            "1sä",
            "ä",
        ] {
            assert!(bad.parse::<DelayLevels>().is_err(), "{bad}");
        }
        assert!("1s ".repeat(65).parse::<DelayLevels>().is_err());
    }
}
