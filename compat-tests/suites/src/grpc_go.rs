//! Suite `grpc-go`: the official gRPC client for Go.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{cache, command, workspace};

use crate::grpc;
use crate::options::RunOptions;
use crate::report::Report;

const SUITE: &str = "grpc-go";
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    grpc::run(SUITE, Command::new(build()?), options)
}

/// Fetches the client's modules and builds the driver, if that has not been done.
fn build() -> Result<PathBuf> {
    let sources = workspace::suites().join("grpc-go");
    let kept = workspace::compat(SUITE).join("build");
    let program = kept.join("driver");
    cache::build(&kept, &cache::Key::default().files(&sources)?, |_| {
        command::run(
            Command::new("go")
                .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
                .arg(&program)
                .arg(".")
                .current_dir(&sources),
            BUILD_LIMIT,
        )
        .context("cannot build the Go driver")?;
        Ok(())
    })?;
    Ok(program)
}
