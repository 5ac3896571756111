//! What the adapter is configured with: plain validated values. The composition root reads files and fills this in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossdock_kit::{Budget, ListenerConfig, proxy_protocol};

/// Settings of the gRPC door.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    /// Where clients are expected (8081); `None` leaves the door shut.
    pub listen: Option<SocketAddr>,
    /// Open connections of this listener, or of all that share the budget.
    pub connections: Arc<Budget>,
    /// Open connections per client address.
    pub per_ip_max: Option<usize>,
    /// From whom a PROXY protocol header is taken.
    pub proxy: proxy_protocol::Policy,
    /// Region name every message carries.
    pub region: String,
    /// Whether clients may write message traces.
    pub trace_on: bool,
    /// Time for a new connection to send the HTTP/2 preface, TLS handshake included.
    pub handshake_timeout: Duration,
    /// Calls of one connection that are open at one time, long polls included.
    pub streams_per_connection_max: u32,
    /// Largest send request.
    pub request_bytes_max: usize,
    /// Bytes of large send requests that may be half-received at one time, over all connections.
    pub large_requests_bytes_max: usize,
    /// Largest request of any other method, and largest telemetry frame.
    pub control_bytes_max: usize,
    /// Largest body of one message.
    pub body_bytes_max: usize,
    /// Most bytes of the properties of one message, tag and keys included.
    pub properties_bytes_max: usize,
    /// Most properties of an application in one message.
    pub properties_max: usize,
    /// Most messages in one send request.
    pub batch_max: usize,
    /// Pause after which a silent peer is asked whether it is still there.
    pub ping_interval: Duration,
    /// Time it has to answer.
    pub ping_timeout: Duration,
    /// Clients that are known at one time.
    pub sessions_max: usize,
    /// A client without an open telemetry stream that says nothing for this long is forgotten.
    pub session_expiry: Duration,
    /// Requests for messages that wait, over all connections.
    pub held_polls_max: usize,
    /// Longest time such a request waits, whatever the client asks for.
    pub held_poll_time_max: Duration,
    /// Messages in one answer.
    pub receive_batch_max: u32,
    /// How long connections are still served when the adapter drains.
    pub drain_grace: Duration,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            listen: None,
            connections: Budget::new(ListenerConfig::DEFAULT_CONNECTIONS_MAX),
            per_ip_max: None,
            proxy: proxy_protocol::Policy::default(),
            region: "DefaultRegion".to_owned(),
            trace_on: true,
            handshake_timeout: Duration::from_secs(10),
            streams_per_connection_max: 8192,
            request_bytes_max: 16 * 1024 * 1024,
            large_requests_bytes_max: 256 * 1024 * 1024,
            control_bytes_max: 512 * 1024,
            body_bytes_max: 4 * 1024 * 1024,
            properties_bytes_max: 32 * 1024,
            properties_max: 128,
            batch_max: 1024,
            ping_interval: Duration::from_secs(45),
            ping_timeout: Duration::from_secs(20),
            sessions_max: 200_000,
            session_expiry: Duration::from_secs(120),
            held_polls_max: 256 * 1024,
            held_poll_time_max: Duration::from_secs(20),
            receive_batch_max: 32,
            drain_grace: Duration::from_millis(500),
        }
    }
}
