//! Offset message ids: the broker's address and the commit log offset, in upper-case hex.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::RecordError;

/// Where a record is stored. Displays as the id, 32 characters for IPv4 and 56 for IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    pub host: SocketAddr,
    pub offset: i64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// Digits of the longest id.
const DIGITS_MAX: usize = 56;

/// The text of an id, on the stack: every message sent is answered with one.
#[derive(Debug, Clone, Copy)]
pub struct MessageIdText {
    digits: [u8; DIGITS_MAX],
    len: usize,
}

impl MessageIdText {
    fn put(&mut self, bytes: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let digits = bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| HEX.get(usize::from(digit)));
        for (slot, digit) in self.digits.iter_mut().skip(self.len).zip(digits) {
            *slot = *digit;
            self.len += 1;
        }
    }

    pub fn as_str(&self) -> &str {
        let digits = self.digits.get(..self.len).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

impl FromStr for MessageId {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        Self::read(text).ok_or(RecordError::BadMessageId)
    }
}

impl MessageId {
    /// The id as text.
    pub fn text(&self) -> MessageIdText {
        let mut text = MessageIdText {
            digits: [0; DIGITS_MAX],
            len: 0,
        };
        match self.host.ip() {
            IpAddr::V4(ip) => text.put(&ip.octets()),
            IpAddr::V6(ip) => text.put(&ip.octets()),
        }
        text.put(&u32::from(self.host.port()).to_be_bytes());
        text.put(&self.offset.to_be_bytes());
        text
    }

    fn read(text: &str) -> Option<Self> {
        // from_str_radix would let a sign through.
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let address_len = match text.len() {
            32 => 8,
            56 => 32,
            _ => return None,
        };
        let (address, rest) = text.split_at_checked(address_len)?;
        let (port, offset) = rest.split_at_checked(8)?;
        let ip: IpAddr = if address_len == 8 {
            Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into()
        } else {
            Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?).into()
        };
        let port = u16::try_from(u32::from_str_radix(port, 16).ok()?).ok()?;
        let offset = i64::try_from(u64::from_str_radix(offset, 16).ok()?).ok()?;
        Some(Self {
            host: SocketAddr::new(ip, port),
            offset,
        })
    }
}
