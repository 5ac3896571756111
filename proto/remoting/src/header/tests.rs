use super::admin::UpdateTopic;
use super::namesrv::RegisterBroker;
use super::offset::{MaxOffset, QueryConsumerOffset, ResetOffset};
use super::pull::{PullMessage, PullResponse};
use super::send::{SendMessage, SendResponse};
use super::*;
use crate::code::request;

fn fields(pairs: &[(&str, &str)]) -> ExtFields {
    pairs.iter().copied().collect()
}

fn send() -> SendMessage<'static> {
    SendMessage {
        producer_group: "pg",
        topic: "T",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: -1,
        sys_flag: 0x301,
        born_timestamp: 1_700_000_000_000,
        flag: 0,
        properties: Some("TAGS\u{1}A\u{2}"),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        max_reconsume_times: None,
        batch: Some(true),
        broker_name: Some("broker-a"),
    }
}

#[test]
fn send_round_trips_in_both_spellings() {
    let mut v1 = ExtBuilder::new();
    send().write_v1(&mut v1);
    let v1 = v1.build();
    assert_eq!(v1.get("bname"), Some("broker-a"));
    assert_eq!(SendMessage::parse(request::SEND_MESSAGE, &v1), Ok(send()));
    let mut v2 = ExtBuilder::new();
    send().write_v2(&mut v2);
    let v2 = v2.build();
    assert_eq!(v2.get("f"), Some("769"));
    assert_eq!(v2.get("l"), None);
    for code in [request::SEND_MESSAGE_V2, request::SEND_BATCH_MESSAGE] {
        assert_eq!(SendMessage::parse(code, &v2), Ok(send()));
    }
    assert_eq!(
        SendMessage::parse_v1(&v2),
        Err(HeaderError::Missing("producerGroup"))
    );
}

#[test]
fn send_names_the_missing_or_malformed_field() {
    let mut builder = ExtBuilder::new();
    send().write_v2(&mut builder);
    let all = builder.build();
    for required in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let rest: ExtFields = all.iter().filter(|(name, _)| *name != required).collect();
        let error = SendMessage::parse_v2(&rest).unwrap_err();
        assert_eq!(
            (error.field(), matches!(error, HeaderError::Missing(_))),
            (required, true)
        );
    }
    for number in ["d", "e", "f", "g", "h", "j", "k", "l", "m"] {
        let mut builder = all.to_builder();
        builder.put(number, "many");
        let broken = builder.build();
        assert_eq!(
            SendMessage::parse_v2(&broken),
            Err(HeaderError::Malformed(number))
        );
    }
}

#[test]
fn send_response_keeps_region_and_trace() {
    let response = SendResponse {
        msg_id: "7F00000100002A9F0000000000000400",
        queue_id: 3,
        queue_offset: 5,
        region: Some("DefaultRegion"),
        trace_on: Some(true),
        ..SendResponse::default()
    };
    let mut builder = ExtBuilder::new();
    response.write(&mut builder);
    let ext = builder.build();
    assert_eq!(
        (ext.get("MSG_REGION"), ext.get("TRACE_ON")),
        (Some("DefaultRegion"), Some("true"))
    );
    assert_eq!(SendResponse::parse(&ext), Ok(response));
}

#[test]
fn pull_round_trips() {
    let pull = PullMessage {
        consumer_group: "g",
        topic: "T",
        queue_id: 1,
        queue_offset: i64::MAX,
        max_msg_nums: 32,
        sys_flag: 3,
        commit_offset: -1,
        suspend_timeout_millis: 15_000,
        sub_version: 7,
        subscription: Some("*"),
        ..PullMessage::default()
    };
    let mut builder = ExtBuilder::new();
    pull.write(&mut builder);
    assert_eq!(PullMessage::parse(&builder.build()), Ok(pull));
    let response = PullResponse {
        next_begin_offset: 9,
        max_offset: 9,
        ..PullResponse::default()
    };
    let mut builder = ExtBuilder::new();
    response.write(&mut builder);
    let ext = builder.build();
    assert_eq!(ext.get("suggestWhichBrokerId"), Some("0"));
    assert_eq!(PullResponse::parse(&ext), Ok(response));
}

#[test]
fn numbers_out_of_range_are_malformed() {
    let ext = fields(&[("topic", "T"), ("queueId", "2147483648")]);
    assert_eq!(
        MaxOffset::parse(&ext),
        Err(HeaderError::Malformed("queueId"))
    );
    let ext = fields(&[("topic", "T"), ("queueId", "")]);
    assert_eq!(
        MaxOffset::parse(&ext),
        Err(HeaderError::Malformed("queueId"))
    );
}

#[test]
fn booleans_ignore_case_and_empty_optionals_are_absent() {
    let ext = fields(&[
        ("consumerGroup", "g"),
        ("topic", "T"),
        ("queueId", "0"),
        ("setZeroIfNotFound", "FALSE"),
    ]);
    assert_eq!(
        QueryConsumerOffset::parse(&ext)
            .unwrap()
            .set_zero_if_not_found,
        Some(false)
    );
    let ext = fields(&[
        ("topic", "T"),
        ("group", "g"),
        ("timestamp", "-1"),
        ("isForce", "True"),
        ("queueId", ""),
    ]);
    let reset = ResetOffset::parse(&ext).unwrap();
    assert_eq!(
        (reset.queue_id, reset.is_force, reset.timestamp),
        (None, true, -1)
    );
    let ext = fields(&[("topic", "T"), ("queueId", "0"), ("committed", "yes")]);
    assert_eq!(
        MaxOffset::parse(&ext),
        Err(HeaderError::Malformed("committed"))
    );
}

#[test]
fn registration_and_topic_headers_round_trip() {
    let register = RegisterBroker {
        broker_name: "b",
        broker_addr: "127.0.0.1:10911",
        cluster_name: "c",
        ha_server_addr: "127.0.0.1:10912",
        broker_id: 0,
        heartbeat_timeout_millis: Some(120_000),
        compressed: Some(false),
        body_crc32: Some(0x7fff_ffff),
        ..RegisterBroker::default()
    };
    let mut builder = ExtBuilder::new();
    register.write(&mut builder);
    assert_eq!(RegisterBroker::parse(&builder.build()), Ok(register));
    let ext = fields(&[("topic", "T"), ("defaultTopic", "TBW102")]);
    assert_eq!(
        UpdateTopic::parse(&ext),
        Err(HeaderError::Missing("readQueueNums"))
    );
}
