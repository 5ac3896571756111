//! The broker side of the door: what its handlers share. Owns the dispatcher and the counters of
//! held pulls; everything durable is the hub's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossdock_hub::{ConnectionId, Hub, Identity};
use crossdock_kit::Scope;
use crossdock_proto_remoting::Command;
use tokio::sync::Semaphore;

use crate::advertise::Advertise;
use crate::auth;
use crate::config::RemotingConfig;
use crate::connection::{Door, Peer};
use crate::dispatch::Dispatcher;
use crate::error::Refusal;
use crate::rates::Rates;
use crate::stats::Stats;
use crate::translate::incoming::Stamp;

/// What stands behind the two broker listeners.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) hub: Hub,
    pub(crate) config: Arc<RemotingConfig>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) scope: Scope,
    pub(crate) stamp: Stamp,
    pub(crate) advertise: Advertise,
    pub(crate) rates: Arc<Rates>,
    /// Pulls that wait for messages, over all connections.
    pub(crate) held_pulls: AtomicUsize,
    /// When the adapter started.
    pub(crate) started_ms: i64,
    pub(crate) dispatcher: Dispatcher<Self>,
    pub(crate) large_frames: Arc<Semaphore>,
}

impl Broker {
    /// The name under which the hub stands in routes.
    pub(crate) fn name(&self) -> &str {
        &self.hub.config().node
    }
}

impl Door for Broker {
    fn config(&self) -> &RemotingConfig {
        &self.config
    }

    fn dispatcher(&self) -> &Dispatcher<Self> {
        &self.dispatcher
    }

    fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn large_frames(&self) -> &Arc<Semaphore> {
        &self.large_frames
    }

    fn next_connection(&self) -> ConnectionId {
        self.hub.new_connection()
    }

    fn node(&self) -> Arc<str> {
        self.hub.config().node.as_str().into()
    }

    fn advertised_to(&self, local: SocketAddr) -> SocketAddr {
        self.advertise.address(local)
    }

    fn drive(&self) {
        self.hub.drive();
    }

    async fn identify(&self, command: &Command, peer: &Peer) -> Result<Identity, Refusal> {
        auth::identify(&self.hub, command, peer).await
    }

    fn left(&self, peer: &Arc<Peer>) {
        self.hub.connection_closed(peer.id);
    }
}
