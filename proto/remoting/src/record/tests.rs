use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::error::RecordError;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn golden() -> Vec<u8> {
    hex(
        "00000068 daa320a7 3610a686 00000003 00000000 0000000000000005 0000000000000400 00000000 \
         0000018bcfe56800 7f0000010000c350 0000018bcfe5687b 7f00000100002a9f 00000000 \
         0000000000000000 00000005 68656c6c6f 01 54 0007 54414753014102",
    )
}

fn head() -> RecordHead {
    RecordHead {
        queue_id: 3,
        flag: 0,
        queue_offset: 5,
        physical_offset: 1024,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:50000".parse().unwrap(),
        store_timestamp: 1_700_000_000_123,
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
    }
}

#[test]
fn record_vector_both_ways() {
    let bytes = golden();
    let (record, len) = Record::parse(&bytes).unwrap();
    assert_eq!(len, 104);
    assert_eq!(record.head, head());
    assert_eq!((record.topic, record.body), ("T", &b"hello"[..]));
    assert_eq!(record.properties.get("TAGS"), Some("A"));
    assert!(record.crc_matches());
    assert_eq!(
        record.offset_id().to_string(),
        "7F00000100002A9F0000000000000400"
    );
    let mut out = BytesMut::new();
    assert_eq!(
        head().write_record("T", b"hello", "TAGS\u{1}A\u{2}", &mut out),
        Ok(104)
    );
    assert_eq!(out, bytes);
}

#[test]
fn head_is_written_to_a_plain_slice() {
    let sizes = Sizes {
        body: 5,
        topic: 1,
        properties: 7,
    };
    let mut room = [0u8; RecordHead::MAX_LEN];
    let mut rest = &mut room[..];
    head()
        .write_head(sizes, body_crc(b"hello"), &mut rest)
        .unwrap();
    let written = RecordHead::MAX_LEN - rest.len();
    assert_eq!((written, head().head_len()), (88, 88));
    assert_eq!(room[..88], golden()[..88]);
}

#[test]
fn head_refuses_a_target_without_room() {
    let sizes = Sizes {
        body: 5,
        topic: 1,
        properties: 7,
    };
    let mut room = [0u8; 87];
    let error = head().write_head(sizes, 0, &mut &mut room[..]);
    assert_eq!(error, Err(RecordError::Truncated("head buffer")));
    assert_eq!(room, [0; 87]);
}

#[test]
fn every_cut_of_a_record_is_refused() {
    let bytes = golden();
    for end in 0..bytes.len() {
        assert!(Record::parse(&bytes[..end]).is_err(), "cut at {end}");
        // The same cut with a length word that agrees.
        let mut cut = bytes[..end].to_vec();
        if end >= 4 {
            cut[..4].copy_from_slice(&(end as u32).to_be_bytes());
            assert!(Record::parse(&cut).is_err(), "agreeing cut at {end}");
        }
    }
}

#[test]
fn impossible_lengths_and_fields_are_refused() {
    let with = |at: usize, patch: &[u8]| {
        let mut bytes = golden();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        Record::parse(&bytes).map(|_| ()).unwrap_err()
    };
    assert!(matches!(
        with(0, &[0xff; 4]),
        RecordError::BadLength { what: "record", .. }
    ));
    assert!(matches!(
        with(0, &[0; 4]),
        RecordError::BadLength { what: "record", .. }
    ));
    assert_eq!(with(0, &[0x7f; 4]), RecordError::Truncated("record"));
    assert_eq!(
        with(4, &MAGIC_BLANK.to_be_bytes()),
        RecordError::BadMagic(MAGIC_BLANK)
    );
    assert_eq!(
        with(52, &65_536u32.to_be_bytes()),
        RecordError::BadPort(65_536)
    );
    assert_eq!(with(68, &[0xff; 4]), RecordError::BadPort(-1));
    assert!(matches!(
        with(84, &[0xff; 4]),
        RecordError::BadLength { what: "body", .. }
    ));
    assert_eq!(with(84, &[0x7f; 4]), RecordError::Truncated("body"));
    assert_eq!(with(93, &[0xff]), RecordError::Truncated("topic"));
    assert_eq!(with(94, b"\xff"), RecordError::Utf8("topic"));
    assert!(matches!(
        with(95, &[0xff; 2]),
        RecordError::BadLength {
            what: "properties",
            ..
        }
    ));
    assert!(matches!(
        with(95, &[0, 6]),
        RecordError::BadLength { what: "record", .. }
    ));
    assert_eq!(with(97, b"\xff"), RecordError::Utf8("properties"));
}

#[test]
fn changed_body_fails_the_checksum() {
    let mut bytes = golden();
    bytes[88] ^= 1;
    assert!(!Record::parse(&bytes).unwrap().0.crc_matches());
    assert_eq!(body_crc(b""), 0);
}

