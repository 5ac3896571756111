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

use crossdock_kit::drain::{Phase, phase};
use crossdock_kit::{
    BindError, Budget, Drained, Listener, ListenerConfig, Mode, Scope, Tls, TlsError,
};
use tokio_util::sync::CancellationToken;

use crate::banner::Row;
use crate::config::{Checked, TlsMode};
use crate::data_folder::{DataFolder, DataFolderError};
use crate::exit::{Exit, Failure};

/// A part could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::DataFolder(DataFolderError::Locked(_)) => Exit::TryAgain,
            StartError::DataFolder(DataFolderError::Io { .. }) => Exit::Failure,
            StartError::Bind(BindError::Denied { .. }) => Exit::Denied,
            StartError::Bind(_) => Exit::Unavailable,
            StartError::Tls(_) => Exit::Config,
        };
        let failure = Self::new(exit, &error);
        match &error {
            StartError::Bind(bind) if bind.is_held() => {
                failure.hint("stop the other process, or move every port with --port-offset N")
            }
            _ => failure,
        }
    }
}

/// The listeners of the configuration, bound and not yet accepting.
#[derive(Debug, Default)]
pub struct Doors {
    pub nameserver: Option<Listener>,
    pub remoting: Option<Listener>,
    pub remoting_fast: Option<Listener>,
}

impl Doors {
    /// Binds everything that is enabled.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub fn bind(checked: &Checked, tls: &Tls) -> Result<Self, BindError> {
        let listen = &checked.loaded.config.listen;
        let connections_max = usize::try_from(listen.max_connections).unwrap_or(usize::MAX);
        // One budget for the whole node: a flood at one door cannot exhaust the process.
        let budget = Budget::new(connections_max);
        let bind = |name: &'static str, address: Option<SocketAddr>| {
            let bind = |address| {
                Listener::bind(ListenerConfig {
                    budget: Arc::clone(&budget),
                    handshake_timeout: listen.handshake_timeout.0,
                    tls: tls.clone(),
                    ..ListenerConfig::new(name, address)
                })
            };
            address.map(bind).transpose()
        };
        Ok(Self {
            nameserver: bind("nameserver", checked.nameserver)?,
            remoting: bind("remoting", checked.remoting)?,
            remoting_fast: bind("remoting-fast", checked.remoting_fast)?,
        })
    }

    /// The rows of the banner.
    #[must_use]
    pub fn rows(&self, checked: &Checked) -> Vec<Row> {
        let promise = checked.loaded.config.store.durability.word();
        let mut rows = Vec::new();
        let mut add = |listener: &Option<Listener>, protocol, promise, hint: &str| {
            if let Some(listener) = listener {
                let address = listener.local_addr();
                rows.push(Row {
                    protocol,
                    address,
                    promise,
                    hint: hint.to_owned(),
                });
            }
        };
        let hint = self
            .nameserver
            .as_ref()
            .map(|door| format!("NAMESRV_ADDR={}", door.local_addr()));
        add(
            &self.nameserver,
            "nameserver",
            "-",
            &hint.unwrap_or_default(),
        );
        add(
            &self.remoting,
            "remoting",
            promise,
            "RocketMQ 4.x and 5.x remoting clients",
        );
        add(&self.remoting_fast, "remoting (fast)", promise, "");
        rows
    }
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
    doors: Doors,
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
        let doors = Doors::bind(&checked, &tls)?;
        let rows = doors.rows(&checked);
        let is_ready = Arc::new(AtomicBool::new(true));
        Ok(Self {
            checked,
            folder,
            scope,
            adapters,
            is_ready,
            rows,
            doors,
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
        drop(self.doors);
        phase(Phase::Goodbyes, async { self.adapters.drain() }).await;
        let drained = phase(Phase::Adapters, self.adapters.finish(grace, hurry)).await;
        if let Drained::Killed { tasks } = drained {
            tracing::warn!(tasks, "connections did not finish in time and were closed");
        }
        // What is left are the tasks of the node itself.
        let rest = grace.saturating_sub(begun.elapsed());
        phase(Phase::Hub, self.scope.finish(rest, hurry)).await;
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
