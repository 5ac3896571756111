//! The elements of a batch body: what SEND_BATCH_MESSAGE carries, one per message.

use bytes::{BufMut, BytesMut};

use super::head::{MAX_PROPERTIES, limit};
use super::properties::Properties;
use super::view::{Reader, length};
use crate::error::RecordError;

/// Bytes of an element beside body and properties.
const FIXED: usize = 22;

/// One message of a batch. Topic, queue and hosts are those of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchElement<'a> {
    pub flag: i32,
    pub body: &'a [u8],
    pub properties: Properties<'a>,
}

impl<'a> BatchElement<'a> {
    /// Reads the element at the front of `bytes`, also telling its length. Magic and checksum
    /// are zero by convention and looked at by nobody.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize), RecordError> {
        const WHAT: &str = "batch element";
        let total = bytes.first_chunk().map(|w| i32::from_be_bytes(*w));
        let total = total.ok_or(RecordError::Truncated(WHAT))?;
        let impossible = RecordError::BadLength {
            what: WHAT,
            len: i64::from(total),
        };
        let len = length(total, WHAT)?;
        let mut reader = Reader(bytes.get(..len).ok_or(RecordError::Truncated(WHAT))?);
        reader.take(12, WHAT).map_err(|_| impossible.clone())?;
        let flag = reader.i32()?;
        let body_len = reader.i32()?;
        let body = reader.take(length(body_len, "body")?, "body")?;
        let properties_len = length(i32::from(reader.i16()?), "properties")?;
        let properties = Properties::new(reader.text(properties_len, "properties")?);
        if !reader.0.is_empty() {
            return Err(impossible);
        }
        Ok((
            Self {
                flag,
                body,
                properties,
            },
            len,
        ))
    }

    /// Appends the element. On an error `out` is as it was.
    pub fn write(&self, out: &mut BytesMut) -> Result<(), RecordError> {
        let properties = self.properties.as_str();
        limit("properties", properties.len(), MAX_PROPERTIES)?;
        let rest = FIXED + properties.len();
        limit("body", self.body.len(), i32::MAX as usize - rest)?;
        out.reserve(rest + self.body.len());
        out.put_i32((rest + self.body.len()) as i32);
        out.put_i32(0);
        out.put_i32(0);
        out.put_i32(self.flag);
        out.put_i32(self.body.len() as i32);
        out.put_slice(self.body);
        out.put_u16(properties.len() as u16);
        out.put_slice(properties.as_bytes());
        Ok(())
    }
}

/// Iterates over the elements of a batch body. It ends after the first error.
#[derive(Debug, Clone)]
pub struct BatchElements<'a> {
    rest: &'a [u8],
}

impl<'a> BatchElements<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for BatchElements<'a> {
    type Item = Result<BatchElement<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = BatchElement::parse(self.rest);
        self.rest = match &parsed {
            Ok((_, len)) => self.rest.get(*len..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(parsed.map(|(element, _)| element))
    }
}
