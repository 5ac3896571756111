//! A listening socket and its accept loop. It owns the limits in front of a protocol: how many
//! connections, from whom, and how long a client may take to say its first byte (and finish PROXY
//! header and TLS). The adapter's handler gets a [`Connection`] that has passed all of them, in a
//! task of its own; a panic there ends that connection only.

mod accept;
mod bind;
mod handshake;
mod stats;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::drain::Scope;
use crate::error::BindError;
use crate::limits::Budget;
use crate::proxy_protocol;
use crate::stream::Stream;
use crate::tls::Tls;

pub use stats::{ListenerSnapshot, ListenerStats};

/// How a listener binds and whom it lets in.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The protocol's name, for logs and errors.
    pub name: &'static str,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Connections the kernel keeps for us before they are accepted.
    pub backlog: u32,
    /// Open connections of this listener, or of all listeners that share the budget.
    pub budget: Arc<Budget>,
    /// Open connections per client address; `None` is no limit of its own.
    pub per_ip_max: Option<usize>,
    /// Time from accept to the protocol's first byte, PROXY header and TLS handshake included.
    pub handshake_timeout: Duration,
    /// Idle time after which the kernel probes whether the client is still there.
    pub keepalive: Option<Duration>,
    pub tls: Tls,
    pub proxy: proxy_protocol::Policy,
}

impl ListenerConfig {
    pub const DEFAULT_BACKLOG: u32 = 1024;
    pub const DEFAULT_CONNECTIONS_MAX: usize = 100_000;
    pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
    pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(60);

    /// Plain, with the default limits.
    #[must_use]
    pub fn new(name: &'static str, address: SocketAddr) -> Self {
        Self {
            name,
            address,
            backlog: Self::DEFAULT_BACKLOG,
            budget: Budget::new(Self::DEFAULT_CONNECTIONS_MAX),
            per_ip_max: None,
            handshake_timeout: Self::DEFAULT_HANDSHAKE_TIMEOUT,
            keepalive: Some(Self::DEFAULT_KEEPALIVE),
            tls: Tls::off(),
            proxy: proxy_protocol::Policy::default(),
        }
    }
}

/// A connection that is ready for its protocol: its first byte has arrived and is unread.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// The client: the socket's peer, or what a trusted proxy says.
    pub peer: SocketAddr,
    /// The address the client dialled: the socket's own, or what a trusted proxy says.
    pub local: SocketAddr,
    /// Cancelled when the connection must say goodbye and end; a child of the scope's drain
    /// signal, so that cancelling it ends this connection only.
    pub draining: CancellationToken,
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    config: ListenerConfig,
    socket: TcpListener,
    local: SocketAddr,
    stats: Arc<ListenerStats>,
}

impl Listener {
    /// Binds and listens. Clients can connect from here on and wait in the backlog. Must be
    /// called inside a runtime.
    ///
    /// # Errors
    /// When the port is held or the address cannot be used.
    pub fn bind(config: ListenerConfig) -> Result<Self, BindError> {
        let failed = |source| BindError::new(config.name, config.address, source);
        let socket = bind::listen(&config).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self {
            config,
            socket,
            local,
            stats: Arc::default(),
        })
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        self.config.name
    }

    /// The bound address, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The counters; they outlive the listener.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenerStats> {
        Arc::clone(&self.stats)
    }

    /// Starts the accept loop as a task of `scope`: it closes the socket when the scope stops.
    /// Each connection runs `handler` in a task of the same scope.
    pub fn spawn<H, F>(self, scope: &Scope, handler: H)
    where
        H: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let run = accept::run(self, scope.clone(), handler);
        drop(scope.spawn("listener", run));
    }
}
