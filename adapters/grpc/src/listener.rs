//! The listening socket: plain and TLS clients on one port, HTTP/2 offered to both.

use std::net::SocketAddr;
use std::sync::Arc;

use crossdock_kit::{BindError, Listener, ListenerConfig, Scope, Tls};

use crate::config::GrpcConfig;
use crate::connection::{self, Front};

/// What TLS clients are offered; clients that ask for nothing are served as well.
const ALPN: &[&[u8]] = &[b"h2"];

/// Binds the listener.
pub(crate) fn bind(
    address: SocketAddr,
    config: &GrpcConfig,
    tls: Tls,
) -> Result<Listener, BindError> {
    Listener::bind(ListenerConfig {
        budget: Arc::clone(&config.connections),
        handshake_timeout: config.handshake_timeout,
        per_ip_max: config.per_ip_max,
        proxy: config.proxy.clone(),
        tls: tls.with_alpn(ALPN),
        ..ListenerConfig::new("grpc", address)
    })
}

/// Starts to accept connections.
pub(crate) fn serve(listener: Listener, scope: &Scope, front: &Arc<Front>) {
    let front = Arc::clone(front);
    listener.spawn(scope, move |connection| {
        connection::run(Arc::clone(&front), connection)
    });
}
