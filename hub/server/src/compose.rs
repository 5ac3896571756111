//! The composition root: builds the parts from the configuration, in order, and takes them down
//! in the reverse one. Every dependency between parts is visible here and nowhere else.
//!
//! Start: data folder → store → hub → listeners bound → adapters accept. Binding comes before
//! accepting, so that a held port ends the start before any client is let in.
//! Stop: readiness → listeners → goodbyes → adapters → hub → store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossdock_grpc::{GrpcAdapter, StartError as GrpcError};
use crossdock_hub::{Hub, HubError};
use crossdock_kit::drain::{Phase, phase};
use crossdock_kit::{BindError, Budget, Drained, Mode, Scope, Tls, TlsError};
use crossdock_remoting::{RemotingAdapter, Running, StartError as RemotingError};
use crossdock_store::error::OpenError;
use crossdock_store::store::Store;
use tokio_util::sync::CancellationToken;

use crate::banner::Row;
use crate::config::{Checked, TlsMode};
use crate::data_folder::{DataFolder, DataFolderError};
use crate::exit::{Exit, Failure};
use crate::parts;

/// A part could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Remoting(#[from] RemotingError),
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl StartError {
    /// The port that could not be listened on.
    fn bind(&self) -> Option<&BindError> {
        match self {
            Self::Remoting(RemotingError::Bind(error)) | Self::Grpc(GrpcError::Bind(error)) => {
                Some(error)
            }
            _ => None,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::DataFolder(DataFolderError::Locked(_)) => Exit::TryAgain,
            StartError::DataFolder(DataFolderError::Io { .. }) => Exit::Failure,
            StartError::Store(OpenError::Locked) => Exit::TryAgain,
            StartError::Store(OpenError::Log(_) | OpenError::Replay(_)) => Exit::BadData,
            StartError::Store(_) | StartError::Hub(_) => Exit::Failure,
            StartError::Remoting(RemotingError::Bind(bind))
            | StartError::Grpc(GrpcError::Bind(bind)) => match bind {
                BindError::Denied { .. } => Exit::Denied,
                _ => Exit::Unavailable,
            },
            StartError::Grpc(GrpcError::Reflection(_)) => Exit::Internal,
            StartError::Remoting(_) | StartError::Tls(_) => Exit::Config,
        };
        let failure = Self::new(exit, &error);
        match error.bind() {
            Some(bind) if bind.is_held() => {
                failure.hint("stop the other process, or move every port with --port-offset N")
            }
            _ => failure,
        }
    }
}

/// The rows of the banner.
fn rows(running: &Running, grpc: Option<SocketAddr>, checked: &Checked) -> Vec<Row> {
    let promise = checked.loaded.config.store.durability.word();
    let row = |protocol, address: Option<SocketAddr>, promise, hint: String| {
        address.map(|address| Row {
            protocol,
            address,
            promise,
            hint,
        })
    };
    let nameserver = running.name_server;
    let hint = nameserver
        .map(|at| format!("NAMESRV_ADDR={at}"))
        .unwrap_or_default();
    let clients = "RocketMQ 4.x and 5.x remoting clients".to_owned();
    [
        row("nameserver", nameserver, "-", hint),
        row("remoting", running.broker, promise, clients),
        row(
            "remoting (fast)",
            running.broker_fast,
            promise,
            String::new(),
        ),
        row("grpc", grpc, promise, "RocketMQ 5 gRPC clients".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    checked: Checked,
    folder: DataFolder,
    scope: Scope,
    adapters: Scope,
    is_ready: Arc<AtomicBool>,
    rows: Vec<Row>,
    store: Store,
    hub: Hub,
}

impl Node {
    /// Starts every part.
    ///
    /// # Errors
    /// The first part that cannot be started; what was started before is dropped.
    pub async fn start(checked: Checked) -> Result<Self, StartError> {
        let folder = DataFolder::open(&checked.loaded.config.node.data_dir)?;
        let tls = tls(&checked, &folder)?;
        let scope = Scope::root("node");
        let adapters = scope.child("adapters");
        let store = Store::open(&folder.path().join("store"), parts::store(&checked))?;
        let hub = Hub::start(store.clone(), parts::hub(&checked)).await?;
        let listen = &checked.loaded.config.listen;
        // One budget for the whole node: a flood at one door cannot exhaust the process.
        let connections =
            Budget::new(usize::try_from(listen.max_connections).unwrap_or(usize::MAX));
        let remoting = parts::remoting(&checked, Arc::clone(&connections));
        let running =
            RemotingAdapter::start(hub.clone(), remoting, tls.clone(), adapters.clone()).await?;
        let grpc = parts::grpc(&checked, connections);
        let grpc = GrpcAdapter::start(hub.clone(), grpc, tls, adapters.clone()).await?;
        Ok(Self {
            rows: rows(&running, grpc.map(|grpc| grpc.address), &checked),
            is_ready: Arc::new(AtomicBool::new(true)),
            checked,
            folder,
            scope,
            adapters,
            store,
            hub,
        })
    }

    #[must_use]
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    #[must_use]
    pub fn data_folder(&self) -> &DataFolder {
        &self.folder
    }

    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Takes everything down in order. `hurry` skips the waits, never the store.
    pub async fn stop(self, hurry: &CancellationToken) {
        let grace = self.checked.loaded.config.node.shutdown_grace.0;
        let begun = Instant::now();
        phase(Phase::Readiness, async {
            self.is_ready.store(false, Ordering::Release);
        })
        .await;
        phase(Phase::Listeners, async { self.adapters.stop() }).await;
        phase(Phase::Goodbyes, async { self.adapters.drain() }).await;
        let drained = phase(Phase::Adapters, self.adapters.finish(grace, hurry)).await;
        if let Drained::Killed { tasks } = drained {
            tracing::warn!(tasks, "connections did not finish in time and were closed");
        }
        // What is left are the tasks of the node itself.
        let rest = grace.saturating_sub(begun.elapsed());
        phase(Phase::Hub, async {
            if let Err(error) = self.hub.close().await {
                tracing::warn!(%error, "the last positions were not written");
            }
            self.scope.finish(rest, hurry).await;
        })
        .await;
        let store = self.store.clone();
        phase(Phase::Store, async {
            if tokio::task::spawn_blocking(move || store.close())
                .await
                .is_err()
            {
                tracing::error!("the store did not close cleanly");
            }
        })
        .await;
        drop(self.folder);
    }
}

fn tls(checked: &Checked, folder: &DataFolder) -> Result<Tls, TlsError> {
    let config = &checked.loaded.config;
    let mode = match config.tls.mode {
        TlsMode::Off => return Ok(Tls::off()),
        TlsMode::Permissive => Mode::Permissive,
        TlsMode::Require => Mode::Require,
    };
    if !config.tls.cert.as_os_str().is_empty() {
        return Tls::from_pem(mode, &config.tls.cert, &config.tls.key);
    }
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    if !config.listen.bind.is_unspecified() && !config.listen.bind.is_loopback() {
        names.push(config.listen.bind.to_string());
    }
    names.extend(checked.advertise.clone());
    Tls::self_signed(mode, &folder.path().join("tls"), &names)
}
