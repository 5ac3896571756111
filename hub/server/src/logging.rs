//! Log set-up: one subscriber on standard error, text or JSON, filtered by `log.level`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Installs the subscriber of the process. Levels were checked with the configuration.
pub fn start(log: &Log) {
    // The index database is talkative about its own files; what matters comes as a warning.
    let filter = ["fjall=warn", "lsm_tree=warn"]
        .into_iter()
        .filter(|quiet| !log.level.contains(quiet.split('=').next().unwrap_or(quiet)))
        .filter_map(|quiet| quiet.parse().ok())
        .fold(EnvFilter::new(&log.level), EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    if let Err(error) = started {
        // Someone else in this process logs already, as in tests.
        tracing::debug!(%error, "log set-up skipped");
    }
}
