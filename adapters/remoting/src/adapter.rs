//! Putting the door together: binds, builds broker and name server, starts their tasks. What runs
//! belongs to the scope that was handed in, and ends with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossdock_hub::{Hub, Tracer};
use crossdock_kit::{Listener, ListenerStats, Scope, Tls};
use crossdock_proto_remoting::record::UniqKeySource;
use tokio::sync::Semaphore;

use crate::advertise::Advertise;
use crate::broker::Broker;
use crate::config::RemotingConfig;
use crate::error::StartError;
use crate::namesrv::{self, NameServer};
use crate::rates::Rates;
use crate::register::{self, Registrar};
use crate::stats::Stats;
use crate::translate::incoming::Stamp;
use crate::{handler, listener, trace};

/// The remoting door.
#[derive(Debug)]
pub struct RemotingAdapter;

/// A running door. It ends with its scope.
#[derive(Debug)]
pub struct Running {
    /// Where the broker listens.
    pub broker: Option<SocketAddr>,
    /// Where the broker listens besides.
    pub broker_fast: Option<SocketAddr>,
    /// Where the name server listens.
    pub name_server: Option<SocketAddr>,
    /// Counters of requests and responses, of both broker and name server.
    pub stats: Arc<Stats>,
    /// Counters of each listener, by its name.
    pub listeners: Vec<(&'static str, Arc<ListenerStats>)>,
}

struct Bound {
    broker: Option<Listener>,
    fast: Option<Listener>,
    name_server: Option<Listener>,
}

impl Bound {
    fn bind(config: &RemotingConfig, tls: &Tls) -> Result<Self, StartError> {
        let open = |name, address: Option<SocketAddr>| {
            address
                .map(|address| listener::bind(name, address, config, tls))
                .transpose()
        };
        Ok(Self {
            broker: open("remoting", config.listen)?,
            fast: open("remoting fast", config.listen_fast)?,
            name_server: open("name server", config.listen_name_server)?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Listener> {
        [&self.broker, &self.fast, &self.name_server]
            .into_iter()
            .flatten()
    }
}

impl RemotingAdapter {
    /// Binds and starts. Listeners stop, connections drain and registrations are withdrawn as
    /// `scope` says.
    ///
    /// # Errors
    /// A port is held, or an address of the configuration cannot be used. Nothing runs then.
    pub async fn start(
        hub: Hub,
        config: RemotingConfig,
        tls: Tls,
        scope: Scope,
    ) -> Result<Running, StartError> {
        let servers = config
            .register
            .iter()
            .map(|text| register::parse(text))
            .collect::<Result<Vec<_>, _>>()?;
        let bound = Bound::bind(&config, &tls)?;
        let address = |listener: &Option<Listener>| listener.as_ref().map(Listener::local_addr);
        let mut running = Running {
            broker: address(&bound.broker),
            broker_fast: address(&bound.fast),
            name_server: address(&bound.name_server),
            stats: Arc::new(Stats::new(
                handler::dispatcher()
                    .codes()
                    .chain(namesrv::dispatcher().codes()),
            )),
            listeners: bound.all().map(|l| (l.name(), l.stats())).collect(),
        };
        running.listeners.shrink_to_fit();
        let advertise = match running.broker.or(running.broker_fast) {
            Some(broker) => {
                let configured = config.advertise.as_deref();
                Some(Advertise::resolve(configured, broker.port()).await?)
            }
            None => None,
        };
        let parts = Parts {
            hub,
            large_frames: Arc::new(Semaphore::new(large_frames(&config))),
            config: Arc::new(config),
            stats: Arc::clone(&running.stats),
            scope,
        };
        if let Some(advertise) = &advertise {
            let broker = parts.broker(advertise.clone());
            drop(parts.scope.spawn(
                "rates",
                Arc::clone(&broker.rates).run(parts.hub.clone(), parts.scope.draining().clone()),
            ));
            if let Some(events) = broker.hub.tracer().and_then(Tracer::events) {
                let stop = parts.scope.draining().clone();
                let writing = trace::write(Arc::clone(&broker), events, stop);
                drop(parts.scope.spawn("trace", writing));
            }
            for listener in [bound.broker, bound.fast].into_iter().flatten() {
                listener::serve(listener, &parts.scope, &broker);
            }
            for server in servers {
                let registrar = Registrar::new(Arc::clone(&broker), server);
                drop(parts.scope.spawn("registration", registrar.run()));
            }
        }
        if let Some(listener) = bound.name_server {
            let name_server = parts.name_server(advertise);
            drop(
                parts
                    .scope
                    .spawn("broker expiry", Arc::clone(&name_server).scan()),
            );
            listener::serve(listener, &parts.scope, &name_server);
        }
        Ok(running)
    }
}

/// What broker and name server share.
struct Parts {
    hub: Hub,
    config: Arc<RemotingConfig>,
    stats: Arc<Stats>,
    scope: Scope,
    large_frames: Arc<Semaphore>,
}

impl Parts {
    fn broker(&self, advertise: Advertise) -> Arc<Broker> {
        let started_ms = self.hub.now_ms();
        let ip = match &advertise {
            Advertise::Fixed { address, .. } => address.ip(),
            Advertise::Dialled { .. } => std::net::Ipv4Addr::LOCALHOST.into(),
        };
        // A start in another millisecond makes other keys, also for a process of the same number.
        let salt = (started_ms as u64 ^ (started_ms as u64 >> 32)) as u32;
        let uniq_keys = UniqKeySource::new(ip, std::process::id(), salt);
        let cluster = &self.hub.config().cluster;
        Arc::new(Broker {
            stamp: Stamp::new(
                &self.config.region,
                self.config.trace_on,
                cluster,
                uniq_keys,
            ),
            hub: self.hub.clone(),
            config: Arc::clone(&self.config),
            stats: Arc::clone(&self.stats),
            scope: self.scope.clone(),
            advertise,
            rates: Arc::new(Rates::new(Arc::clone(&self.stats))),
            held_pulls: AtomicUsize::new(0),
            started_ms,
            dispatcher: handler::dispatcher(),
            large_frames: Arc::clone(&self.large_frames),
        })
    }

    fn name_server(&self, advertise: Option<Advertise>) -> Arc<NameServer> {
        Arc::new(NameServer {
            hub: self.hub.clone(),
            config: Arc::clone(&self.config),
            stats: Arc::clone(&self.stats),
            scope: self.scope.clone(),
            advertise,
            table: namesrv::RouteTable::new(namesrv::Limits {
                brokers_max: self.config.foreign_brokers_max,
                topics_max: self.config.foreign_topics_max,
                expiry: self.config.broker_expiry,
            }),
            is_own_write_wiped: false.into(),
            dispatcher: namesrv::dispatcher(),
            large_frames: Arc::clone(&self.large_frames),
        })
    }
}

/// The budget of large frames in KiB; one frame of the largest size always fits.
fn large_frames(config: &RemotingConfig) -> usize {
    let bytes = config.large_frames_bytes_max.max(config.frame_bytes_max);
    (bytes / 1024 + 1).min(Semaphore::MAX_PERMITS)
}
