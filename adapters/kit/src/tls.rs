//! TLS for listeners: rustls over ring, from PEM files or a certificate of our own making.
//! A TLS client's first byte is 0x16 (handshake record), which no supported protocol starts with,
//! so plain and TLS clients can share a port.

mod self_signed;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::TlsError;

/// The first byte of a TLS connection: the record type "handshake".
pub const HANDSHAKE_RECORD: u8 = 0x16;

/// Which clients a listener lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Plain only; a TLS client is refused.
    Off,
    /// Both, told apart by the first byte.
    Permissive,
    /// TLS only; a plain client is refused.
    Require,
}

/// A listener's TLS side; cheap to clone and to share between listeners.
#[derive(Clone)]
pub struct Tls {
    mode: Mode,
    acceptor: Option<TlsAcceptor>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// No TLS.
    #[must_use]
    pub fn off() -> Self {
        Self {
            mode: Mode::Off,
            acceptor: None,
        }
    }

    /// TLS with a certificate chain and key from PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or chain and key cannot be used together.
    pub fn from_pem(mode: Mode, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = server_config(cert, key)?;
        Ok(Self {
            mode,
            acceptor: Some(TlsAcceptor::from(Arc::new(config))),
        })
    }

    /// TLS with the self-signed certificate kept in `folder` (`cert.pem`, `key.pem`), which is
    /// created for `names` (host names and IP addresses) when it is not there or not usable.
    ///
    /// # Errors
    /// When the folder cannot be written or no key can be made.
    pub fn self_signed(mode: Mode, folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        if cert.exists() && key.exists() {
            match Self::from_pem(mode, &cert, &key) {
                Ok(tls) => return Ok(tls),
                // A crash between the two files leaves a pair that does not match.
                Err(error) => tracing::warn!(%error, "the self-signed certificate is replaced"),
            }
        }
        self_signed::write(folder, &cert, &key, names)?;
        Self::from_pem(mode, &cert, &key)
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Offers protocols by ALPN, most wanted first.
    #[must_use]
    pub fn with_alpn(mut self, protocols: &[&[u8]]) -> Self {
        if let Some(acceptor) = &self.acceptor {
            let mut config = ServerConfig::clone(acceptor.config());
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            self.acceptor = Some(TlsAcceptor::from(Arc::new(config)));
        }
        self
    }

    pub(crate) fn acceptor(&self) -> Option<&TlsAcceptor> {
        self.acceptor.as_ref()
    }
}

fn server_config(cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let unreadable = |path: &Path, reason: String| TlsError::Read {
        path: path.into(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: cert.into() });
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error.to_string()))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, secret)
        })
        .map_err(|error| TlsError::Unusable {
            cert: cert.into(),
            key: key.into(),
            reason: error.to_string(),
        })
}
