use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::code::request;
use crate::ext::MAX_EXT_FIELDS;

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

fn decode(bytes: &[u8]) -> Result<Option<Command>, FrameError> {
    FrameDecoder::default().decode(&mut BytesMut::from(bytes))
}

fn decode_one(bytes: &[u8]) -> Command {
    decode(bytes).unwrap().expect("a whole frame")
}

fn encode(command: &Command) -> Vec<u8> {
    let mut out = BytesMut::new();
    command.encode(&mut out).unwrap();
    out.to_vec()
}

fn frame(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = ((4 + header.len() + body.len()) as u32)
        .to_be_bytes()
        .to_vec();
    out.extend((header.len() as u32 | u32::from(kind) << 24).to_be_bytes());
    out.extend(header);
    out.extend(body);
    out
}

fn json(header: &str) -> Result<Option<Command>, FrameError> {
    decode(&frame(0, header.as_bytes(), b""))
}

#[test]
fn binary_request_vector() {
    let bytes = hex(
        "0000002a 01000026 0069 00 01df 00000007 00000000 00000000 00000011 \
         0005 746f706963 00000006 544257313032",
    );
    let command = decode_one(&bytes);
    assert_eq!(
        (command.code, command.version, command.opaque),
        (105, 479, 7)
    );
    assert_eq!(
        (command.language, command.encoding),
        (Language::JAVA, Encoding::Binary)
    );
    assert_eq!(command.ext.get("topic"), Some("TBW102"));
    assert_eq!(encode(&command), bytes);
}

#[test]
fn binary_response_vector() {
    let bytes =
        hex("00000021 0100001d 0011 00 01df 00000007 00000001 00000008 6e6f20726f757465 00000000");
    let command = decode_one(&bytes);
    assert!(command.is_response());
    assert_eq!(
        (command.code, command.remark.as_deref()),
        (17, Some("no route"))
    );
    assert_eq!(encode(&command), bytes);
}

#[test]
fn json_prefix_vector() {
    let mut header = r#"{"code":34,"x":""}"#.to_owned();
    header.insert_str(header.len() - 2, &"p".repeat(128 - header.len()));
    let bytes = frame(0, header.as_bytes(), b"");
    assert_eq!(bytes[..8], hex("00000084 00000080"));
    assert_eq!(decode_one(&bytes).code, 34);
}

#[test]
fn json_output_is_exact() {
    let command = Command::request(14)
        .with_opaque(-3)
        .response(1)
        .with_remark("a \"b\"\n\\\u{1}é")
        .with_ext([("k", "v"), ("", "")].into_iter().collect());
    let bytes = encode(&command);
    let expected = concat!(
        r#"{"code":1,"language":"JAVA","version":479,"opaque":-3,"flag":1,"serializeTypeCurrentRPC":"JSON","#,
        r#""remark":"a \"b\"\n\\\u0001é","extFields":{"k":"v","":""}}"#
    );
    assert_eq!(std::str::from_utf8(&bytes[8..]).unwrap(), expected);
    assert_eq!(decode_one(&bytes), command);
}

#[test]
fn json_values_are_coerced_and_unknown_members_ignored() {
    let command = json(
        r#" { "code" : 10, "language":9, "version":317, "opaque":2147483647, "flag":-1,
            "remark":null, "serializeTypeCurrentRPC":"JSON", "odd":[{"a":[1.5e+3,null]},"\ud83d"],
            "extFields":{"n":-1.50e3,"t":true,"f":false,"z":null,"o":{"a":"\u0041"},"\u0061":"x"} } "#,
    )
    .unwrap()
    .unwrap();
    assert_eq!(command.language, Language::GO);
    assert_eq!(
        (command.opaque, command.flag, command.remark),
        (i32::MAX, -1, None)
    );
    let fields: Vec<_> = command.ext.iter().collect();
    let expected = [
        ("n", "-1.50e3"),
        ("t", "true"),
        ("f", "false"),
        ("o", "{\"a\":\"\\u0041\"}"),
        ("a", "x"),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn json_escapes_are_undone_in_place() {
    let command = json(
        r#"{"extFields":{"i":"KEYS\u0001a\u0002\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d!\ude00","j":"after"}}"#,
    )
    .unwrap()
    .unwrap();
    let expected = "KEYS\u{1}a\u{2}\"\\/\u{8}\u{c}\n\r\té\u{1f600}\u{fffd}!\u{fffd}";
    assert_eq!(command.ext.get("i"), Some(expected));
    assert_eq!(command.ext.get("j"), Some("after"));
}

#[test]
fn what_is_not_json_is_refused() {
    let deep = format!("{{\"x\":{}}}", "[".repeat(10_000));
    let headers = [
        "",
        "{",
        "}",
        "null",
        "[]",
        "\"a\"",
        "{}x",
        "{} {}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"code\":1.5}",
        "{\"code\":2147483648}",
        "{\"code\":\"x\"}",
        "{\"code\":{}}",
        "{\"extFields\":[]}",
        "{\"extFields\":\"\"}",
        "{\"extFields\":{\"a\":x}}",
        "{\"extFields\":{\"a\":\"\u{2}\"}}",
        &deep,
    ];
    for header in headers {
        let result = json(header);
        assert!(
            matches!(result, Err(FrameError::Json { .. })),
            "{header:.40}: {result:?}"
        );
    }
    assert_eq!(
        decode(&frame(0, b"{\"a\":\"\xff\"}", b"")),
        Err(FrameError::Utf8)
    );
}

#[test]
fn too_many_fields_are_refused_in_both_encodings() {
    let fields = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        names
            .iter()
            .map(|n| (n.as_str(), ""))
            .collect::<ExtFields>()
    };
    for encoding in [Encoding::Json, Encoding::Binary] {
        let command = |n| {
            Command::request(1)
                .with_encoding(encoding)
                .with_ext(fields(n))
        };
        assert_eq!(
            decode_one(&encode(&command(MAX_EXT_FIELDS))).ext.len(),
            MAX_EXT_FIELDS
        );
        let result = decode(&encode(&command(MAX_EXT_FIELDS + 1)));
        assert_eq!(result, Err(FrameError::TooManyFields(MAX_EXT_FIELDS)));
    }
}

