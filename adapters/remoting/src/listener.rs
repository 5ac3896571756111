//! The listening sockets: two for the broker, which share everything, and one for the name
//! server. All are bound before any accepts, so that a held port is reported and nothing starts.

use std::net::SocketAddr;
use std::sync::Arc;

use crossdock_kit::{BindError, Listener, ListenerConfig, Scope, Tls};

use crate::config::RemotingConfig;
use crate::connection::{self, Door};

/// Binds a listener.
pub(crate) fn bind(
    name: &'static str,
    address: SocketAddr,
    config: &RemotingConfig,
    tls: &Tls,
) -> Result<Listener, BindError> {
    Listener::bind(ListenerConfig {
        budget: Arc::clone(&config.connections),
        handshake_timeout: config.handshake_timeout,
        per_ip_max: config.per_ip_max,
        proxy: config.proxy.clone(),
        tls: tls.clone(),
        ..ListenerConfig::new(name, address)
    })
}

/// Starts to accept connections for `door`.
pub(crate) fn serve<D: Door>(listener: Listener, scope: &Scope, door: &Arc<D>) {
    let door = Arc::clone(door);
    listener.spawn(scope, move |connection| {
        connection::run(Arc::clone(&door), connection)
    });
}
