//! The compact header encoding: fixed integers, then length-prefixed texts.

use bytes::{Buf, BufMut, BytesMut};

use super::RawHeader;
use crate::code::request;
use crate::command::{Command, Language};
use crate::error::{EncodeError, FrameError};
use crate::ext::{ExtBuilder, Field, FieldList, MAX_EXT_FIELDS, Span};

const SHORT: FrameError = FrameError::Binary("fixed part is cut short");

/// Reads forward over a header, remembering where it is.
struct Cursor<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, len: usize, short: FrameError) -> Result<Span, FrameError> {
        if len > self.rest().len() {
            return Err(short);
        }
        let span = Span::new(self.at, self.at + len);
        self.at += len;
        Ok(span)
    }

    fn i16(&mut self, short: FrameError) -> Result<i16, FrameError> {
        let n = self.rest().try_get_i16().map_err(|_| short)?;
        self.at += 2;
        Ok(n)
    }

    fn i32(&mut self, short: FrameError) -> Result<i32, FrameError> {
        let n = self.rest().try_get_i32().map_err(|_| short)?;
        self.at += 4;
        Ok(n)
    }

    fn text(&mut self, len: usize, short: FrameError) -> Result<Span, FrameError> {
        let span = self.take(len, short)?;
        std::str::from_utf8(span.of(self.all)).map_err(|_| FrameError::Utf8)?;
        Ok(span)
    }
}

pub(super) fn decode(header: &[u8]) -> Result<RawHeader, FrameError> {
    let mut cursor = Cursor { all: header, at: 0 };
    let code = i32::from(cursor.i16(SHORT)?);
    let language = cursor
        .take(1, SHORT)?
        .of(header)
        .first()
        .copied()
        .unwrap_or_default();
    let version = i32::from(cursor.i16(SHORT)?);
    let opaque = cursor.i32(SHORT)?;
    let flag = cursor.i32(SHORT)?;
    let remark_len = length(cursor.i32(SHORT)?, "remark length is negative")?;
    let remark = cursor.text(remark_len, FrameError::Binary("remark is cut short"))?;
    let block = length(cursor.i32(SHORT)?, "field block length is negative")?;
    if block != cursor.rest().len() {
        return Err(FrameError::Binary("field block does not fill the header"));
    }
    let mut fields = FieldList::new();
    while !cursor.rest().is_empty() {
        if fields.len() == MAX_EXT_FIELDS {
            return Err(FrameError::TooManyFields(MAX_EXT_FIELDS));
        }
        let short = FrameError::Binary("field is cut short");
        let len = length(
            i32::from(cursor.i16(short.clone())?),
            "field name length is negative",
        )?;
        let name = cursor.text(len, short.clone())?;
        let len = length(cursor.i32(short.clone())?, "field value length is negative")?;
        let value = cursor.text(len, short)?;
        fields.push(Field { name, value });
    }
    let code = if flag & Command::RESPONSE_FLAG == 0 {
        request::untruncate(code)
    } else {
        code
    };
    Ok(RawHeader {
        code,
        language: Language(language),
        version,
        opaque,
        flag,
        remark: (remark_len > 0).then_some(remark),
        fields,
    })
}

fn length(n: i32, negative: &'static str) -> Result<usize, FrameError> {
    usize::try_from(n).map_err(|_| FrameError::Binary(negative))
}

pub(super) fn encode(
    command: &Command,
    extra: Option<&ExtBuilder>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    // Codes beyond sixteen bits lose their upper half, as they do in the reference encoder.
    out.put_i16(command.code as i16);
    out.put_u8(command.language.0);
    out.put_i16(command.version as i16);
    out.put_i32(command.opaque);
    out.put_i32(command.flag);
    let remark = command.remark.as_deref().unwrap_or_default();
    out.put_i32(i32::try_from(remark.len()).map_err(|_| EncodeError::HeaderTooLong)?);
    out.put_slice(remark.as_bytes());
    let block = out.len();
    out.put_i32(0);
    for (name, value) in command.all_fields(extra) {
        let len = i16::try_from(name.len()).map_err(|_| EncodeError::NameTooLong(name.len()))?;
        out.put_i16(len);
        out.put_slice(name.as_bytes());
        out.put_i32(i32::try_from(value.len()).map_err(|_| EncodeError::HeaderTooLong)?);
        out.put_slice(value.as_bytes());
    }
    let len = i32::try_from(out.len() - block - 4).map_err(|_| EncodeError::HeaderTooLong)?;
    if let Some(word) = out.get_mut(block..).and_then(|b| b.first_chunk_mut::<4>()) {
        *word = len.to_be_bytes();
    }
    Ok(())
}
