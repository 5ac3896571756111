//! Suite `grpc-rust`: the official gRPC client for Rust, in a program of its own that is no member of the workspace.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{cache, command, workspace};

use crate::grpc;
use crate::options::RunOptions;
use crate::report::Report;

const SUITE: &str = "grpc-rust";
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    grpc::run(SUITE, Command::new(build()?), options)
}

/// Fetches the client and builds the driver, if that has not been done.
fn build() -> Result<PathBuf> {
    let sources = workspace::suites().join("grpc-rust");
    let kept = workspace::compat(SUITE).join("build");
    cache::build(&kept, &cache::Key::default().files(&sources)?, |_| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        command::run(
            Command::new(cargo)
                .args(["build", "--locked", "--target-dir"])
                .arg(&kept)
                .current_dir(&sources),
            BUILD_LIMIT,
        )
        .context("cannot build the Rust driver")?;
        Ok(())
    })?;
    Ok(kept.join("debug").join("crossdock-compat-grpc-rust"))
}
