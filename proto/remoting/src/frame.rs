//! Frames: a length, a header length with the encoding in its top byte, the header, the body.
//! Decoding is incremental over the connection's read buffer; the body stays a slice of it.

mod binary;
mod json;

use bytes::{Buf, Bytes, BytesMut};

use crate::command::{Command, Encoding, Language};
use crate::error::{EncodeError, FrameError};
use crate::ext::{ExtBuilder, ExtFields, FieldList, MAX_HEADER, Span};

/// Largest frame that peers of the reference implementation accept.
pub const DEFAULT_MAX_FRAME: usize = 16 * 1024 * 1024;

/// Both length words.
const PREFIX: usize = 8;

/// Cuts commands out of a read buffer. It holds no bytes itself, only the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameDecoder {
    /// Largest frame accepted, length word included.
    pub max_frame: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self {
            max_frame: DEFAULT_MAX_FRAME,
        }
    }
}

/// What a header decoder finds; spans point into the header bytes.
struct RawHeader {
    code: i32,
    language: Language,
    version: i32,
    opaque: i32,
    flag: i32,
    remark: Option<Span>,
    fields: FieldList,
}

impl FrameDecoder {
    pub fn new(max_frame: usize) -> Self {
        Self { max_frame }
    }

    /// The whole length of the frame at the front of `buf`, length word included, once enough of
    /// it is there to tell. The announced lengths are checked here, before anyone reserves them.
    pub fn frame_len(&self, buf: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(word) = buf.first_chunk::<4>() else {
            return Ok(None);
        };
        let total = i32::from_be_bytes(*word);
        if total < 4 {
            return Err(FrameError::TooShort(total));
        }
        let len = u64::from(total.unsigned_abs()) + 4;
        if len > self.max_frame as u64 {
            return Err(FrameError::TooLong {
                len,
                max: self.max_frame,
            });
        }
        let len = len as usize;
        if let Some([_, _, _, _, kind, high, middle, low]) = buf.first_chunk::<PREFIX>() {
            if *kind > 1 {
                return Err(FrameError::UnknownEncoding(*kind));
            }
            let header = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if header > len - PREFIX {
                return Err(FrameError::HeaderOverrun {
                    header,
                    available: len - PREFIX,
                });
            }
        }
        Ok(Some(len))
    }

    /// Takes the next command off `buf`. `Ok(None)` means that the frame is not complete yet.
    /// After an error the stream is out of step and nothing further can be decoded from it.
    pub fn decode(&self, buf: &mut BytesMut) -> Result<Option<Command>, FrameError> {
        let Some(len) = self.frame_len(buf)? else {
            return Ok(None);
        };
        if buf.len() < len {
            return Ok(None);
        }
        // Headers are read where they lie; each part is then split off once, which is cheaper
        // than taking the frame apart.
        let mut word = [0u8; 4];
        if let Some(prefix) = buf.first_chunk::<PREFIX>() {
            word.copy_from_slice(&prefix[4..]);
        }
        let kind = std::mem::take(&mut word[0]);
        let header_len = u32::from_be_bytes(word) as usize;
        buf.advance(PREFIX);
        let header = buf.get_mut(..header_len).unwrap_or_default();
        let (encoding, raw) = match kind {
            0 => (Encoding::Json, json::decode(header)?),
            _ => (Encoding::Binary, binary::decode(header)?),
        };
        let remark = raw.remark.map(|span| span.text(header).to_owned().into());
        let header = take(buf, header_len, !raw.fields.is_empty());
        let body = take(buf, len - PREFIX - header_len, true);
        Ok(Some(Command {
            code: raw.code,
            language: raw.language,
            version: raw.version,
            opaque: raw.opaque,
            flag: raw.flag,
            remark,
            ext: ExtFields::from_parts(header, raw.fields),
            body,
            encoding,
        }))
    }
}

/// Takes `len` bytes off `buf`, keeping hold of the read buffer only for what is `wanted`.
fn take(buf: &mut BytesMut, len: usize, wanted: bool) -> Bytes {
    if wanted && len > 0 {
        buf.split_to(len).freeze()
    } else {
        buf.advance(len);
        Bytes::new()
    }
}

impl Command {
    /// Appends the whole frame to `out`. On an error `out` is as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head(self.body.len(), out)?;
        out.extend_from_slice(&self.body);
        Ok(())
    }

    /// Appends the frame up to its body to `out`, announcing `body_len` body bytes that the
    /// caller sends itself; [`body`](Self::body) is not consulted. On an error `out` is as it was.
    pub fn encode_head(&self, body_len: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_parts(None, body_len, out)
    }

    /// As [`encode_head`](Self::encode_head), with the fields of `extra` after those of
    /// [`ext`](Self::ext). A builder kept per connection makes answers free of allocation.
    pub fn encode_head_with(
        &self,
        extra: &ExtBuilder,
        body_len: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.encode_parts(Some(extra), body_len, out)
    }

    fn encode_parts(
        &self,
        extra: Option<&ExtBuilder>,
        body_len: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.write_parts(extra, body_len, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn write_parts(
        &self,
        extra: Option<&ExtBuilder>,
        body_len: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        if self.ext.oversized() || extra.is_some_and(ExtBuilder::oversized) {
            return Err(EncodeError::HeaderTooLong);
        }
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX]);
        let kind = match self.encoding {
            Encoding::Json => {
                json::encode(self, extra, out);
                0
            }
            Encoding::Binary => {
                binary::encode(self, extra, out)?;
                1
            }
        };
        let header_len = out.len() - start - PREFIX;
        if header_len > MAX_HEADER {
            return Err(EncodeError::HeaderTooLong);
        }
        let total = body_len
            .checked_add(header_len + 4)
            .and_then(|n| i32::try_from(n).ok())
            .ok_or(EncodeError::BodyTooLong(body_len))?;
        let [_, high, middle, low] = (header_len as u32).to_be_bytes();
        if let Some((length, rest)) = out
            .get_mut(start..)
            .and_then(|b| b.split_first_chunk_mut::<4>())
        {
            *length = total.to_be_bytes();
            if let Some(word) = rest.first_chunk_mut::<4>() {
                *word = [kind, high, middle, low];
            }
        }
        Ok(())
    }

    /// The fields to write: our own, then those of `extra`.
    fn all_fields<'a>(
        &'a self,
        extra: Option<&'a ExtBuilder>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.ext
            .iter()
            .chain(extra.into_iter().flat_map(ExtBuilder::iter))
    }
}

#[cfg(test)]
mod tests;
