//! The accept loop. It never ends because of a client or a shortage: a full budget closes the
//! newcomer, a failing accept backs off and tries again. It ends when its scope stops.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::handshake::{self, Refused};
use super::stats::OpenGuard;
use super::{Connection, Listener, ListenerConfig, ListenerStats};
use crate::drain::Scope;
use crate::limits::{IpPermit, PerIp, Permit};
use crate::panics;

/// Waits between failing accepts (out of file descriptors or memory), doubling up to the last.
const BACK_OFF_FIRST: Duration = Duration::from_millis(5);
const BACK_OFF_LAST: Duration = Duration::from_secs(1);
/// At most one line per interval about a repeating condition.
const LOG_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn run<H, F>(listener: Listener, scope: Scope, handler: H)
where
    H: Fn(Connection) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let Listener {
        config,
        socket,
        stats,
        ..
    } = listener;
    let config = Arc::new(config);
    let per_ip = config.per_ip_max.map(PerIp::new);
    let mut back_off = BACK_OFF_FIRST;
    let (mut errors, mut rejects) = (LogGate::default(), LogGate::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = scope.stopping().cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) if is_clients_fault(&error) => continue,
            Err(error) => {
                ListenerStats::count(&stats.accept_errors);
                if errors.opens() {
                    tracing::warn!(listener = config.name, %error, "accepting fails, backing off");
                }
                tokio::select! {
                    () = scope.stopping().cancelled() => return,
                    () = tokio::time::sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(BACK_OFF_LAST);
                continue;
            }
        };
        back_off = BACK_OFF_FIRST;
        ListenerStats::count(&stats.accepted);
        match admit(&tcp, &config, per_ip.as_ref(), &stats) {
            Ok(place) => {
                let work = serve(
                    tcp,
                    place,
                    Arc::clone(&config),
                    scope.clone(),
                    handler.clone(),
                );
                drop(scope.spawn("connection", work));
            }
            Err(reason) => {
                if rejects.opens() {
                    tracing::warn!(listener = config.name, reason, "connections are refused");
                }
            }
        }
    }
}

/// A connection's places in every limit, given back together.
struct Place {
    _permit: Permit,
    _ip_permit: Option<IpPermit>,
    _open: OpenGuard,
    stats: Arc<ListenerStats>,
}

fn admit(
    tcp: &TcpStream,
    config: &ListenerConfig,
    per_ip: Option<&Arc<PerIp>>,
    stats: &Arc<ListenerStats>,
) -> Result<Place, &'static str> {
    let Some(permit) = config.budget.try_take() else {
        ListenerStats::count(&stats.rejected_budget);
        return Err("too many connections");
    };
    let peer = tcp.peer_addr().map_err(|_| "connection already gone")?;
    let source = peer.ip().to_canonical();
    let ip_permit = match per_ip {
        // Behind a proxy all clients share its address, which says nothing about any of them.
        Some(limit) if !config.proxy.applies_to(source) => match limit.try_take(source) {
            Some(permit) => Some(permit),
            None => {
                ListenerStats::count(&stats.rejected_per_ip);
                return Err("too many connections from one address");
            }
        },
        _ => None,
    };
    Ok(Place {
        _permit: permit,
        _ip_permit: ip_permit,
        _open: OpenGuard::new(stats),
        stats: Arc::clone(stats),
    })
}

async fn serve<H, F>(
    tcp: TcpStream,
    place: Place,
    config: Arc<ListenerConfig>,
    scope: Scope,
    handler: H,
) where
    H: Fn(Connection) -> F,
    F: Future<Output = ()>,
{
    let stats = &place.stats;
    tune(&tcp, &config);
    let token = scope.draining().child_token();
    let ready = tokio::select! {
        biased;
        () = token.cancelled() => return,
        ready = tokio::time::timeout(
            config.handshake_timeout,
            // Boxed: most of a connection's life is spent behind this point.
            Box::pin(handshake::run(tcp, &config)),
        ) => ready,
    };
    let ready = match ready {
        Ok(Ok(ready)) => ready,
        Ok(Err(Refused::Gone)) => return,
        Ok(Err(refused)) => {
            ListenerStats::count(&stats.handshake_failures);
            tracing::debug!(listener = config.name, %refused, "connection refused");
            return;
        }
        Err(_) => {
            ListenerStats::count(&stats.handshake_timeouts);
            tracing::debug!(listener = config.name, "client did not speak in time");
            return;
        }
    };
    if ready.stream.is_tls() {
        ListenerStats::count(&stats.tls);
    }
    let connection = Connection {
        stream: ready.stream,
        peer: ready.peer,
        local: ready.local,
        draining: token,
    };
    // Contained here and not only by the scope, to count it for this listener.
    if let Err(panicked) = panics::contain(async move { handler(connection).await }).await {
        ListenerStats::count(&stats.panics);
        scope.count_panic();
        tracing::error!(
            listener = config.name,
            peer = %ready.peer,
            panic = panicked.0,
            "a connection panicked and was closed"
        );
    }
}

/// Socket options are wishes: a connection works without them.
fn tune(tcp: &TcpStream, config: &ListenerConfig) {
    let tuned = tcp.set_nodelay(true).and_then(|()| match config.keepalive {
        Some(idle) => {
            let keepalive = TcpKeepalive::new().with_time(idle).with_interval(idle / 4);
            SockRef::from(tcp).set_tcp_keepalive(&keepalive)
        }
        None => Ok(()),
    });
    if let Err(error) = tuned {
        tracing::debug!(listener = config.name, %error, "socket options were not taken");
    }
}

/// The connection died in the backlog; the listener is fine.
fn is_clients_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Lets one line per [`LOG_EVERY`] through.
#[derive(Default)]
struct LogGate {
    last: Option<Instant>,
}

impl LogGate {
    fn opens(&mut self) -> bool {
        let now = Instant::now();
        let opens = self
            .last
            .is_none_or(|last| now.duration_since(last) >= LOG_EVERY);
        if opens {
            self.last = Some(now);
        }
        opens
    }
}
