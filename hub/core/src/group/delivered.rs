//! How many messages of which topics a group was given in the last minute. Owned by the group: a few numbers per topic
//! it consumes now, under a lock that is held for an addition only.

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Group;
use crate::hub::Hub;
use crate::topic::Topic;

const SLOT_MS: i64 = 10_000;
/// Slots of a whole minute, and the one that is still filling.
const SLOTS: usize = 7;
/// Most topics of one group that are counted. Those that were quiet for a minute make room.
const TOPICS_MAX: usize = 1024;

/// Counts by topic number.
#[derive(Debug, Default)]
pub(crate) struct Delivered(Mutex<HashMap<u32, Window, foldhash::fast::RandomState>>);

/// Counts of the last slots, the newest first.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    counts: [u32; SLOTS],
    /// Number of the newest slot.
    turn: i64,
}

impl Window {
    /// Moves on to the slot of a time. A clock that was set back stays in the newest one.
    fn advance(&mut self, now_ms: i64) {
        let turn = now_ms.div_euclid(SLOT_MS);
        let passed = usize::try_from(turn.saturating_sub(self.turn)).unwrap_or(0);
        if passed == 0 {
            return;
        }
        self.counts.rotate_right(passed.min(SLOTS) % SLOTS);
        self.counts
            .iter_mut()
            .take(passed)
            .for_each(|count| *count = 0);
        self.turn = turn;
    }

    fn add(&mut self, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        if let Some(newest) = self.counts.first_mut() {
            *newest = newest.saturating_add(messages);
        }
    }

    fn sum(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }
}

impl Delivered {
    fn add(&self, topic: u32, messages: usize, now_ms: i64) {
        let mut windows = self.0.lock();
        if windows.len() >= TOPICS_MAX && !windows.contains_key(&topic) {
            windows.retain(|_, window| {
                window.advance(now_ms);
                window.sum() > 0
            });
            if windows.len() >= TOPICS_MAX {
                return;
            }
        }
        let window = windows.entry(topic).or_default();
        window.advance(now_ms);
        window.add(messages);
    }

    fn per_second(&self, topic: u32, now_ms: i64) -> f64 {
        let Some(mut window) = self.0.lock().get(&topic).copied() else {
            return 0.0;
        };
        window.advance(now_ms);
        let whole = (SLOTS as i64 - 1) * SLOT_MS;
        let ms = whole + now_ms.rem_euclid(SLOT_MS);
        window.sum() as f64 * 1000.0 / ms as f64
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
