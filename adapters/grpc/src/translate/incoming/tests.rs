//! What is refused of a message before anything is stored.

use std::collections::HashMap;

use super::*;

fn message() -> v2::Message {
    v2::Message {
        topic: None,
        user_properties: HashMap::new(),
        system_properties: Some(v2::SystemProperties {
            message_id: "ID".into(),
            ..v2::SystemProperties::default()
        }),
        body: Bytes::from_static(b"hello"),
    }
}

fn read(
    change: impl FnOnce(&mut v2::Message, &mut v2::SystemProperties),
) -> Result<Incoming, Code> {
    let mut message = message();
    let mut system = message.system_properties.take().unwrap_or_default();
    change(&mut message, &mut system);
    message.system_properties = Some(system);
    let producer = "127.0.0.1:1".parse().unwrap();
    Incoming::read(message, &GrpcConfig::default(), producer, 1000).map_err(|refused| refused.code)
}

fn refused(change: impl FnOnce(&mut v2::Message, &mut v2::SystemProperties)) -> Code {
    read(change).map(|_| ()).unwrap_err()
}

#[test]
fn each_rule_has_its_code() {
    let long = "x".repeat(64);
    assert_eq!(refused(|m, _| m.body.clear()), Code::MessageBodyEmpty);
    let large = Bytes::from(vec![0; 4 * 1024 * 1024 + 1]);
    assert_eq!(refused(|m, _| m.body = large), Code::MessageBodyTooLarge);
    assert_eq!(
        refused(|_, s| s.message_id = " ".into()),
        Code::IllegalMessageId
    );
    for tag in ["", " ", "a|b", "a\u{7}"] {
        assert_eq!(
            refused(|_, s| s.tag = Some(tag.into())),
            Code::IllegalMessageTag
        );
    }
    for key in ["", "a\u{1}"] {
        assert_eq!(
            refused(|_, s| s.keys = vec![key.into()]),
            Code::IllegalMessageKey
        );
    }
    for group in ["", long.as_str(), "a\n"] {
        let code = refused(|_, s| s.message_group = Some(group.into()));
        assert_eq!(code, Code::IllegalMessageGroup);
    }
    assert_eq!(refused(|_, s| s.body_encoding = 77), Code::BadRequest);
    let gzip = i32::from(Encoding::Gzip);
    assert_eq!(
        refused(|_, s| s.body_encoding = gzip),
        Code::MessageCorrupted
    );
    let never = prost_types::Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    };
    let code = refused(|_, s| s.delivery_timestamp = Some(never));
    assert_eq!(code, Code::IllegalDeliveryTime);
}

#[test]
fn properties_are_bounded_and_cannot_pose_as_the_protocols_own() {
    for (key, value) in [("TAGS", "x"), ("", "x"), ("a\u{1}", "x"), ("a", "\u{2}")] {
        let code = refused(|m, _| {
            m.user_properties.insert(key.into(), value.into());
        });
        assert_eq!(code, Code::IllegalMessagePropertyKey, "{key:?}");
    }
    let many = (0..129).map(|n| (n.to_string(), "x".to_owned())).collect();
    assert_eq!(
        refused(|m, _| m.user_properties = many),
        Code::MessagePropertiesTooLarge
    );
    let code = refused(|_, s| s.keys = vec!["k".repeat(33 * 1024)]);
    assert_eq!(code, Code::MessagePropertiesTooLarge);
}

#[test]
fn a_delivery_time_that_has_passed_is_now_but_still_a_delay() {
    let past = read(|_, s| s.delivery_timestamp = Some(time::timestamp(999))).unwrap();
    assert_eq!((past.due_ms, past.kind), (None, MessageType::Delay));
    let later = read(|_, s| s.delivery_timestamp = Some(time::timestamp(1001))).unwrap();
    assert_eq!(later.due_ms, Some(1001));
}

#[test]
fn properties_become_the_text_of_the_older_protocol() {
    let read = read(|m, s| {
        s.tag = Some("A".into());
        s.keys = vec!["k1".into(), "k2".into()];
        s.message_group = Some("g".into());
        m.user_properties.insert("color".into(), "blue".into());
        m.user_properties.insert("empty".into(), String::new());
    })
    .unwrap();
    let text = std::str::from_utf8(&read.properties).unwrap();
    let expected = "UNIQ_KEY\u{1}ID\u{2}TAGS\u{1}A\u{2}KEYS\u{1}k1 k2\u{2}__SHARDINGKEY\u{1}g\u{2}color\u{1}blue\u{2}";
    assert_eq!(text, expected);
}