#[test]
fn records_iterate_and_stop_at_the_first_fault() {
    let mut bytes = [golden(), golden()].concat();
    assert_eq!(Records::new(&bytes).map(Result::unwrap).count(), 2);
    bytes.extend([0; 9]);
    let seen: Vec<bool> = Records::new(&bytes).map(|r| r.is_ok()).collect();
    assert_eq!(seen, [true, true, false]);
}

#[test]
fn long_topics_get_the_second_version() {
    for (len, magic) in [(127, MAGIC_V1), (128, MAGIC_V2)] {
        let topic = "t".repeat(len);
        let mut out = BytesMut::new();
        head().write_record(&topic, b"", "", &mut out).unwrap();
        assert_eq!(out[4..8], magic.to_be_bytes());
        let (record, _) = Record::parse(&out).unwrap();
        assert_eq!((record.topic, record.body_crc), (topic.as_str(), 0));
    }
}

#[test]
fn oversized_parts_are_not_written() {
    let mut out = BytesMut::new();
    let long = "x".repeat(32_768);
    for (topic, properties) in [(long.as_str(), ""), ("T", long.as_str())] {
        let error = head()
            .write_record(topic, b"", properties, &mut out)
            .unwrap_err();
        assert!(matches!(
            error,
            RecordError::TooLong {
                len: 32_768,
                max: 32_767,
                ..
            }
        ));
    }
    let sizes = Sizes {
        body: i32::MAX as usize,
        topic: 1,
        properties: 0,
    };
    assert!(head().record_len(sizes).is_err());
    assert!(out.is_empty());
}

#[test]
fn batch_vector_both_ways() {
    let bytes =
        hex("00000026 00000000 00000000 00000000 00000005 68656c6c6f 000b 554e49515f4b4559015531");
    let (element, len) = BatchElement::parse(&bytes).unwrap();
    assert_eq!((element.body, len), (&b"hello"[..], 0x26));
    assert_eq!(element.properties.get("UNIQ_KEY"), Some("U1"));
    let mut out = BytesMut::new();
    element.write(&mut out).unwrap();
    assert_eq!(out, bytes);
    for end in 0..bytes.len() {
        let mut cut = bytes[..end].to_vec();
        assert!(BatchElement::parse(&cut).is_err());
        if end >= 4 {
            cut[..4].copy_from_slice(&(end as u32).to_be_bytes());
            assert!(BatchElement::parse(&cut).is_err(), "agreeing cut at {end}");
        }
    }
    let two = [bytes.clone(), bytes, vec![1]].concat();
    let seen: Vec<bool> = BatchElements::new(&two).map(|e| e.is_ok()).collect();
    assert_eq!(seen, [true, true, false]);
}

#[test]
fn properties_pass_over_what_clients_pass_over() {
    let text = "A\u{1}1\u{2}\u{1}x\u{2}B\u{1}\u{2}junk\u{2}A\u{1}2\u{2}C\u{1}3";
    let properties = Properties::new(text);
    assert_eq!(
        properties.iter().collect::<Vec<_>>(),
        [("A", "1"), ("A", "2"), ("C", "3")]
    );
    assert_eq!(properties.get("A"), Some("2"));
    assert_eq!(properties.get("B"), None);
}

#[test]
fn edits_touch_only_what_they_name() {
    let text = "A\u{1}1\u{2}odd\u{2}POP_CK\u{1}x\u{2}A\u{1}2\u{2}Z\u{1}9";
    let mut edit = Properties::new(text).edit();
    edit.remove("POP_CK")
        .set("A", "3")
        .set("N", String::from("new"))
        .set("E", "");
    assert_eq!(
        (edit.get("A"), edit.get("POP_CK"), edit.get("Z")),
        (Some("3"), None, Some("9"))
    );
    let expected = "odd\u{2}Z\u{1}9\u{2}A\u{1}3\u{2}N\u{1}new\u{2}";
    assert_eq!(edit.to_text().unwrap(), expected);
    let mut out = BytesMut::new();
    assert_eq!(edit.write(&mut out), Ok(expected.len()));
    assert_eq!(out, expected);
}

#[test]
fn edits_refuse_separators_and_excess() {
    for (name, value) in [("", "v"), ("a\u{1}", "v"), ("a", "v\u{2}"), ("a", "\u{1}")] {
        let error = PropertyEdit::new().set(name, value).to_text();
        assert!(
            matches!(error, Err(RecordError::BadProperty(_))),
            "{name:?} {value:?}"
        );
    }
    let value = "v".repeat(32_764);
    assert!(
        PropertyEdit::new()
            .set("k", value.as_str())
            .to_text()
            .is_ok()
    );
    let mut out = BytesMut::new();
    let error = PropertyEdit::new()
        .set("kk", value.as_str())
        .write(&mut out);
    assert!(matches!(
        error,
        Err(RecordError::TooLong { len: 32_768, .. })
    ));
    assert!(out.is_empty());
}

