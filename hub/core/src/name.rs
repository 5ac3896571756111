//! Names of topics and groups: legality, reserved prefixes and the topics the hub itself owns.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::error::HubError;

/// Longest ordinary topic name.
pub(crate) const TOPIC_MAX: usize = 127;
/// Longest retry or dead-letter topic name, and longest group name that is recognised.
pub(crate) const DERIVED_MAX: usize = 255;
/// Longest name of a group that may be created; leaves room for the prefixes of its own topics.
pub(crate) const GROUP_MAX: usize = 120;

/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DEAD_PREFIX: &str = "%DLQ%";
/// The topic whose settings automatically created topics inherit.
pub const TEMPLATE_TOPIC: &str = "TBW102";
/// A topic for self tests.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Receives notices of moved offsets.
pub const MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";
/// Receives what clients record about the way of their messages.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// What the topic for replies adds to the name of the cluster.
pub(crate) const REPLY_SUFFIX: &str = "_REPLY_TOPIC";
/// The topic of the stock benchmark programs.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";

/// Where prepared messages go that nobody decided about.
pub(crate) const UNDECIDED_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// Topics that belong to the hub: never changed or deleted on request.
const SYSTEM: &[&str] = &[
    TEMPLATE_TOPIC,
    SELF_TEST_TOPIC,
    MOVED_TOPIC,
    BENCHMARK_TOPIC,
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    UNDECIDED_TOPIC,
    TRACE_TOPIC,
];
const SYSTEM_PREFIX: &str = "rmq_sys_";
/// Topics no client may publish to.
const CLOSED: &[&str] = &[
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    UNDECIDED_TOPIC,
    SELF_TEST_TOPIC,
    MOVED_TOPIC,
];

fn legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'-' | b'_')
}

fn check(what: &'static str, name: &str, max: usize) -> Result<(), HubError> {
    let reason = if name.trim().is_empty() {
        "it is blank"
    } else if name.len() > max {
        "it is too long"
    } else if !name.bytes().all(legal) {
        "allowed are letters, digits and %|-_"
    } else {
        return Ok(());
    };
    Err(HubError::Name {
        what,
        name: name.chars().take(DERIVED_MAX).collect(),
        reason,
    })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = HubError;
            fn from_str(text: &str) -> Result<Self, HubError> {
                Self::parse(text)
            }
        }
    };
}

name_type! {
    /// A legal topic name. Cheap to clone.
    TopicName
}
name_type! {
    /// A legal group name. Cheap to clone.
    GroupName
}

impl TopicName {
    /// Checks a topic name.
    ///
    /// # Errors
    /// The name is blank, too long or has a character that is not allowed.
    pub fn parse(name: &str) -> Result<Self, HubError> {
        let derived = name.starts_with(RETRY_PREFIX) || name.starts_with(DEAD_PREFIX);
        check("topic", name, if derived { DERIVED_MAX } else { TOPIC_MAX })?;
        Ok(Self(name.into()))
    }

    /// The group's retry topic.
    #[must_use]
    pub fn retry_of(group: &GroupName) -> Self {
        Self(format!("{RETRY_PREFIX}{group}").into())
    }

    /// The group's dead-letter topic.
    #[must_use]
    pub fn dead_of(group: &GroupName) -> Self {
        Self(format!("{DEAD_PREFIX}{group}").into())
    }

    /// The group whose retry topic this is.
    #[must_use]
    pub fn retry_group(&self) -> Option<&str> {
        self.0.strip_prefix(RETRY_PREFIX)
    }

    /// The group whose dead-letter topic this is.
    #[must_use]
    pub fn dead_group(&self) -> Option<&str> {
        self.0.strip_prefix(DEAD_PREFIX)
    }

    /// True for a topic that no client may publish to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        CLOSED.contains(&self.as_str())
    }

    /// True for a topic with a fixed name that the hub owns; the topics named after cluster and node are known to
    /// [`crate::Hub::is_system_topic`].
    #[must_use]
    pub(crate) fn is_builtin(&self) -> bool {
        SYSTEM.contains(&self.as_str()) || self.0.starts_with(SYSTEM_PREFIX)
    }
}

impl GroupName {
    /// Checks a group name.
    ///
    /// # Errors
    /// The name is blank, too long or has a character that is not allowed.
    pub fn parse(name: &str) -> Result<Self, HubError> {
        check("group", name, DERIVED_MAX)?;
        Ok(Self(name.into()))
    }

    /// Checks that a group of this name may be created.
    pub(crate) fn check_new(&self) -> Result<(), HubError> {
        check("group", self.as_str(), GROUP_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_the_length_rule_of_their_kind() {
        assert!(TopicName::parse(&"a".repeat(127)).is_ok());
        assert!(TopicName::parse(&"a".repeat(128)).is_err());
        assert!(TopicName::parse(&format!("%RETRY%{}", "a".repeat(248))).is_ok());
        assert!(TopicName::parse(&format!("%DLQ%{}", "a".repeat(251))).is_err());
    }

    #[test]
    fn names_take_the_documented_characters_only() {
        for good in ["T", "%RETRY%g", "a|b-c_d9", "TBW102"] {
            assert!(TopicName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "a b", "a.b", "a/b", "ä", "a\u{1}", "$SYS"] {
            assert!(TopicName::parse(bad).is_err(), "{bad}");
            assert!(GroupName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_never_repeats_more_of_a_hostile_name_than_a_legal_one_could_hold() {
        let error = TopicName::parse(&"x".repeat(1 << 20)).unwrap_err();
        assert!(error.to_string().len() < 400);
    }

    #[test]
    fn groups_longer_than_120_are_recognised_but_not_created() {
        let name = GroupName::parse(&"g".repeat(121)).unwrap();
        assert!(name.check_new().is_err());
        assert!(
            GroupName::parse(&"g".repeat(120))
                .unwrap()
                .check_new()
                .is_ok()
        );
    }

    #[test]
    fn derived_topics_lead_back_to_their_group() {
        let group = GroupName::parse("g").unwrap();
        assert_eq!(TopicName::retry_of(&group).retry_group(), Some("g"));
        assert_eq!(TopicName::dead_of(&group).dead_group(), Some("g"));
        assert!(TopicName::parse("SCHEDULE_TOPIC_XXXX").unwrap().is_closed());
        assert!(!TopicName::parse("TBW102").unwrap().is_closed());
    }
}
