//! Under which address clients reach the broker: a fixed one, or for each client the address it
//! dialled with the broker's port.

use std::net::SocketAddr;

use tokio::net::lookup_host;

use crate::error::StartError;

/// The advertised address.
#[derive(Debug, Clone)]
pub(crate) enum Advertise {
    /// The address the client dialled, and this port.
    Dialled { port: u16 },
    /// The same for everybody: as text for routes, resolved for records and message ids.
    Fixed { text: String, address: SocketAddr },
}

impl Advertise {
    /// Reads `host[:port]`; a missing port is the broker's.
    pub(crate) async fn resolve(configured: Option<&str>, port: u16) -> Result<Self, StartError> {
        let Some(text) = configured else {
            return Ok(Self::Dialled { port });
        };
        let failed = |reason: String| StartError::Advertise {
            address: text.to_owned(),
            reason,
        };
        let has_port = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && is_whole_host(host));
        let text = if has_port {
            text.to_owned()
        } else {
            format!("{text}:{port}")
        };
        let mut found: Vec<SocketAddr> = lookup_host(text.as_str())
            .await
            .map_err(|error| failed(error.to_string()))?
            .collect();
        // Older clients read IPv4 addresses only.
        found.sort_by_key(SocketAddr::is_ipv6);
        match found.first() {
            Some(address) if !address.ip().is_unspecified() && address.port() != 0 => {
                Ok(Self::Fixed {
                    address: *address,
                    text,
                })
            }
            Some(_) => Err(failed("nobody can dial it".to_owned())),
            None => Err(failed("the name has no address".to_owned())),
        }
    }

    /// The address for a client that dialled `local`.
    pub(crate) fn address(&self, local: SocketAddr) -> SocketAddr {
        match self {
            Self::Dialled { port } => SocketAddr::new(local.ip(), *port),
            Self::Fixed { address, .. } => *address,
        }
    }

    /// The same as text.
    pub(crate) fn text(&self, local: SocketAddr) -> String {
        match self {
            Self::Dialled { .. } => self.address(local).to_string(),
            Self::Fixed { text, .. } => text.clone(),
        }
    }
}

/// What stands before the last colon is a host and not a piece of an IPv6 address.
fn is_whole_host(host: &str) -> bool {
    !host.contains(':') || (host.starts_with('[') && host.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_client_is_told_the_address_it_dialled() {
        let auto = Advertise::resolve(None, 10911).await.unwrap();
        let local = "10.1.2.3:9876".parse().unwrap();
        assert_eq!(auto.text(local), "10.1.2.3:10911");
        assert_eq!(auto.text("[::1]:9".parse().unwrap()), "[::1]:10911");
    }

    #[tokio::test]
    async fn a_fixed_address_is_kept_as_written_and_gets_a_port() {
        let local = "10.1.2.3:9876".parse().unwrap();
        for (text, expected) in [
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("127.0.0.1", "127.0.0.1:10911"),
            ("[::1]:7", "[::1]:7"),
            ("[::1]", "[::1]:10911"),
        ] {
            let fixed = Advertise::resolve(Some(text), 10911).await.unwrap();
            assert_eq!(fixed.text(local), expected);
            assert_eq!(fixed.address(local), expected.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn addresses_nobody_can_dial_are_refused() {
        for text in ["0.0.0.0:1", "127.0.0.1:0", "", "host with spaces"] {
            assert!(Advertise::resolve(Some(text), 1).await.is_err(), "{text}");
        }
    }
}
