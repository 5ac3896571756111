//! Handles of deliveries: the text a client gets with a popped message and shows again to settle it. Eight numbers and
//! words with single spaces between; everything the broker needs is in them, so they outlive it.
//!
//! The fourth is the number of a queue of the reference broker's own, which clients carry and never look at. Here it is
//! the number of the delivery; 0 stands for "not known", and then a late answer cannot be told from a current one.

use std::sync::Arc;

use crossdock_hub::{Group, Topic, TopicName};
use crossdock_proto_remoting::code::response;

use crate::broker::Broker;
use crate::error::Refusal;

/// Which topic a popped message lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The one that was popped.
    Topic,
    /// The group's retry topic.
    Retry,
}

impl Home {
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::Topic => "0",
            Self::Retry => "1",
        }
    }

    /// The reference broker names its retry topics in two ways; here there is one.
    pub(super) fn of_flag(flag: &str) -> Option<Self> {
        match flag {
            "0" => Some(Self::Topic),
            "1" | "2" => Some(Self::Retry),
            _ => None,
        }
    }

    /// The topic that is meant by the one a client names.
    pub(super) fn topic(
        self,
        door: &Broker,
        group: &Group,
        named: &str,
    ) -> Result<Arc<Topic>, Refusal> {
        let retry;
        let name = match self {
            Self::Topic => named,
            Self::Retry => {
                retry = TopicName::retry_of(&group.name);
                retry.as_str()
            }
        };
        door.hub.topic(name).ok_or_else(|| Refusal::no_topic(name))
    }
}

/// A delivery, as its handle tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handle<'a> {
    pub(super) pop_ms: i64,
    pub(super) invisible_ms: i64,
    /// Number of the delivery, or 0.
    pub(super) attempt: u16,
    pub(super) home: Home,
    pub(super) broker: &'a str,
    pub(super) queue: u32,
    pub(super) offset: u64,
}

impl<'a> Handle<'a> {
    /// Each message is the first of its own batch, so that a batch of answers holds deliveries of one number only.
    pub(super) fn to_text(&self) -> String {
        format!(
            "{offset} {} {} {} {} {} {} {offset}",
            self.pop_ms,
            self.invisible_ms,
            self.attempt,
            self.home.flag(),
            self.broker,
            self.queue,
            offset = self.offset,
        )
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut tokens = text.split(' ');
        let mut next = || tokens.next();
        let _first: i64 = next()?.parse().ok()?;
        let handle = Self {
            pop_ms: next()?.parse().ok()?,
            invisible_ms: next()?.parse().ok()?,
            attempt: next()?.parse().ok()?,
            home: Home::of_flag(next()?)?,
            broker: next()?,
            queue: next()?.parse().ok()?,
            offset: next()?.parse().ok()?,
        };
        tokens.next().is_none().then_some(handle)
    }

    /// The handle of a request that names queue and offset besides.
    pub(super) fn check(
        text: &'a str,
        queue: i32,
        offset: i64,
        door: &Broker,
    ) -> Result<Self, Refusal> {
        let is_of = |handle: &Self| {
            handle.broker == door.name()
                && i64::from(handle.queue) == i64::from(queue)
                && u64::try_from(offset) == Ok(handle.offset)
        };
        Self::parse(text).filter(is_of).ok_or_else(|| {
            Refusal::new(
                response::MESSAGE_ILLEGAL,
                "the extraInfo is not the handle of this message",
            )
        })
    }

    /// The number of the delivery if it is known.
    pub(super) fn known_attempt(&self) -> Option<u16> {
        (self.attempt > 0).then_some(self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_its_round_trip() {
        for home in [Home::Topic, Home::Retry] {
            let handle = Handle {
                pop_ms: 1_700_000_000_000,
                invisible_ms: 60_000,
                attempt: 3,
                home,
                broker: "node-a",
                queue: 7,
                offset: i64::MAX as u64,
            };
            assert_eq!(Handle::parse(&handle.to_text()), Some(handle));
        }
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        let good = "5 1 2 3 0 b 4 5";
        assert!(Handle::parse(good).is_some());
        for (at, bad) in [
            (0, "x"),
            (1, ""),
            (2, "1.5"),
            (3, "70000"),
            (3, "-1"),
            (4, "3"),
        ] {
            let mut tokens: Vec<_> = good.split(' ').collect();
            tokens[at] = bad;
            assert_eq!(Handle::parse(&tokens.join(" ")), None, "{at} {bad}");
        }
        for bad in [
            "",
            "5",
            "5 1 2 3 0 b 4",
            "5 1 2 3 0 b 4 5 6",
            "5 1 2 3 0 b 4 5 ",
        ] {
            assert_eq!(Handle::parse(bad), None, "{bad:?}");
        }
    }
}
