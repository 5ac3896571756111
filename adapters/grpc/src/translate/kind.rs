//! Kinds of messages: which a message is, and which a topic takes.

use crossdock_hub::rmq4::{Properties, name};
use crossdock_hub::{MessageType as Declared, Topic};
use crossdock_proto_grpc::v2::{MessageType, SystemProperties};

/// Kinds a topic takes; clients are told in routes and held to it when they send.
pub(crate) fn accepted(topic: &Topic) -> &'static [MessageType] {
    match topic.declared_type() {
        Some(Declared::Normal) => &[MessageType::Normal],
        Some(Declared::Fifo) => &[MessageType::Fifo],
        Some(Declared::Delay) => &[MessageType::Delay],
        Some(Declared::Transaction) => &[MessageType::Transaction],
        Some(Declared::Unspecified) | None => {
            &[MessageType::Normal, MessageType::Fifo, MessageType::Delay]
        }
    }
}

/// The kind of a message a client sends: what it carries decides, since what it says of itself may be anything.
pub(crate) fn of(system: &SystemProperties) -> MessageType {
    if system.message_type == i32::from(MessageType::Transaction) {
        MessageType::Transaction
    } else if system.lite_topic.is_some() {
        MessageType::Lite
    } else if system.priority.is_some() {
        MessageType::Priority
    } else if system.delivery_timestamp.is_some() {
        MessageType::Delay
    } else if system.message_group.is_some() {
        MessageType::Fifo
    } else {
        MessageType::Normal
    }
}

/// The kind of a stored message.
pub(crate) fn stored(properties: Properties<'_>) -> MessageType {
    let has = |name: &str| properties.get(name).is_some();
    let is_transaction = properties
        .get(name::TRAN_MSG)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_transaction {
        MessageType::Transaction
    } else if [
        name::DELAY,
        name::TIMER_DELIVER_MS,
        name::TIMER_DELAY_MS,
        name::TIMER_DELAY_SEC,
    ]
    .into_iter()
    .any(has)
    {
        MessageType::Delay
    } else if has(name::SHARDING_KEY) {
        MessageType::Fifo
    } else {
        MessageType::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_carries_decides_its_kind() {
        let group = SystemProperties {
            message_group: Some("g".into()),
            message_type: 99,
            ..SystemProperties::default()
        };
        assert_eq!(of(&group), MessageType::Fifo);
        let both = SystemProperties {
            delivery_timestamp: Some(prost_types::Timestamp::default()),
            ..group
        };
        assert_eq!(of(&both), MessageType::Delay);
        assert_eq!(of(&SystemProperties::default()), MessageType::Normal);
    }

    #[test]
    fn stored_messages_show_the_kind_they_were_sent_as() {
        let kind = |text| stored(Properties::new(text));
        assert_eq!(kind("TRAN_MSG\u{1}true\u{2}"), MessageType::Transaction);
        assert_eq!(kind("DELAY\u{1}3\u{2}"), MessageType::Delay);
        assert_eq!(kind("__SHARDINGKEY\u{1}g\u{2}"), MessageType::Fifo);
        assert_eq!(kind("TAGS\u{1}a\u{2}"), MessageType::Normal);
    }
}
