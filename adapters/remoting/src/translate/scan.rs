//! One pass over a property text: everything the broker needs to know of a message's properties,
//! borrowed from the text.

use std::time::Duration;

use crossdock_proto_remoting::record::properties::{Properties, name};

/// What the broker reads of a message's properties. Of properties with one name the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan<'a> {
    pub(crate) tags: Option<&'a str>,
    pub(crate) keys: Option<&'a str>,
    pub(crate) uniq_key: Option<&'a str>,
    pub(crate) retry_topic: Option<&'a str>,
    pub(crate) origin_id: Option<&'a str>,
    wait: Option<&'a str>,
    delay: Option<&'a str>,
    timer_delay_sec: Option<&'a str>,
    timer_delay_ms: Option<&'a str>,
    timer_deliver_ms: Option<&'a str>,
    transaction: Option<&'a str>,
    /// The group of producers that decides about a half message.
    pub(crate) producer_group: Option<&'a str>,
    immunity: Option<&'a str>,
    /// The text holds a property the broker writes itself.
    pub(crate) has_own: bool,
}

/// When a message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Now,
    /// By delay level.
    Level(i32),
    /// At a time of its own.
    At(i64),
    /// The request makes no sense.
    Refused(&'static str),
}

impl<'a> Scan<'a> {
    pub(crate) fn of(properties: Properties<'a>) -> Self {
        let mut scan = Self::default();
        for (key, value) in properties.iter() {
            match key {
                name::TAGS => scan.tags = Some(value),
                name::KEYS => scan.keys = Some(value),
                name::UNIQ_KEY => scan.uniq_key = Some(value),
                name::WAIT => scan.wait = Some(value),
                name::DELAY => scan.delay = Some(value),
                name::TIMER_DELAY_SEC => scan.timer_delay_sec = Some(value),
                name::TIMER_DELAY_MS => scan.timer_delay_ms = Some(value),
                name::TIMER_DELIVER_MS => scan.timer_deliver_ms = Some(value),
                name::TRAN_MSG => scan.transaction = Some(value),
                name::PGROUP => scan.producer_group = Some(value),
                name::CHECK_IMMUNITY_TIME_IN_SECONDS => scan.immunity = Some(value),
                name::RETRY_TOPIC => scan.retry_topic = Some(value),
                name::ORIGIN_MESSAGE_ID => scan.origin_id = Some(value),
                name::POP_CK
                | name::MSG_REGION
                | name::TRACE_ON
                | name::CLUSTER
                | name::REAL_TOPIC
                | name::REAL_QID
                | name::TIMER_OUT_MS => scan.has_own = true,
                _ => {}
            }
        }
        scan
    }

    /// Keys under which the message can be found, without the unique key.
    pub(crate) fn key_tokens(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.keys
            .unwrap_or_default()
            .split(' ')
            .filter(|key| !key.is_empty())
    }

    /// The producer does not want to wait for the disk.
    pub(crate) fn waives_sync(&self) -> bool {
        self.wait
            .is_some_and(|wait| wait.eq_ignore_ascii_case("false"))
    }

    /// The message is the half of a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.transaction
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// How long the producers of a half message want to be left alone.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let seconds = self.immunity?.parse::<u32>().ok()?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// The message asks to be delivered later by level.
    pub(crate) fn has_delay(&self) -> bool {
        self.delay.is_some()
    }

    /// The message asks for a time of its own.
    pub(crate) fn has_timer(&self) -> bool {
        self.timer_delay_sec.is_some()
            || self.timer_delay_ms.is_some()
            || self.timer_deliver_ms.is_some()
    }