#[test]
fn reserved_names_are_known() {
    assert!(properties::name::is_reserved("__CRC32#"));
    assert!(!properties::name::is_reserved("color"));
}

#[test]
fn message_ids_are_upper_case_hex_of_address_port_and_offset() {
    let text = |host: &str, offset| {
        let host = host.parse().unwrap();
        MessageId { host, offset }.to_string()
    };
    assert_eq!(
        text("127.0.0.1:10911", 1024),
        "7F00000100002A9F0000000000000400"
    );
    assert_eq!(
        text("[2001:db8::1]:65535", 0xab),
        "20010DB80000000000000000000000010000FFFF00000000000000AB"
    );
}

#[test]
fn message_ids_of_other_shapes_are_refused() {
    let v6 = MessageId {
        host: "[2001:db8::1]:10911".parse().unwrap(),
        offset: 77,
    };
    assert_eq!(v6.to_string().len(), 56);
    assert_eq!(v6.to_string().parse(), Ok(v6));
    let lower = "7f00000100002a9f0000000000000400";
    assert_eq!(lower.parse::<MessageId>().unwrap().offset, 1024);
    for bad in [
        "",
        "0",
        "7F00000100002A9F000000000000040",
        "7F00000100002A9F00000000000004000",
        "7F00000100012A9F0000000000000400",
        "7F00000100002A9FF000000000000400",
        "+F00000100002A9F0000000000000400",
        "7F00000100002A9F00000000000004é",
    ] {
        assert_eq!(
            bad.parse::<MessageId>(),
            Err(RecordError::BadMessageId),
            "{bad}"
        );
    }
}

#[test]
fn transaction_bits_are_replaced() {
    let flags = sys_flag::with_transaction(0x301 | 0x4, sys_flag::TRANSACTION_COMMIT);
    assert_eq!(flags, 0x309);
}

fn any_host() -> impl Strategy<Value = std::net::SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(Into::into)
}

fn any_head() -> impl Strategy<Value = RecordHead> {
    let hosts = (any_host(), any_host());
    (hosts, any::<[i32; 4]>(), any::<[i64; 5]>()).prop_map(|((born, store), n, l)| RecordHead {
        queue_id: n[0],
        flag: n[1],
        queue_offset: l[0],
        physical_offset: l[1],
        sys_flag: n[2],
        born_timestamp: l[2],
        born_host: born,
        store_timestamp: l[3],
        store_host: store,
        reconsume_times: n[3],
        prepared_transaction_offset: l[4],
    })
}

proptest! {
    #[test]
    fn records_round_trip(
        head in any_head(),
        topic in "[a-z%é]{0,200}",
        body in proptest::collection::vec(any::<u8>(), 0..100),
        properties in any::<String>(),
    ) {
        let mut out = BytesMut::new();
        let len = head.write_record(&topic, &body, &properties, &mut out).unwrap();
        prop_assert_eq!(len, out.len());
        let (record, parsed) = Record::parse(&out).unwrap();
        prop_assert_eq!(parsed, len);
        prop_assert!(record.crc_matches());
        let v6 = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        prop_assert_eq!(record.head.sys_flag & !v6, head.sys_flag & !v6);
        prop_assert_eq!(RecordHead { sys_flag: head.sys_flag, ..record.head }, head);
        prop_assert_eq!((record.topic, record.body), (topic.as_str(), &body[..]));
        prop_assert_eq!(record.properties.as_str(), properties.as_str());
    }

    #[test]
    fn batches_round_trip(
        elements in proptest::collection::vec(
            (any::<i32>(), proptest::collection::vec(any::<u8>(), 0..50), any::<String>()), 0..10)
    ) {
        let mut out = BytesMut::new();
        let written: Vec<BatchElement<'_>> = elements
            .iter()
            .map(|(flag, body, text)| BatchElement { flag: *flag, body, properties: Properties::new(text) })
            .collect();
        for element in &written {
            element.write(&mut out).unwrap();
        }
        let read: Vec<_> = BatchElements::new(&out).map(Result::unwrap).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn properties_round_trip(pairs in proptest::collection::btree_map("[^\\x01\\x02]{1,9}", "[^\\x01\\x02]{1,9}", 0..20)) {
        let mut edit = PropertyEdit::new();
        for (name, value) in &pairs {
            edit.set(name.as_str(), value.as_str());
        }
        let text = edit.to_text().unwrap();
        let read: std::collections::BTreeMap<String, String> = Properties::new(&text).iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(&pairs, &read);
    }

    #[test]
    fn message_ids_round_trip(host in any_host(), offset in 0..=i64::MAX) {
        let id = MessageId { host, offset };
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for record in Records::new(&bytes).flatten() {
            let _ = record.properties.iter().count();
        }
        let _ = BatchElements::new(&bytes).count();
    }
}
