//! The name server. Owns the table of foreign brokers; the hub itself appears as one more broker,
//! as a live view of its topics, without registering.

mod brokers;
mod cluster;
mod config;
mod kv;
mod lists;
mod permission;
mod route;
mod table;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossdock_hub::{ConnectionId, Hub, Identity};
use crossdock_kit::Scope;
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

use crate::advertise::Advertise;
use crate::auth;
use crate::config::RemotingConfig;
use crate::connection::{Door, Peer};
use crate::dispatch::Dispatcher;
use crate::error::Refusal;
use crate::stats::Stats;

pub(crate) use table::{Limits, RouteTable};

/// How often silent brokers are looked for.
const SCAN: Duration = Duration::from_secs(5);

/// What stands behind the name server's listener.
#[derive(Debug)]
pub(crate) struct NameServer {
    pub(crate) hub: Hub,
    pub(crate) config: Arc<RemotingConfig>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) scope: Scope,
    /// `None` without a broker of our own: only foreign ones are shown.
    pub(crate) advertise: Option<Advertise>,
    pub(crate) table: RouteTable,
    /// The hub's own topics are shown without write permission.
    pub(crate) is_own_write_wiped: AtomicBool,
    pub(crate) dispatcher: Dispatcher<Self>,
    pub(crate) large_frames: Arc<Semaphore>,
}

/// Everything the name server does.
pub(crate) fn dispatcher() -> Dispatcher<NameServer> {
    let mut on = Dispatcher::new();
    on.now(request::GET_ROUTEINFO_BY_TOPIC, route::route)
        .now(request::GET_BROKER_CLUSTER_INFO, cluster::info)
        .now(request::GET_BROKER_MEMBER_GROUP, cluster::members);
    on.task(request::REGISTER_BROKER, brokers::register)
        .now(request::UNREGISTER_BROKER, brokers::unregister)
        .now(request::QUERY_DATA_VERSION, brokers::query_version)
        .now(request::BROKER_HEARTBEAT, brokers::heartbeat)
        .now(request::REGISTER_TOPIC_IN_NAMESRV, brokers::register_topic)
        .now(request::DELETE_TOPIC_IN_NAMESRV, brokers::delete_topic);
    on.now(request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, lists::all)
        .now(request::GET_TOPICS_BY_CLUSTER, lists::of_cluster)
        .now(request::GET_SYSTEM_TOPIC_LIST_FROM_NS, lists::system)
        .now(request::GET_UNIT_TOPIC_LIST, lists::unit)
        .now(request::GET_HAS_UNIT_SUB_TOPIC_LIST, lists::unit)
        .now(request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, lists::unit);
    on.now(request::UPDATE_NAMESRV_CONFIG, config::update)
        .now(request::GET_NAMESRV_CONFIG, config::get);
    on.now(request::WIPE_WRITE_PERM_OF_BROKER, permission::wipe)
        .now(request::ADD_WRITE_PERM_OF_BROKER, permission::add);
    on.task(request::PUT_KV_CONFIG, kv::put)
        .now(request::GET_KV_CONFIG, kv::get)
        .task(request::DELETE_KV_CONFIG, kv::delete)
        .now(request::GET_KVLIST_BY_NAMESPACE, kv::list);
    on
}

impl NameServer {
    /// Forgets silent brokers until the scope drains.
    pub(crate) async fn scan(self: Arc<Self>) {
        let mut tick = tokio::time::interval(SCAN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.scope.draining().cancelled() => return,
                _ = tick.tick() => {
                    let expired = self.table.expire(Instant::now());
                    if expired > 0 {
                        tracing::warn!(expired, "foreign brokers stopped registering");
                    }
                }
            }
        }
    }
}

impl Door for NameServer {
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
        self.advertise
            .as_ref()
            .map_or(local, |advertise| advertise.address(local))
    }

    fn drive(&self) {
        // Nothing here submits sends.
    }

    async fn identify(&self, command: &Command, peer: &Peer) -> Result<Identity, Refusal> {
        auth::identify(&self.hub, command, peer).await
    }

    fn left(&self, peer: &Arc<Peer>) {
        self.table.connection_closed(peer.id);
    }
}