    /// When to deliver. A delay level wins over every timer property.
    pub(crate) fn delivery(&self, now_ms: i64) -> Delivery {
        let level = self
            .delay
            .and_then(|text| text.parse::<i32>().ok())
            .unwrap_or(0);
        if level > 0 {
            return Delivery::Level(level);
        }
        let number = |text: &str| text.parse::<i64>().ok();
        let due = if let Some(text) = self.timer_delay_sec {
            number(text)
                .and_then(|s| s.checked_mul(1000))
                .map(|ms| now_ms.saturating_add(ms))
        } else if let Some(text) = self.timer_delay_ms {
            number(text).map(|ms| now_ms.saturating_add(ms))
        } else if let Some(text) = self.timer_deliver_ms {
            number(text)
        } else {
            return Delivery::Now;
        };
        match due {
            None => Delivery::Refused("the delivery time of the message is not a number"),
            Some(due) if due <= now_ms => Delivery::Now,
            Some(due) => Delivery::At(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Scan<'_> {
        Scan::of(Properties::new(text))
    }

    #[test]
    fn keys_are_split_and_the_last_of_repeated_names_counts() {
        let scan = scan("KEYS\u{1}a  b\u{2}TAGS\u{1}x\u{2}TAGS\u{1}y\u{2}");
        assert_eq!(scan.key_tokens().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(scan.tags, Some("y"));
        assert!(!scan.has_own && !scan.waives_sync() && !scan.is_transactional());
    }

    #[test]
    fn a_delay_level_wins_over_timers() {
        let both = scan("DELAY\u{1}3\u{2}TIMER_DELAY_SEC\u{1}9\u{2}");
        assert_eq!(both.delivery(1), Delivery::Level(3));
        assert_eq!(scan("DELAY\u{1}0\u{2}").delivery(1), Delivery::Now);
        assert_eq!(scan("DELAY\u{1}x\u{2}").delivery(1), Delivery::Now);
    }

    #[test]
    fn seconds_win_over_milliseconds_and_both_over_a_time() {
        let all = "TIMER_DELIVER_MS\u{1}50\u{2}TIMER_DELAY_MS\u{1}7\u{2}TIMER_DELAY_SEC\u{1}9\u{2}";
        assert_eq!(scan(all).delivery(1), Delivery::At(9_001));
        let two = "TIMER_DELIVER_MS\u{1}50\u{2}TIMER_DELAY_MS\u{1}7\u{2}";
        assert_eq!(scan(two).delivery(1), Delivery::At(8));
        assert!(scan(two).has_timer() && !scan("DELAY\u{1}3\u{2}").has_timer());
    }

    #[test]
    fn timers_are_relative_or_absolute_and_have_no_horizon() {
        assert_eq!(
            scan("TIMER_DELAY_SEC\u{1}9\u{2}").delivery(1),
            Delivery::At(9_001)
        );
        assert_eq!(
            scan("TIMER_DELAY_MS\u{1}9\u{2}").delivery(1),
            Delivery::At(10)
        );
        assert_eq!(
            scan("TIMER_DELIVER_MS\u{1}9\u{2}").delivery(1),
            Delivery::At(9)
        );
        assert_eq!(
            scan("TIMER_DELIVER_MS\u{1}9\u{2}").delivery(9),
            Delivery::Now
        );
        let years = 100 * 365 * 86_400i64;
        assert_eq!(
            scan(&format!("TIMER_DELAY_SEC\u{1}{years}\u{2}")).delivery(1),
            Delivery::At(years * 1000 + 1)
        );
        assert_eq!(
            scan("TIMER_DELAY_MS\u{1}-5\u{2}").delivery(1),
            Delivery::Now
        );
        for bad in [
            "TIMER_DELAY_SEC\u{1}nine\u{2}",
            "TIMER_DELIVER_MS\u{1}1.5\u{2}",
        ] {
            assert!(
                matches!(scan(bad).delivery(1), Delivery::Refused(_)),
                "{bad}"
            );
        }
        let overflow = format!("TIMER_DELAY_SEC\u{1}{}\u{2}", i64::MAX);
        assert!(matches!(scan(&overflow).delivery(1), Delivery::Refused(_)));
    }

    #[test]
    fn properties_of_the_broker_are_noticed() {
        for own in [
            "POP_CK",
            "MSG_REGION",
            "TRACE_ON",
            "CLUSTER",
            "REAL_TOPIC",
            "REAL_QID",
        ] {
            assert!(scan(&format!("{own}\u{1}x\u{2}")).has_own, "{own}");
        }
    }
}
