//! Reads of an answer only what the generator must know, straight from the frame: code, opaque
//! and, on demand, single extension fields. Frames are trusted no further than their lengths.

use anyhow::{Context, Result, bail};

/// One complete frame, from its length word on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) code: i32,
    pub(super) opaque: i32,
    /// False for a request that the server makes, such as a notification.
    pub(super) is_response: bool,
    header: &'a [u8],
    is_binary: bool,
    pub(super) body: &'a [u8],
}

/// Length of fixed part of a binary header: code, language, version, opaque, flag.
const BINARY_FIXED: usize = 13;

impl<'a> Answer<'a> {
    pub(super) fn read(frame: &'a [u8]) -> Result<Self> {
        let word = word(frame, 4).context("frame without header length")?;
        let header_len = (word & 0x00ff_ffff) as usize;
        let (header, body) = frame
            .get(8..)
            .and_then(|rest| rest.split_at_checked(header_len))
            .context("header longer than its frame")?;
        let is_binary = match word >> 24 {
            0 => false,
            1 => true,
            kind => bail!("header encoding {kind}"),
        };
        let (code, opaque, flag) = if is_binary {
            let fixed = header
                .get(..BINARY_FIXED)
                .context("binary header cut short")?;
            (
                i32::from(i16::from_be_bytes([fixed[0], fixed[1]])),
                i32::from_be_bytes([fixed[5], fixed[6], fixed[7], fixed[8]]),
                i32::from(fixed[12]),
            )
        } else {
            (
                json_number(header, b"\"code\":").context("answer without code")?,
                json_number(header, b"\"opaque\":").context("answer without opaque")?,
                json_number(header, b"\"flag\":").unwrap_or_default(),
            )
        };
        Ok(Self {
            code,
            opaque,
            is_response: flag & 1 == 1,
            header,
            is_binary,
            body,
        })
    }

    /// The text of an extension field.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let value = if self.is_binary {
            self.binary_field(name.as_bytes())
        } else {
            self.json_field(name)
        };
        std::str::from_utf8(value?).ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.field(name)?.parse().ok()
    }

    fn binary_field(&self, name: &[u8]) -> Option<&'a [u8]> {
        let remark_len = word(self.header, BINARY_FIXED)? as usize;
        let mut rest = self.header.get(BINARY_FIXED + 4 + remark_len + 4..)?;
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let (key, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            let (len, tail) = tail.split_first_chunk::<4>()?;
            let (value, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            if key == name {
                return Some(value);
            }
            rest = tail;
        }
        None
    }

    /// Good for values without escapes, which is all that is ever asked for.
    fn json_field(&self, name: &str) -> Option<&'a [u8]> {
        let at = find(self.header, format!("\"{name}\":\"").as_bytes())?;
        let value = self.header.get(at + name.len() + 4..)?;
        value.get(..value.iter().position(|byte| *byte == b'"')?)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*word))
}

fn json_number(header: &[u8], key: &[u8]) -> Option<i32> {
    let digits = header.get(find(header, key)? + key.len()..)?;
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'-')?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use crossdock_proto_remoting::{Command, Encoding};

    use super::*;

    #[test]
    fn both_encodings_give_code_opaque_fields_and_body() {
        for encoding in [Encoding::Json, Encoding::Binary] {
            let command = Command::request(11)
                .response(17)
                .with_encoding(encoding)
                .with_opaque(1_234_567_890)
                .with_remark("why")
                .with_ext(
                    [("queueOffset", "42"), ("msgId", "ABC")]
                        .into_iter()
                        .collect(),
                )
                .with_body(&b"body"[..]);
            let mut frame = BytesMut::new();
            command.encode(&mut frame).unwrap();
            let answer = Answer::read(&frame).unwrap();
            assert_eq!((answer.code, answer.opaque), (17, 1_234_567_890));
            assert!(answer.is_response);
            assert_eq!(answer.number("queueOffset"), Some(42));
            assert_eq!(answer.field("msgId"), Some("ABC"));
            assert_eq!(answer.field("absent"), None);
            assert_eq!(answer.body, b"body");
        }
    }

    #[test]
    fn a_header_beyond_the_frame_is_refused() {
        assert!(Answer::read(&[0, 0, 0, 4, 0, 0, 0, 9]).is_err());
        assert!(Answer::read(&[0, 0, 0, 4, 9, 0, 0, 0]).is_err());
        assert!(Answer::read(&[0, 0]).is_err());
    }
}
