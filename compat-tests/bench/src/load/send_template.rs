//! A send request encoded once. Per message only the opaque, the born time, the tail of the unique
//! key and the mark at the front of the body are written over; all have a fixed width.

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use crossdock_proto_remoting::code::request::SEND_MESSAGE_V2;
use crossdock_proto_remoting::header::send::SendMessage;
use crossdock_proto_remoting::{Command, Encoding};

use super::answer::find;
use super::check::Mark;
use super::clock::{MILLIS_DIGITS, decimal, hex};

/// Opaques are drawn from here on, so that they always have ten digits.
pub(super) const OPAQUE_FIRST: i32 = 1_000_000_000;
const OPAQUE_DIGITS: usize = 10;
const OPAQUE_IN_TEMPLATE: i32 = 1_111_111_111;
const BORN_IN_TEMPLATE: i64 = 1_234_567_890_123;
/// Where the unique key counts; before it stands what tells one process from another.
const KEY_TAIL: &str = "0badf00d0badf00d";

#[derive(Debug)]
pub(super) struct SendTemplate {
    frame: Vec<u8>,
    encoding: Encoding,
    opaque: usize,
    born: usize,
    key: usize,
    mark: usize,
}

impl SendTemplate {
    /// A request for one message of `body_len` bytes to one queue.
    pub(super) fn new(
        topic: &str,
        queue: u32,
        body_len: usize,
        encoding: Encoding,
        key_prefix: u64,
    ) -> Result<Self> {
        ensure!(
            body_len >= Mark::LEN,
            "a body needs {} bytes for its mark",
            Mark::LEN
        );
        let properties = format!("WAIT\u{1}true\u{2}UNIQ_KEY\u{1}{key_prefix:016X}{KEY_TAIL}\u{2}");
        let header = SendMessage {
            producer_group: "benchmark_producer",
            topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: i32::try_from(queue)?,
            born_timestamp: BORN_IN_TEMPLATE,
            properties: Some(&properties),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(false),
            ..SendMessage::default()
        };
        let mut frame = BytesMut::new();
        Command::request(SEND_MESSAGE_V2)
            .with_encoding(encoding)
            .with_opaque(OPAQUE_IN_TEMPLATE)
            .with_header(&header)
            .with_body(filler(body_len))
            .encode(&mut frame)?;
        let opaque = match encoding {
            Encoding::Binary => find(&frame, &OPAQUE_IN_TEMPLATE.to_be_bytes()),
            Encoding::Json => find(&frame, OPAQUE_IN_TEMPLATE.to_string().as_bytes()),
        };
        Ok(Self {
            opaque: opaque.context("no opaque in the request")?,
            born: find(&frame, BORN_IN_TEMPLATE.to_string().as_bytes())
                .context("no born time in the request")?,
            key: find(&frame, KEY_TAIL.as_bytes()).context("no key in the request")?,
            mark: frame.len() - body_len,
            frame: frame.to_vec(),
            encoding,
        })
    }

    pub(super) fn body_len(&self) -> usize {
        self.frame.len() - self.mark
    }

    /// Appends the request for one message.
    pub(super) fn write(
        &self,
        output: &mut Vec<u8>,
        opaque: i32,
        born: &[u8; MILLIS_DIGITS],
        mark: Mark,
    ) {
        let at = output.len();
        output.extend_from_slice(&self.frame);
        let frame = &mut output[at..];
        match self.encoding {
            Encoding::Binary => {
                frame[self.opaque..self.opaque + 4].copy_from_slice(&opaque.to_be_bytes());
            }
            Encoding::Json => decimal(
                u64::from(opaque.unsigned_abs()),
                &mut frame[self.opaque..self.opaque + OPAQUE_DIGITS],
            ),
        }
        frame[self.born..self.born + MILLIS_DIGITS].copy_from_slice(born);
        hex(
            u64::from(mark.slot) << 40 | mark.sequence,
            &mut frame[self.key..self.key + KEY_TAIL.len()],
        );
        mark.write(&mut frame[self.mark..self.mark + Mark::LEN]);
    }
}

/// Text that compresses neither too well nor too badly.
fn filler(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 24) as u8 % 26
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crossdock_proto_remoting::FrameDecoder;

    use super::*;

    #[test]
    fn a_written_request_is_a_valid_send_with_the_new_values() {
        for encoding in [Encoding::Json, Encoding::Binary] {
            let template = SendTemplate::new("orders", 3, 128, encoding, 7).unwrap();
            let mark = Mark {
                slot: 5,
                sequence: 77,
            };
            let mut output = Vec::new();
            template.write(&mut output, OPAQUE_FIRST + 9, b"1700000000000", mark);
            template.write(&mut output, OPAQUE_FIRST + 10, b"1700000000001", mark);
            let mut buffer = BytesMut::from(&output[..]);
            let first = FrameDecoder::default()
                .decode(&mut buffer)
                .unwrap()
                .unwrap();
            let second = FrameDecoder::default()
                .decode(&mut buffer)
                .unwrap()
                .unwrap();
            assert!(buffer.is_empty());
            assert_eq!((first.code, first.opaque), (310, OPAQUE_FIRST + 9));
            assert_eq!(second.opaque, OPAQUE_FIRST + 10);
            let header = SendMessage::parse_v2(&first.ext).unwrap();
            assert_eq!((header.topic, header.queue_id), ("orders", 3));
            assert_eq!(header.born_timestamp, 1_700_000_000_000);
            let properties = header.properties.unwrap();
            assert!(properties.contains("UNIQ_KEY\u{1}0000000000000007000005000000004d\u{2}"));
            assert_eq!(first.body.len(), 128);
            assert_eq!(Mark::read(&first.body), Some(mark));
        }
    }
}
