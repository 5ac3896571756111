//! The PROXY protocol, versions 1 and 2: a load balancer in front tells the client's address in a
//! header before the first byte of the protocol (and before TLS). The header is required from the
//! configured source networks and never looked for from any other, because a receiver that
//! guesses lets clients forge their address. Off unless networks are given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::error::ProxyError;

/// The longest version 1 line, its end included.
const V1_LINE_MAX: usize = 107;
/// The longest version 2 address block we read; the specification asks receivers for 520.
pub const V2_BLOCK_MAX: usize = 4096;
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Both versions are longer than this, so that reading it cannot swallow the protocol's bytes.
const PROBE: usize = V2_SIGNATURE.len();

/// A network in prefix notation, `10.0.0.0/8` or `fd00::/8`; a bare address is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix);
                let cut = |ip: Ipv4Addr| u64::from(ip.to_bits()) >> shift;
                cut(base) == cut(ip)
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix);
                let cut = |ip: Ipv6Addr| ip.to_bits().checked_shr(shift).unwrap_or(0);
                cut(base) == cut(ip)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = ip.parse().map_err(|_| "not an IP address")?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(text) => text.parse().map_err(|_| "not a prefix length")?,
            None => width,
        };
        if prefix > width {
            return Err("prefix longer than the address");
        }
        Ok(Self { base, prefix })
    }
}

/// Which sources must send a header. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub trusted: Vec<Network>,
}

impl Policy {
    #[must_use]
    pub fn applies_to(&self, source: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(source))
    }
}

/// The two ends of the original connection, as the proxy saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// Reads the header and nothing behind it. `None` means that the proxy speaks for itself (health
/// checks) or cannot name the client.
///
/// # Errors
/// When the header is missing, malformed, too long, or the connection ends inside it.
pub async fn read_header(tcp: &mut TcpStream) -> Result<Option<Proxied>, ProxyError> {
    let mut probe = [0; PROBE];
    tcp.read_exact(&mut probe).await?;
    if probe == V2_SIGNATURE {
        read_v2(tcp).await
    } else if probe.starts_with(b"PROXY ") {
        read_v1(tcp, probe).await
    } else {
        Err(ProxyError::Missing)
    }
}

async fn read_v1(tcp: &mut TcpStream, probe: [u8; PROBE]) -> Result<Option<Proxied>, ProxyError> {
    let mut line = Vec::with_capacity(V1_LINE_MAX);
    line.extend_from_slice(&probe);
    while line.last() != Some(&b'\n') {
        let room = V1_LINE_MAX - line.len();
        if room == 0 {
            return Err(ProxyError::TooLong {
                length: V1_LINE_MAX + 1,
                max: V1_LINE_MAX,
            });
        }
        // Look first and take only up to the line's end: the rest belongs to the protocol.
        let mut ahead = [0; V1_LINE_MAX];
        let window = ahead.get_mut(..room).unwrap_or_default();
        let seen = tcp.peek(window).await?;
        let seen = window.get(..seen).unwrap_or_default();
        if seen.is_empty() {
            return Err(ProxyError::Malformed("line without an end"));
        }
        let take = seen
            .iter()
            .position(|&b| b == b'\n')
            .map_or(seen.len(), |at| at + 1);
        let start = line.len();
        line.resize(start + take, 0);
        tcp.read_exact(line.get_mut(start..).unwrap_or_default())
            .await?;
    }
    parse_v1(&line)
}

fn parse_v1(line: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    let malformed = ProxyError::Malformed;
    let line = line
        .strip_suffix(b"\r\n")
        .ok_or(malformed("line does not end with CR LF"))?;
    let line = str::from_utf8(line).map_err(|_| malformed("line is not text"))?;
    let mut words = line.split(' ');
    words.next();
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let mut word = || words.next().ok_or(malformed("line is too short"));
    let (source, destination) = (word()?, word()?);
    let (source_port, destination_port) = (word()?, word()?);
    if words.next().is_some() {
        return Err(malformed("line is too long"));
    }
    let ip = |text: &str| -> Result<IpAddr, ProxyError> {
        let ip: IpAddr = text.parse().map_err(|_| malformed("not an IP address"))?;
        match (family, ip) {
            ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)) => Ok(ip),
            _ => Err(malformed("address family does not match")),
        }
    };
    let port = |text: &str| text.parse::<u16>().map_err(|_| malformed("not a port"));
    Ok(Some(Proxied {
        source: SocketAddr::new(ip(source)?, port(source_port)?),
        destination: SocketAddr::new(ip(destination)?, port(destination_port)?),
    }))
}

