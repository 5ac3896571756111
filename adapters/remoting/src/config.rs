//! What the adapter is configured with: plain validated values. The composition root reads files
//! and fills this in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossdock_kit::{Budget, ListenerConfig, proxy_protocol};
use crossdock_proto_remoting::DEFAULT_MAX_FRAME;

use crate::register::Credential;

/// Settings of the remoting door and its name server.
#[derive(Clone, Debug)]
pub struct RemotingConfig {
    /// Where brokers are expected to listen (10911); `None` leaves the broker side out.
    pub listen: Option<SocketAddr>,
    /// The second port of a broker (two below the first by convention); same requests, same answers.
    pub listen_fast: Option<SocketAddr>,
    /// Where the name server listens (9876).
    pub listen_name_server: Option<SocketAddr>,
    /// `host:port` under which clients reach the broker. `None` answers each client with the
    /// address it dialled and the broker's port.
    pub advertise: Option<String>,
    /// Foreign name servers (`host:port`) this broker registers itself with.
    pub register: Vec<String>,
    /// What these registrations are signed with; unsigned if absent.
    pub register_as: Option<Credential>,
    /// Pause between two registrations without a change of topics.
    pub register_period: Duration,
    /// Open connections of all three listeners together.
    pub connections: Arc<Budget>,
    /// Open connections per client address.
    pub per_ip_max: Option<usize>,
    /// From whom a PROXY protocol header is taken.
    pub proxy: proxy_protocol::Policy,
    /// Region name every message and send response carries.
    pub region: String,
    /// Whether clients may write message traces.
    pub trace_on: bool,
    /// Largest body of one message or batch.
    pub body_bytes_max: usize,
    /// Most bytes of the properties a producer sends with a message.
    pub properties_bytes_max: usize,
    /// Time for a new connection to send its first byte, TLS handshake included.
    pub handshake_timeout: Duration,
    /// Largest frame accepted.
    pub frame_bytes_max: usize,
    /// Bytes of large frames that may be half-received at one time, over all connections.
    pub large_frames_bytes_max: usize,
    /// Longest time between the first and the last byte of a large frame.
    pub frame_timeout: Duration,
    /// A connection without a request for this long is closed.
    pub idle_timeout: Duration,
    /// Sends of one connection that wait for their outcome; beyond it nothing more is read.
    pub sends_in_flight_max: usize,
    /// Requests of one connection that run beside it; beyond it nothing more is read.
    pub tasks_in_flight_max: usize,
    /// Pulls of one connection that wait for messages.
    pub held_pulls_per_connection_max: usize,
    /// Pulls that wait for messages, over all connections.
    pub held_pulls_max: usize,
    /// Longest time a pull waits, whatever the client asks for.
    pub held_pull_time_max: Duration,
    /// How long connections are still served when the adapter drains.
    pub drain_grace: Duration,
    /// A foreign broker that does not register for this long is forgotten, unless it asked for
    /// another time.
    pub broker_expiry: Duration,
    /// Foreign brokers the name server knows at most.
    pub foreign_brokers_max: usize,
    /// Topics of foreign brokers the name server knows at most.
    pub foreign_topics_max: usize,
}

impl Default for RemotingConfig {
    fn default() -> Self {
        Self {
            listen: None,
            listen_fast: None,
            listen_name_server: None,
            advertise: None,
            register: Vec::new(),
            register_as: None,
            register_period: Duration::from_secs(30),
            connections: Budget::new(ListenerConfig::DEFAULT_CONNECTIONS_MAX),
            per_ip_max: None,
            proxy: proxy_protocol::Policy::default(),
            region: "DefaultRegion".to_owned(),
            trace_on: true,
            body_bytes_max: 4 * 1024 * 1024,
            properties_bytes_max: 32 * 1024,
            handshake_timeout: Duration::from_secs(10),
            frame_bytes_max: DEFAULT_MAX_FRAME,
            large_frames_bytes_max: 256 * 1024 * 1024,
            frame_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            sends_in_flight_max: 4096,
            tasks_in_flight_max: 128,
            held_pulls_per_connection_max: 16 * 1024,
            held_pulls_max: 256 * 1024,
            held_pull_time_max: Duration::from_secs(30),
            drain_grace: Duration::from_millis(500),
            broker_expiry: Duration::from_secs(120),
            foreign_brokers_max: 4096,
            foreign_topics_max: 1_000_000,
        }
    }
}