#[test]
fn frame_lengths_are_checked_before_the_frame_is_there() {
    let max = DEFAULT_MAX_FRAME;
    let too_long = (max as u32 - 3).to_be_bytes();
    assert_eq!(
        decode(&too_long),
        Err(FrameError::TooLong {
            len: max as u64 + 1,
            max
        })
    );
    assert_eq!(decode(&(max as u32 - 4).to_be_bytes()), Ok(None));
    assert_eq!(
        decode(&i32::MAX.to_be_bytes()).map_err(|e| matches!(e, FrameError::TooLong { .. })),
        Err(true)
    );
    assert_eq!(decode(&hex("ffffffff")), Err(FrameError::TooShort(-1)));
    assert_eq!(decode(&hex("00000003")), Err(FrameError::TooShort(3)));
    assert_eq!(
        decode(&hex("00000010 02000000")),
        Err(FrameError::UnknownEncoding(2))
    );
    let overrun = FrameError::HeaderOverrun {
        header: 13,
        available: 12,
    };
    assert_eq!(decode(&hex("00000010 0000000d")), Err(overrun));
    let small = FrameDecoder::new(16);
    assert!(
        small
            .decode(&mut BytesMut::from(&hex("0000000d")[..]))
            .is_err()
    );
    assert_eq!(
        small.decode(&mut BytesMut::from(&hex("0000000c")[..])),
        Ok(None)
    );
}

#[test]
fn bad_binary_headers_are_refused() {
    let good = hex("0069 00 01df 00000007 00000000 00000001 41 0000000a 0001 61 00000003 626364");
    assert_eq!(decode_one(&frame(1, &good, b"")).ext.get("a"), Some("bcd"));
    for end in 0..good.len() {
        let result = decode(&frame(1, &good[..end], b"body"));
        assert!(
            matches!(result, Err(FrameError::Binary(_))),
            "cut at {end}: {result:?}"
        );
    }
    // Offsets of the remark length, block length, name length and value length words.
    for (at, len) in [(13, 4), (18, 4), (22, 2), (25, 4)] {
        for value in [-1i32, i32::MAX] {
            let mut bad = good.clone();
            let word = if len == 4 {
                value.to_be_bytes().to_vec()
            } else {
                ((value >> 16) as i16).to_be_bytes().to_vec()
            };
            bad[at..at + len].copy_from_slice(&word);
            let result = decode(&frame(1, &bad, b""));
            assert!(
                matches!(result, Err(FrameError::Binary(_))),
                "{value} at {at}: {result:?}"
            );
        }
    }
    for at in [17, 24, 29] {
        let mut bad = good.clone();
        bad[at] = 0xff;
        assert_eq!(
            decode(&frame(1, &bad, b"")),
            Err(FrameError::Utf8),
            "at {at}"
        );
    }
    let mut longer = good;
    longer.push(0);
    assert!(decode(&frame(1, &longer, b"")).is_err());
}

#[test]
fn frames_arrive_in_pieces_and_in_company() {
    let first = Command::request(10).with_opaque(1).with_body(&b"one"[..]);
    let second = Command::request(11)
        .with_encoding(Encoding::Binary)
        .with_opaque(2);
    let bytes = [encode(&first), encode(&second)].concat();
    let decoder = FrameDecoder::default();
    let mut buf = BytesMut::new();
    let mut seen = Vec::new();
    for byte in &bytes {
        buf.extend_from_slice(&[*byte]);
        seen.extend(decoder.decode(&mut buf).unwrap());
    }
    assert_eq!(seen, [first.clone(), second.clone()]);
    let mut buf = BytesMut::from(&bytes[..]);
    assert_eq!(decoder.decode(&mut buf).unwrap(), Some(first));
    assert_eq!(decoder.decode(&mut buf).unwrap(), Some(second));
    assert!(buf.is_empty());
}

