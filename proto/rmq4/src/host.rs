//! The address of a producer as records carry it: 4 or 16 address bytes, then the port, big-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smallvec::SmallVec;

/// An address as records carry it: address bytes, then the port.
#[must_use]
pub fn write(address: SocketAddr) -> SmallVec<[u8; 18]> {
    let mut bytes = SmallVec::new();
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    bytes.extend_from_slice(&address.port().to_be_bytes());
    bytes
}

/// The address bytes and port of a producer; the unspecified address when the door did not say.
#[must_use]
pub fn read(bytes: Option<&[u8]>) -> SocketAddr {
    let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let Some((address, port)) = bytes.and_then(|bytes| bytes.split_last_chunk::<2>()) else {
        return unknown;
    };
    let ip: IpAddr = if let Ok(v4) = <[u8; 4]>::try_from(address) {
        Ipv4Addr::from(v4).into()
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        Ipv6Addr::from(v6).into()
    } else {
        return unknown;
    };
    SocketAddr::new(ip, u16::from_be_bytes(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_survive() {
        for text in ["10.0.0.1:258", "[::1]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(read(Some(&write(address))), address);
        }
        assert_eq!(read(Some(&[1, 2, 3])), read(None));
    }
}
