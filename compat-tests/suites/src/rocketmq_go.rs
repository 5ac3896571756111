//! Suite `rocketmq-go`: the official Go client.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{cache, command, workspace};

use crate::driver;
use crate::hub::{Hub, HubOptions};
use crate::options::RunOptions;
use crate::report::Report;

const SUITE: &str = "rocketmq-go";
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let program = build()?;
    let mut hub = Hub::start(options.target, &HubOptions::default())?;
    let mut report = Report::new(options);
    driver::run_program(SUITE, &program, &mut hub, options, &mut report)?;
    Ok(report)
}

/// Fetches the client's modules and builds the driver, if that has not been done.
fn build() -> Result<PathBuf> {
    let sources = workspace::suites().join("go");
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
