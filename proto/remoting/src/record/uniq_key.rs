//! UNIQ_KEY values for messages whose producer sent none, in the form official clients use:
//! address, process, loader hash, milliseconds since the month began, counter.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Hex digits of the longest key: an IPv6 address and twelve bytes.
const MAX_LEN: usize = 56;

/// A unique key as text on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UniqKey {
    text: [u8; MAX_LEN],
    len: usize,
}

impl UniqKey {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.text.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                if let Some(slot) = self.text.get_mut(self.len) {
                    *slot = HEX[usize::from(nibble)];
                    self.len += 1;
                }
            }
        }
    }
}

impl fmt::Display for UniqKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UniqKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes keys for one process. It owns the counter and reads no clock.
#[derive(Debug)]
pub struct UniqKeySource {
    prefix: UniqKey,
    counter: AtomicU32,
}

impl UniqKeySource {
    /// `salt` stands where Java puts the hash of its class loader: any value that differs between
    /// runs keeps a restarted process from repeating keys.
    pub fn new(ip: IpAddr, pid: u32, salt: u32) -> Self {
        let mut prefix = UniqKey {
            text: [0; MAX_LEN],
            len: 0,
        };
        match ip {
            IpAddr::V4(ip) => prefix.push(&ip.octets()),
            IpAddr::V6(ip) => prefix.push(&ip.octets()),
        }
        prefix.push(&(pid as u16).to_be_bytes());
        prefix.push(&salt.to_be_bytes());
        Self {
            prefix,
            counter: AtomicU32::new(0),
        }
    }

    /// The next key, at `now` milliseconds since the epoch.
    pub fn next(&self, now: i64) -> UniqKey {
        let mut key = self.prefix;
        key.push(&(since_month_start(now) as u32).to_be_bytes());
        let count = self.counter.fetch_add(1, Ordering::Relaxed) as u16;
        key.push(&count.to_be_bytes());
        key
    }
}

/// Milliseconds of `now` since its month began in UTC.
fn since_month_start(now: i64) -> i64 {
    const DAY: i64 = 86_400_000;
    // Civil calendar from a day count; years start in March so that a leap day comes last.
    let days = now.div_euclid(DAY) + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    day_of_month * DAY + now.rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn month_starts_are_found() {
        // 2023-11-14T22:13:20Z.
        assert_eq!(
            since_month_start(1_700_000_000_000),
            13 * 86_400_000 + 80_000_000
        );
        // 2024-02-29T00:00:00Z and the millisecond before March.
        assert_eq!(since_month_start(1_709_164_800_000), 28 * 86_400_000);
        assert_eq!(since_month_start(1_709_251_199_999), 29 * 86_400_000 - 1);
        assert_eq!(since_month_start(1_709_251_200_000), 0);
        assert_eq!(since_month_start(0), 0);
    }

    #[test]
    fn keys_have_the_official_form_and_do_not_repeat() {
        let source = UniqKeySource::new(Ipv4Addr::LOCALHOST.into(), 0x1_0a8c, 0x18b4_aac2);
        let first = source.next(0);
        assert_eq!(first.as_str(), "7F0000010A8C18B4AAC2000000000000");
        assert_eq!(source.next(0).as_str(), "7F0000010A8C18B4AAC2000000000001");
        let v6 = UniqKeySource::new(Ipv6Addr::LOCALHOST.into(), 1, 2).next(0);
        assert_eq!(v6.as_str().len(), 56);
    }
}
