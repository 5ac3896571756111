//! Putting the door together: binds, builds the services, starts their tasks. What runs belongs to the scope that was handed
//! in, and ends with it.

use std::net::SocketAddr;
use std::sync::Arc;

use crossdock_hub::Hub;
use crossdock_kit::{ListenerStats, Scope, Tls};
use crossdock_proto_grpc::{DESCRIPTORS, SERVICE};
use tokio::sync::Semaphore;
use tonic_health::ServingStatus;

use crate::config::GrpcConfig;
use crate::connection::Front;
use crate::error::StartError;
use crate::listener;
use crate::session::{self, Sessions};
use crate::stats::Stats;
use crate::translate::incoming::Stamp;

/// The gRPC door.
#[derive(Debug)]
pub struct GrpcAdapter;

/// A running door. It ends with its scope.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Counters of the door.
    pub stats: Arc<Stats>,
    /// Counters of the listener.
    pub listener: Arc<ListenerStats>,
}

/// What handlers share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) hub: Hub,
    pub(crate) config: GrpcConfig,
    pub(crate) stats: Arc<Stats>,
    pub(crate) scope: Scope,
    pub(crate) stamp: Stamp,
    pub(crate) sessions: Sessions,
    /// Requests that may still wait for messages.
    pub(crate) held_polls: Arc<Semaphore>,
}

impl GrpcAdapter {
    /// Binds and starts; `None` if no address is configured. The listener stops and connections drain as `scope` says.
    ///
    /// # Errors
    /// The port is held, or a service cannot be built. Nothing runs then.
    pub async fn start(
        hub: Hub,
        config: GrpcConfig,
        tls: Tls,
        scope: Scope,
    ) -> Result<Option<Running>, StartError> {
        let Some(address) = config.listen else {
            return Ok(None);
        };
        let bound = listener::bind(address, &config, tls)?;
        let stats = Arc::new(Stats::default());
        let running = Running {
            address: bound.local_addr(),
            stats: Arc::clone(&stats),
            listener: bound.stats(),
        };
        let held = config.held_polls_max.min(Semaphore::MAX_PERMITS);
        let door = Arc::new(Door {
            stamp: Stamp::new(&config, &hub.config().cluster),
            sessions: Sessions::new(config.sessions_max, &stats),
            held_polls: Arc::new(Semaphore::new(held)),
            hub,
            config,
            stats,
            scope: scope.clone(),
        });
        let front = front(&door).await?;
        drop(scope.spawn(
            "session expiry",
            session::expire(Arc::clone(&door), scope.clone()),
        ));
        listener::serve(bound, &scope, &Arc::new(front));
        Ok(Some(running))
    }
}

/// The services behind the port: messaging, health, and reflection in both versions tools ask for.
async fn front(door: &Arc<Door>) -> Result<Front, StartError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(SERVICE, ServingStatus::Serving)
        .await;
    let draining = door.scope.draining().clone();
    let goodbye = async move {
        draining.cancelled().await;
        for service in ["", SERVICE] {
            reporter
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    };
    drop(door.scope.spawn("health", goodbye));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Front::new(door)
        .with(health)
        .with(reflection().build_v1()?)
        .with(reflection().build_v1alpha()?))
}
