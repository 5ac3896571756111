//! Reading records.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Buf;

use super::head::RecordHead;
use super::properties::Properties;
use super::{MAGIC_V1, MAGIC_V2, MessageId, body_crc, sys_flag};
use crate::error::RecordError;

/// A record, borrowed from the bytes it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub head: RecordHead,
    /// The checksum as written; see [`crc_matches`](Self::crc_matches).
    pub body_crc: i32,
    pub body: &'a [u8],
    pub topic: &'a str,
    pub properties: Properties<'a>,
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`, also telling its length.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize), RecordError> {
        let total = bytes.first_chunk().map(|w| i32::from_be_bytes(*w));
        let total = total.ok_or(RecordError::Truncated("record"))?;
        let impossible = RecordError::BadLength {
            what: "record",
            len: i64::from(total),
        };
        let len = usize::try_from(total).map_err(|_| impossible.clone())?;
        let mut reader = Reader(bytes.get(..len).ok_or(RecordError::Truncated("record"))?);
        reader.take(4, "record").map_err(|_| impossible)?;
        let magic = reader.i32()? as u32;
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::BadMagic(magic));
        }
        let crc = reader.i32()?;
        let queue_id = reader.i32()?;
        let flag = reader.i32()?;
        let queue_offset = reader.i64()?;
        let physical_offset = reader.i64()?;
        let flags = reader.i32()?;
        let head = RecordHead {
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag: flags,
            born_timestamp: reader.i64()?,
            born_host: reader.host(flags & sys_flag::BORN_HOST_V6 != 0)?,
            store_timestamp: reader.i64()?,
            store_host: reader.host(flags & sys_flag::STORE_HOST_V6 != 0)?,
            reconsume_times: reader.i32()?,
            prepared_transaction_offset: reader.i64()?,
        };
        let body_len = reader.i32()?;
        let body = reader.take(length(body_len, "body")?, "body")?;
        let topic_len = match magic {
            MAGIC_V1 => usize::from(reader.u8()?),
            _ => length(i32::from(reader.i16()?), "topic")?,
        };
        let topic = reader.text(topic_len, "topic")?;
        let properties_len = length(i32::from(reader.i16()?), "properties")?;
        let properties = Properties::new(reader.text(properties_len, "properties")?);
        if !reader.0.is_empty() {
            return Err(RecordError::BadLength {
                what: "record",
                len: i64::from(total),
            });
        }
        Ok((
            Self {
                head,
                body_crc: crc,
                body,
                topic,
                properties,
            },
            len,
        ))
    }

    /// Whether the body is the one the checksum was made for.
    pub fn crc_matches(&self) -> bool {
        self.body_crc == body_crc(self.body)
    }

    /// The id that encodes where the record is stored.
    pub fn offset_id(&self) -> MessageId {
        MessageId {
            host: self.head.store_host,
            offset: self.head.physical_offset,
        }
    }
}

/// Iterates over concatenated records. It ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = Record::parse(self.rest);
        self.rest = match &parsed {
            Ok((_, len)) => self.rest.get(*len..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(parsed.map(|(record, _)| record))
    }
}

/// Reads forward over a record or batch element.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(RecordError::Truncated(what))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self, len: usize, what: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.take(len, what)?).map_err(|_| RecordError::Utf8(what))
    }

    pub(super) fn u8(&mut self) -> Result<u8, RecordError> {
        self.0.try_get_u8().map_err(short)
    }

    pub(super) fn i16(&mut self) -> Result<i16, RecordError> {
        self.0.try_get_i16().map_err(short)
    }

    pub(super) fn i32(&mut self) -> Result<i32, RecordError> {
        self.0.try_get_i32().map_err(short)
    }

    pub(super) fn i64(&mut self) -> Result<i64, RecordError> {
        self.0.try_get_i64().map_err(short)
    }

    fn host(&mut self, v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            Ipv6Addr::from(self.0.try_get_u128().map_err(short)?).into()
        } else {
            Ipv4Addr::from(self.0.try_get_u32().map_err(short)?).into()
        };
        let port = self.i32()?;
        let port = u16::try_from(port).map_err(|_| RecordError::BadPort(port))?;
        Ok(SocketAddr::new(ip, port))
    }
}

fn short(_: bytes::TryGetError) -> RecordError {
    RecordError::Truncated("record")
}

pub(super) fn length(len: i32, what: &'static str) -> Result<usize, RecordError> {
    usize::try_from(len).map_err(|_| RecordError::BadLength {
        what,
        len: i64::from(len),
    })
}
