//! How many messages of which topics a group was given in the last minute, hour and day. Owned by the group: a few
//! numbers per topic it consumes now, under a lock that is held for an addition only.

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Group;
use crate::hub::Hub;
use crate::topic::Topic;

/// Most topics of one group that are counted. Those that were quiet for a minute make room.
const TOPICS_MAX: usize = 1024;

/// A minute in slots of ten seconds, and the one that is still filling.
type Minute = Window<7, 10_000>;
/// An hour in slots of five minutes.
type Hour = Window<13, 300_000>;
/// A day in slots of an hour.
type Day = Window<25, 3_600_000>;

/// Counts by topic number.
#[derive(Debug, Default)]
pub(crate) struct Delivered(Mutex<HashMap<u32, Counts, foldhash::fast::RandomState>>);

/// Messages a group was given over the last minute, hour and day. Each is of the time it says and of the slot that is
/// still filling, so that it reaches a little further back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveredCounts {
    /// Over the last minute.
    pub minute: u64,
    /// Over the last hour.
    pub hour: u64,
    /// Over the last day, or since the process started.
    pub day: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    minute: Minute,
    hour: Hour,
    day: Day,
}

/// Counts of the last `N` slots of `SLOT_MS`, the newest first.
#[derive(Clone, Copy, Debug)]
struct Window<const N: usize, const SLOT_MS: i64> {
    counts: [u32; N],
    /// Number of the newest slot.
    turn: i64,
}

impl<const N: usize, const SLOT_MS: i64> Default for Window<N, SLOT_MS> {
    fn default() -> Self {
        Self {
            counts: [0; N],
            turn: 0,
        }
    }
}

impl<const N: usize, const SLOT_MS: i64> Window<N, SLOT_MS> {
    /// Moves on to the slot of a time. A clock that was set back stays in the newest one.
    fn advance(&mut self, now_ms: i64) {
        let turn = now_ms.div_euclid(SLOT_MS);
        let passed = usize::try_from(turn.saturating_sub(self.turn)).unwrap_or(0);
        if passed == 0 {
            return;
        }
        self.counts.rotate_right(passed.min(N) % N);
        self.counts
            .iter_mut()
            .take(passed)
            .for_each(|count| *count = 0);
        self.turn = turn;
    }

    fn add(&mut self, messages: usize, now_ms: i64) {
        self.advance(now_ms);
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        if let Some(newest) = self.counts.first_mut() {
            *newest = newest.saturating_add(messages);
        }
    }

    fn sum(&mut self, now_ms: i64) -> u64 {
        self.advance(now_ms);
        self.counts.iter().copied().map(u64::from).sum()
    }

    fn per_second(&mut self, now_ms: i64) -> f64 {
        let whole = (N as i64 - 1) * SLOT_MS;
        let ms = whole + now_ms.rem_euclid(SLOT_MS);
        self.sum(now_ms) as f64 * 1000.0 / ms as f64
    }
}

impl Delivered {
    fn add(&self, topic: u32, messages: usize, now_ms: i64) {
        let mut topics = self.0.lock();
        if topics.len() >= TOPICS_MAX && !topics.contains_key(&topic) {
            topics.retain(|_, counts| counts.minute.sum(now_ms) > 0);
            if topics.len() >= TOPICS_MAX {
                return;
            }
        }
        let counts = topics.entry(topic).or_default();
        counts.minute.add(messages, now_ms);
        counts.hour.add(messages, now_ms);
        counts.day.add(messages, now_ms);
    }

    fn of(&self, topic: u32) -> Option<Counts> {
        self.0.lock().get(&topic).copied()
    }

    fn per_second(&self, topic: u32, now_ms: i64) -> f64 {
        self.of(topic)
            .map_or(0.0, |mut counts| counts.minute.per_second(now_ms))
    }

    fn counts(&self, topic: u32, now_ms: i64) -> Option<DeliveredCounts> {
        let mut counts = self.of(topic)?;
        Some(DeliveredCounts {
            minute: counts.minute.sum(now_ms),
            hour: counts.hour.sum(now_ms),
            day: counts.day.sum(now_ms),
        })
    }
}

impl Hub {
    /// Counts messages of a topic that were handed to a member of the group.
    pub fn delivered(&self, group: &Group, topic: &Topic, messages: usize) {
        group.live.delivered.add(topic.id, messages, self.now_ms());
    }

    /// Messages per second of a topic that the group was given in the last minute.
    #[must_use]
    pub fn delivery_rate(&self, group: &Group, topic: &Topic) -> f64 {
        group.live.delivered.per_second(topic.id, self.now_ms())
    }

    /// Messages of a topic that the group was given lately; `None` if none were counted since the process started.
    #[must_use]
    pub fn delivered_counts(&self, group: &Group, topic: &Topic) -> Option<DeliveredCounts> {
        group.live.delivered.counts(topic.id, self.now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_minute() {
        let delivered = Delivered::default();
        for second in 0..60 {
            delivered.add(1, 10, second * 1000);
        }
        delivered.add(2, 6, 0);
        assert!((delivered.per_second(1, 60_000) - 10.0).abs() < 1e-9);
        assert!((delivered.per_second(2, 0) - 0.1).abs() < 1e-9);
        // The first half has left the window.
        assert!((delivered.per_second(1, 90_000) - 5.0).abs() < 1e-9);
        assert!(delivered.per_second(1, 120_000).abs() < 1e-9);
        assert!(delivered.per_second(3, 0).abs() < 1e-9);
    }

    #[test]
    fn hour_and_day_remember_what_the_minute_forgot() {
        let delivered = Delivered::default();
        delivered.add(1, 5, 0);
        delivered.add(1, 7, 2 * 3_600_000);
        let counts = delivered.counts(1, 2 * 3_600_000 + 120_000).unwrap();
        let expected = DeliveredCounts {
            minute: 0,
            hour: 7,
            day: 12,
        };
        assert_eq!(counts, expected);
        let later = delivered.counts(1, 26 * 3_600_000).unwrap();
        assert_eq!((later.hour, later.day), (0, 7));
        assert_eq!(delivered.counts(2, 0), None);
    }

    #[test]
    fn a_clock_set_back_loses_no_count() {
        let delivered = Delivered::default();
        delivered.add(1, 30, 100_000);
        delivered.add(1, 30, 20_000);
        assert!((delivered.per_second(1, 100_000) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn quiet_topics_make_room_for_new_ones() {
        let delivered = Delivered::default();
        let topics = TOPICS_MAX as u32;
        (0..topics).for_each(|topic| delivered.add(topic, 1, 0));
        delivered.add(topics, 60, 1000);
        assert!(delivered.per_second(topics, 1000).abs() < 1e-9);
        delivered.add(topics, 60, 70_000);
        assert!((delivered.per_second(topics, 70_000) - 1.0).abs() < 1e-9);
        assert_eq!(delivered.0.lock().len(), 1);
    }
}
