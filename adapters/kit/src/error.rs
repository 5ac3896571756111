//! Everything that can go wrong below the protocols. One enum per operation, because the callers
//! differ: a bind error stops the start, a push error ends one connection.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::outbound::Frame;

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process (or another listener of ours) holds the port.
    #[error("{name}: port {} is already in use on {}", address.port(), address.ip())]
    Held {
        name: &'static str,
        address: SocketAddr,
    },
    /// The port is below 1024 and the process may not bind it.
    #[error("{name}: no permission to bind port {} on {}", address.port(), address.ip())]
    Denied {
        name: &'static str,
        address: SocketAddr,
    },
    /// The address does not belong to this machine.
    #[error("{name}: address {} is not an address of this machine", address.ip())]
    NotLocal {
        name: &'static str,
        address: SocketAddr,
    },
    /// Anything else the operating system answered.
    #[error("{name}: cannot listen on {address}: {source}")]
    Other {
        name: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn new(name: &'static str, address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Held { name, address },
            io::ErrorKind::PermissionDenied => Self::Denied { name, address },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { name, address },
            _ => Self::Other {
                name,
                address,
                source,
            },
        }
    }

    /// The address that could not be bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Held { address, .. }
            | Self::Denied { address, .. }
            | Self::NotLocal { address, .. }
            | Self::Other { address, .. } => *address,
        }
    }

    /// True when the port is taken, which the binary reports with its own exit code.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

/// A certificate or key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {reason}", path.display())]
    Read { path: PathBuf, reason: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("certificate {} and key {} cannot be used: {reason}", cert.display(), key.display())]
    Unusable {
        cert: PathBuf,
        key: PathBuf,
        reason: String,
    },
    #[error("cannot create a self-signed certificate: {0}")]
    Generate(String),
}

/// A PROXY protocol header was missing or malformed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the connection does not start with a PROXY protocol header")]
    Missing,
    #[error("malformed PROXY protocol header: {0}")]
    Malformed(&'static str),
    #[error("PROXY protocol header of {length} bytes exceeds {max}")]
    TooLong { length: usize, max: usize },
    #[error("connection lost in the PROXY protocol header: {0}")]
    Io(#[from] io::Error),
}

/// A frame was not queued because the connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection is closed")]
pub struct PushError;

/// A frame was not queued without waiting. The frame is handed back.
#[derive(Debug, thiserror::Error)]
pub enum TryPushError {
    #[error("the outbound queue is full")]
    Full(Frame),
    #[error("the connection is closed")]
    Closed(Frame),
}