async fn read_v2(tcp: &mut TcpStream) -> Result<Option<Proxied>, ProxyError> {
    let mut fixed = [0; 4];
    tcp.read_exact(&mut fixed).await?;
    let [version_command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_BLOCK_MAX {
        return Err(ProxyError::TooLong {
            length,
            max: V2_BLOCK_MAX,
        });
    }
    let mut block = vec![0; length];
    tcp.read_exact(&mut block).await?;
    parse_v2(version_command, family, &block)
}

fn parse_v2(version_command: u8, family: u8, block: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    let malformed = ProxyError::Malformed;
    if version_command >> 4 != 2 {
        return Err(malformed("unknown version"));
    }
    match version_command & 0x0F {
        0 => return Ok(None), // LOCAL: the proxy itself is the client
        1 => {}
        _ => return Err(malformed("unknown command")),
    }
    let too_short = || malformed("address block is too short");
    // What follows the addresses are type-length-value extras, which we do not use.
    match family {
        0x11 => {
            let block: &[u8; 12] = block.first_chunk().ok_or_else(too_short)?;
            let [a, b, c, d, e, f, g, h, sp0, sp1, dp0, dp1] = *block;
            Ok(Some(Proxied {
                source: (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([sp0, sp1])).into(),
                destination: (Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([dp0, dp1])).into(),
            }))
        }
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or_else(too_short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or_else(too_short)?;
            let [sp0, sp1, dp0, dp1] = *rest.first_chunk::<4>().ok_or_else(too_short)?;
            Ok(Some(Proxied {
                source: (Ipv6Addr::from(*source), u16::from_be_bytes([sp0, sp1])).into(),
                destination: (Ipv6Addr::from(*destination), u16::from_be_bytes([dp0, dp1])).into(),
            }))
        }
        0x00 => Ok(None),
        _ => Err(malformed("address family is not TCP over IP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_match_by_prefix() {
        let private: Network = "10.0.0.0/8".parse().unwrap();
        assert!(private.contains([10, 9, 8, 7].into()));
        assert!(private.contains("::ffff:10.1.1.1".parse().unwrap()));
        assert!(!private.contains([11, 0, 0, 1].into()));
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("fe80::1".parse().unwrap()) && !all.contains([1, 1, 1, 1].into()));
        let every: Network = "0.0.0.0/0".parse().unwrap();
        assert!(every.contains([200, 1, 1, 1].into()));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("ten".parse::<Network>().is_err());
    }

    #[test]
    fn version_1_lines_are_parsed_strictly() {
        let proxied = parse_v1(b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 9876\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(proxied.source, "192.0.2.1:4711".parse().unwrap());
        assert_eq!(proxied.destination, "192.0.2.2:9876".parse().unwrap());
        assert_eq!(parse_v1(b"PROXY UNKNOWN\r\n").unwrap(), None);
        for bad in [
            &b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            assert!(parse_v1(bad).is_err(), "{:?}", str::from_utf8(bad));
        }
    }

    #[test]
    fn version_2_blocks_are_checked_before_they_are_read() {
        let block = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0x26, 0x94];
        let proxied = parse_v2(0x21, 0x11, &block).unwrap().unwrap();
        assert_eq!(proxied.source, "192.0.2.1:4711".parse().unwrap());
        assert_eq!(proxied.destination.port(), 9876);
        assert_eq!(parse_v2(0x20, 0x11, &[]).unwrap(), None);
        assert!(parse_v2(0x21, 0x11, &block[..11]).is_err());
        assert!(parse_v2(0x21, 0x21, &[0; 35]).is_err());
        assert!(parse_v2(0x31, 0x11, &block).is_err());
        assert!(parse_v2(0x22, 0x11, &block).is_err());
        assert!(parse_v2(0x21, 0x12, &block).is_err());
    }
}
