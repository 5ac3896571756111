//! What the suites of the official gRPC clients share: the servers, what a driver is told about them, and the ledger of
//! cases that the real Apache RocketMQ fails itself.

mod admin;
mod certificate;
mod ledger;
mod servers;

use std::process::Command;

use anyhow::Result;
use crossdock_harness::workspace;

use crate::driver;
use crate::options::RunOptions;
use crate::report::Report;
use servers::Servers;

/// Starts the servers, runs one driver against them and reports its cases. `command` is the driver; it gets the
/// addresses as `key=value` arguments.
pub(crate) fn run(suite: &str, mut command: Command, options: &RunOptions) -> Result<Report> {
    let mut servers = Servers::start(options.target)?;
    let home = driver::fresh_folder(&workspace::compat(suite).join("run").join("driver"))?;
    command
        .current_dir(&home)
        .env("HOME", &home)
        // The clients of Go, Node and Rust trust what these name; the one of Java trusts everyone.
        .env("SSL_CERT_FILE", servers.authority())
        .env("NODE_EXTRA_CA_CERTS", servers.authority())
        .env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", servers.authority())
        .arg(format!("target={}", options.target.name()))
        .arg(format!("only={}", options.only.join(",")));
    for (key, value) in servers.settings() {
        command.arg(format!("{key}={value}"));
    }
    let mut report = Report::new(options);
    report.excuse(ledger::excuses(options.target, suite));
    driver::run(&mut command, "driver", &home, "", &mut report, |word| {
        servers.control(word)
    })?;
    if !report.has_passed() {
        eprintln!(
            "the driver's output is in {}\n{}",
            home.display(),
            servers.log()
        );
    }
    Ok(report)
}
