//! Suite `grpc-node`: the official gRPC client for Node.js.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{cache, command, workspace};

use crate::grpc;
use crate::options::RunOptions;
use crate::report::Report;

const SUITE: &str = "grpc-node";
const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let mut command = Command::new("node");
    command.arg(install()?.join("driver.js"));
    grpc::run(SUITE, command, options)
}

/// Copies the driver and fetches the client beside it, if that has not been done.
fn install() -> Result<PathBuf> {
    let sources = workspace::suites().join("grpc-node");
    let kept = workspace::compat(SUITE).join("build");
    cache::build(&kept, &cache::Key::default().files(&sources)?, |_| {
        for file in cache::files_below(&sources)? {
            let name = file.file_name().context("a file without a name")?;
            fs::copy(&file, kept.join(name))?;
        }
        command::run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&kept),
            FETCH_LIMIT,
        )
        .context("cannot fetch the client for Node.js")?;
        Ok(())
    })?;
    Ok(kept)
}
