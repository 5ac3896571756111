//! Suite `grpc-rust`: the official gRPC client for Rust, in a program of its own that is no member of the workspace.
//! The client generates code when it is built and wants a protocol compiler for that; a second small program brings one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
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

fn build() -> Result<PathBuf> {
    let sources = workspace::suites().join("grpc-rust");
    let kept = workspace::compat(SUITE).join("build");
    cache::build(&kept, &cache::Key::default().files(&sources)?, |_| {
        let finder = cargo("run", &sources.join("protoc"), &kept.join("protoc"));
        let protoc = command::run(&mut { finder }, BUILD_LIMIT)
            .context("cannot fetch the protocol compiler")?;
        let mut driver = cargo("build", &sources.join("driver"), &kept);
        driver.env("PROTOC", protoc.trim());
        command::run(&mut driver, BUILD_LIMIT).context("cannot build the Rust driver")?;
        Ok(())
    })?;
    Ok(kept.join("debug").join("crossdock-compat-grpc-rust"))
}

fn cargo(action: &str, package: &Path, target: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args([action, "--quiet", "--locked", "--target-dir"])
        .arg(target)
        .current_dir(package);
    command
}