#[test]
fn body_is_a_slice_of_the_read_buffer() {
    let command = Command::request(10).with_body(vec![7u8; 5000]);
    let mut buf = BytesMut::from(&encode(&command)[..]);
    let range = buf.as_ptr_range();
    let decoded = FrameDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert!(range.contains(&decoded.body.as_ptr()));
}

#[test]
fn head_and_extra_fields_make_the_same_frame() {
    let command = Command::request(0).with_ext([("a", "1")].into_iter().collect());
    let mut extra = ExtBuilder::new();
    extra.put_i64("b", -2).put_bool("c", true);
    for encoding in [Encoding::Json, Encoding::Binary] {
        let command = command.clone().with_encoding(encoding);
        let mut head = BytesMut::from(&b"before"[..]);
        command.encode_head_with(&extra, 4, &mut head).unwrap();
        head.extend_from_slice(b"body");
        let fields = [("a", "1"), ("b", "-2"), ("c", "true")];
        let whole = command
            .with_ext(fields.into_iter().collect())
            .with_body(&b"body"[..]);
        assert_eq!(head[6..], encode(&whole));
    }
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_the_buffer_alone() {
    let name = "n".repeat(32_768);
    let long_name = Command::request(1)
        .with_encoding(Encoding::Binary)
        .with_ext([(name.as_str(), "")].into_iter().collect());
    let mut out = BytesMut::from(&b"x"[..]);
    assert_eq!(
        long_name.encode(&mut out),
        Err(EncodeError::NameTooLong(32_768))
    );
    let value = "v".repeat(MAX_HEADER);
    let full = Command::request(1).with_ext([("", value.as_str())].into_iter().collect());
    assert_eq!(full.encode(&mut out), Err(EncodeError::HeaderTooLong));
    let over = Command::request(1).with_ext([("k", value.as_str())].into_iter().collect());
    assert_eq!(over.encode(&mut out), Err(EncodeError::HeaderTooLong));
    let body = i32::MAX as usize;
    assert_eq!(
        Command::request(1).encode_head(body, &mut out),
        Err(EncodeError::BodyTooLong(body))
    );
    assert_eq!(&out[..], b"x");
}

#[test]
fn pop_codes_survive_the_binary_header_in_requests_only() {
    let command = Command::request(request::POP_MESSAGE).with_encoding(Encoding::Binary);
    assert_eq!(decode_one(&encode(&command)).code, request::POP_MESSAGE);
    let response = command.response(3442);
    assert_eq!(decode_one(&encode(&response)).code, 3442);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9]{0,12}",
        any::<String>(),
        "[\\x00-\\x1f\"\\\\/é\u{1f600}]{0,20}"
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    (
        (
            any::<i16>(),
            0u8..14,
            any::<i16>(),
            any::<i32>(),
            any::<i32>(),
        ),
        proptest::option::of(any_text().prop_filter("absent in binary", |t| !t.is_empty())),
        proptest::collection::vec((any_text(), any_text()), 0..40),
        proptest::collection::vec(any::<u8>(), 0..64),
        any::<bool>(),
    )
        .prop_map(
            |((code, language, version, opaque, flag), remark, fields, body, binary)| {
                let code = i32::from(code);
                Command {
                    code: if flag & 1 == 0 {
                        request::untruncate(code)
                    } else {
                        code
                    },
                    language: Language(language),
                    version: i32::from(version),
                    opaque,
                    flag,
                    remark: remark.map(Into::into),
                    ext: fields
                        .iter()
                        .map(|(n, v)| (n.as_str(), v.as_str()))
                        .collect(),
                    body: Bytes::from(body),
                    encoding: if binary {
                        Encoding::Binary
                    } else {
                        Encoding::Json
                    },
                }
            },
        )
}

proptest! {
    #[test]
    fn commands_round_trip(command in any_command()) {
        prop_assert_eq!(decode_one(&encode(&command)), command);
    }

    #[test]
    fn json_output_agrees_with_a_json_library(command in any_command()) {
        let command = command.with_encoding(Encoding::Json);
        let bytes = encode(&command);
        let end = bytes.len() - command.body.len();
        let value: serde_json::Value = serde_json::from_slice(&bytes[8..end]).unwrap();
        prop_assert_eq!(value["opaque"].as_i64(), Some(i64::from(command.opaque)));
        for (name, _) in command.ext.iter() {
            prop_assert_eq!(value["extFields"][name].as_str(), command.ext.get(name));
        }
    }

    #[test]
    fn json_scanner_accepts_what_a_json_library_accepts(header in "[\\[\\]{}:,\"\\\\a0-9.eE+-]{0,24}") {
        let text = format!("{{\"x\":{header}}}");
        let library = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        // A number beyond f64 is still well formed to us.
        let ours = json(&text);
        let overflow = library.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(ours.is_ok() == library.is_ok() || overflow, "{} {:?} {:?}", text, ours, library);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(kind in 0u8..3, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = decode(&frame(kind, &bytes, b""));
    }
}
