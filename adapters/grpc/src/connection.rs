//! One HTTP/2 connection. Its streams run as tasks of the door's scope, so that a panic ends one stream and a shutdown finds
//! them all. Requests are handed to the services by the path they name.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use crossdock_kit::{Connection, Scope, Stream};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::body::Body;
use tonic::server::NamedService;
use tower_service::Service as _;

use crate::adapter::Door;
use crate::call::Peer;
use crate::intake::{Budget, Metered};
use crate::service::Service;
use crate::stats::Stats;

use crossdock_proto_grpc::v2::messaging_service_server::MessagingServiceServer;

/// Bytes every HTTP/2 client sends first.
const PREFACE: u64 = 24;
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// Many streams share it, and small frames are counted against it.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const FRAME_BYTES: u32 = 256 * 1024;
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Cancelled polls come as resets; so many may be on their way before the connection is taken for an attack.
const RESETS_MAX: usize = 1024;

type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Handler = Box<dyn Fn(Request<Incoming>) -> Answered + Send + Sync>;

/// The services behind the port, by name.
pub(crate) struct Front {
    door: Arc<Door>,
    messaging: MessagingServiceServer<Service>,
    sending: MessagingServiceServer<Service>,
    budget: Budget,
    others: Vec<(&'static str, Handler)>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}

/// The one method whose requests may be large.
const SEND: &str = "/apache.rocketmq.v2.MessagingService/SendMessage";

impl Front {
    pub(crate) fn new(door: &Arc<Door>) -> Self {
        let config = &door.config;
        let service = Service(Arc::clone(door));
        let server = MessagingServiceServer::new(service);
        let (control, largest) = (config.control_bytes_max, config.request_bytes_max);
        Self {
            messaging: server.clone().max_decoding_message_size(control),
            sending: server.max_decoding_message_size(largest),
            budget: Budget::new(config.large_requests_bytes_max, largest, &door.stats),
            others: Vec::new(),
            door: Arc::clone(door),
        }
    }

    /// Adds a service of another package.
    pub(crate) fn with<S>(mut self, service: S) -> Self
    where
        S: tower_service::Service<
                Request<Incoming>,
                Response = Response<Body>,
                Error = Infallible,
                Future: Send + 'static,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let handler = move |request| -> Answered {
            let mut service = service.clone();
            Box::pin(async move { service.call(request).await })
        };
        self.others.push((S::NAME, Box::new(handler)));
        self
    }

    fn handle(&self, request: Request<Incoming>) -> Answered {
        let path = request.uri().path();
        if path == SEND {
            let budget = self.budget.clone();
            return self
                .sending
                .clone()
                .call(request.map(|body| Metered::new(body, budget)));
        }
        let name = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let name = name.map_or("", |(name, _)| name);
        if name == MessagingServiceServer::<Service>::NAME {
            return self.messaging.clone().call(request);
        }
        match self.others.iter().find(|(known, _)| *known == name) {
            Some((_, handler)) => handler(request),
            None => {
                let status = tonic::Status::unimplemented("there is no such service");
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn run(front: Arc<Front>, connection: Connection) {
    let Connection {
        stream,
        peer,
        local,
        draining,
    } = connection;
    let ends = Peer {
        address: peer,
        local,
    };
    let (door, config) = (&front.door, &front.door.config);
    let received = Arc::new(AtomicU64::new(0));
    let watched = Watched {
        stream,
        received: Arc::clone(&received),
        stats: Arc::clone(&door.stats),
    };
    let shared = Arc::clone(&front);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ends);
        shared.handle(request)
    });
    let mut serving = std::pin::pin!(
        http2::Builder::new(InScope(door.scope.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_concurrent_streams(config.streams_per_connection_max)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(RESETS_MAX)
            .keep_alive_interval(config.ping_interval)
            .keep_alive_timeout(config.ping_timeout)
            .serve_connection(TokioIo::new(watched), service)
    );
    // Pings begin with the protocol; until then only time tells.
    let mut preface = std::pin::pin!(tokio::time::sleep(config.handshake_timeout));
    let mut is_speaking = false;
    loop {
        tokio::select! {
            biased;
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            () = draining.cancelled() => break,
            () = preface.as_mut(), if !is_speaking => {
                if received.load(Ordering::Relaxed) < PREFACE {
                    Stats::count(&door.stats.silent_closed);
                    return;
                }
                is_speaking = true;
            }
        }
    }
    serving.as_mut().graceful_shutdown();
    // Streams that do not end by themselves, like a watch of health, end with the connection.
    if let Ok(Err(error)) = tokio::time::timeout(config.drain_grace, serving).await {
        tracing::debug!(%peer, %error, "connection ended while draining");
    }
}

/// Runs the streams of connections as tasks of a scope.
#[derive(Debug, Clone)]
struct InScope(Scope);

impl<F> hyper::rt::Executor<F> for InScope
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn("grpc stream", future));
    }
}

/// A stream that counts what is received.
#[derive(Debug)]
struct Watched {
    stream: Stream,
    received: Arc<AtomicU64>,
    stats: Arc<Stats>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = (buffer.filled().len() - before) as u64;
        if bytes > 0 {
            self.received.fetch_add(bytes, Ordering::Relaxed);
            Stats::add(&self.stats.bytes_in, bytes);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
