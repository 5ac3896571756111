//! `crossdock serve`: start, say so, wait for a signal, drain.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{checked, print};
use crate::banner::Banner;
use crate::cli::Settings;
use crate::compose::Node;
use crate::config::{Checked, TlsMode};
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::open_files;
use crate::signals::Signals;

/// Blocking file work belongs to the store's own threads; what is left here is little.
const BLOCKING_THREADS_MAX: usize = 8;

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let begun = Instant::now();
    let checked = checked(settings)?;
    logging::start(&checked.loaded.config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(checked.worker_threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("crossdock")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start threads: {error}")))?;
    runtime.block_on(serve(checked, begun))
}

async fn serve(checked: Checked, begun: Instant) -> Result<(), Failure> {
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot catch signals: {error}")))?;
    let mut notes = notes(&checked);
    notes.extend(open_files::raise_for(
        checked.loaded.config.listen.max_connections,
    ));
    let node = Node::start(checked).await?;
    let config = &node.checked().loaded.config;
    let banner = Banner {
        node: node.checked().node_name.clone(),
        cluster: config.node.cluster.clone(),
        data: node.data_folder().path().to_path_buf(),
        config: node.checked().loaded.file.clone(),
        rows: node.rows().to_vec(),
        notes,
        elapsed: begun.elapsed(),
    };
    print(&banner.to_string())?;
    let signal = signals.next().await;
    tracing::info!(signal, "shutting down; the same signal again hurries");
    let hurry = CancellationToken::new();
    let stop = node.stop(&hurry);
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => {}
        signal = signals.next() => {
            tracing::warn!(signal, "not waiting for connections any longer");
            hurry.cancel();
            stop.await;
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// What an operator should know and might not expect.
fn notes(checked: &Checked) -> Vec<String> {
    let config = &checked.loaded.config;
    let mut notes = Vec::new();
    if checked.users.is_empty() {
        notes.push(if config.listen.bind.is_loopback() {
            "no users are configured; only this machine can connect".to_owned()
        } else {
            "auth.allow_insecure is set and no users are configured: anyone can connect".to_owned()
        });
    }
    if config.tls.mode != TlsMode::Off && config.tls.cert.as_os_str().is_empty() {
        notes.push("TLS uses a self-signed certificate (tls.cert, tls.key)".to_owned());
    }
    if config.listen.bind.is_unspecified() && checked.advertise.is_none() {
        notes.push("clients behind NAT or in containers need node.advertise".to_owned());
    }
    notes
}
