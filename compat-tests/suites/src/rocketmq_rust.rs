//! Suite `rocketmq-rust`: the third-party crate `rocketmq-client-rust`, in a program of its own that is no member of
//! the workspace.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{cache, command, workspace};

use crate::driver;
use crate::hub::{Hub, HubOptions};
use crate::options::RunOptions;
use crate::report::Report;

const SUITE: &str = "rocketmq-rust";
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let program = build()?;
    let mut hub = Hub::start(options.target, &HubOptions::default())?;
    let mut report = Report::new(options);
    driver::run_program(SUITE, &program, &mut hub, options, &mut report)?;
    Ok(report)
}

/// Fetches the client and builds the driver, if that has not been done.
fn build() -> Result<PathBuf> {
    let sources = workspace::suites().join("rust");
    let kept = workspace::compat(SUITE).join("build");
    let key = cache::Key::default()
        .files(&sources.join("src"))?
        .files(&sources.join("Cargo.lock"))?;
    let key = key.files(&sources.join("Cargo.toml"))?;
    cache::build(&kept, &key, |_| {
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
    Ok(kept.join("debug").join("crossdock-compat-rust"))
}
