//! The programs built for a comparison, and the native generator as a child process: in a release
//! build and with a CPU account of its own, whatever this process is.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{Managed, command, workspace};
use tempfile::TempDir;

use crate::load::Outcome;

const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);
/// Beyond the announced time of a run.
const GRACE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Programs {
    /// Absent when only the peer is run.
    pub(super) crossdock: Option<PathBuf>,
    load: PathBuf,
    /// Output of the children.
    logs: TempDir,
}

impl Programs {
    /// Builds both programs with optimisation. `CROSSDOCK_BIN` names another server.
    pub(super) fn build(with_server: bool) -> Result<Self> {
        let load = build("crossdock-bench", "crossdock-load")?;
        let crossdock = match (with_server, std::env::var_os("CROSSDOCK_BIN")) {
            (false, _) => None,
            (true, Some(path)) => Some(PathBuf::from(path)),
            (true, None) => Some(build("crossdock", "crossdock")?),
        };
        Ok(Self {
            crossdock,
            load,
            logs: tempfile::tempdir()?,
        })
    }

    /// Starts the generator.
    pub(super) fn load(&self, args: &[OsString]) -> Result<Managed> {
        let mut command = Command::new(&self.load);
        Managed::spawn(command.args(args), "load", self.logs.path())
    }

    pub(super) fn logs(&self) -> &std::path::Path {
        self.logs.path()
    }
}

/// Follows a generator through its moments; `looks` is called at the first and at the last.
pub(super) fn follow<T>(
    mut load: Managed,
    expected: Duration,
    mut look: impl FnMut() -> Result<T>,
) -> Result<(Outcome, T, T)> {
    let limit = expected + GRACE;
    load.wait_for("measuring", limit)?;
    let first = look()?;
    load.wait_for("measured", limit)?;
    let last = look()?;
    let line = load.wait_for("result ", limit)?;
    let text = line.strip_prefix("result ").unwrap_or_default();
    let outcome = serde_json::from_str(text).context("the generator's result")?;
    Ok((outcome, first, last))
}

fn build(package: &str, binary: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    println!("building {binary}");
    command::run(
        Command::new(cargo)
            .args(["build", "--release", "--package", package, "--bin", binary])
            .current_dir(workspace::root()),
        BUILD_LIMIT,
    )?;
    Ok(workspace::target().join("release").join(binary))
}
