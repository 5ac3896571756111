//! From an accepted socket to a stream whose first protocol byte has arrived: PROXY header from
//! trusted sources, then the choice between plain and TLS by the first byte.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::ListenerConfig;
use crate::error::ProxyError;
use crate::proxy_protocol;
use crate::stream::Stream;
use crate::tls::{HANDSHAKE_RECORD, Mode};

pub(super) struct Ready {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

/// Why a connection ended before its protocol began.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Closed without a byte: port scans and health probes, not worth a count.
    #[error("closed without a byte")]
    Gone,
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("a TLS client on a listener without TLS")]
    TlsOff,
    #[error("a plain client on a listener that requires TLS")]
    TlsRequired,
    #[error("TLS handshake failed: {0}")]
    Tls(io::Error),
}

pub(super) async fn run(mut tcp: TcpStream, config: &ListenerConfig) -> Result<Ready, Refused> {
    let (mut peer, mut local) = (canonical(tcp.peer_addr()?), canonical(tcp.local_addr()?));
    if config.proxy.applies_to(peer.ip())
        && let Some(proxied) = proxy_protocol::read_header(&mut tcp).await?
    {
        (peer, local) = (proxied.source, proxied.destination);
    }
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Err(Refused::Gone);
    }
    let is_tls = first == [HANDSHAKE_RECORD];
    let stream = match (config.tls.mode(), is_tls) {
        (Mode::Off | Mode::Permissive, false) => Stream::Plain(tcp),
        (Mode::Off, true) => return Err(Refused::TlsOff),
        (Mode::Require, false) => return Err(Refused::TlsRequired),
        (Mode::Permissive | Mode::Require, true) => {
            let acceptor = config.tls.acceptor().ok_or(Refused::TlsOff)?;
            Stream::Tls(Box::new(acceptor.accept(tcp).await.map_err(Refused::Tls)?))
        }
    };
    Ok(Ready {
        stream,
        peer,
        local,
    })
}

/// An IPv4 client of a dual-stack socket is shown, and limited, as an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
