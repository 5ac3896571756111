//! Suite `grpc-python`: the official Python client of the gRPC protocol, the stubs of the official protocol files, and a
//! reader of the older protocol that looks at what was stored.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use crossdock_harness::{cache, command, workspace};

use crate::driver;
use crate::hub::{Credentials, Hub, HubOptions};
use crate::options::{RunOptions, Target};
use crate::report::Report;

const SUITE: &str = "grpc-python";
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    if options.target == Target::Apache {
        bail!("the Apache broker has no gRPC port of its own");
    }
    let python = build()?;
    let mut report = Report::new(options);
    drive(&python, "plain", None, options, &mut report)?;
    drive(
        &python,
        "signed",
        Some(Credentials::for_tests()),
        options,
        &mut report,
    )?;
    Ok(report)
}

/// Runs the cases of a mode against a server of their own.
fn drive(
    python: &PathBuf,
    mode: &str,
    credentials: Option<Credentials>,
    options: &RunOptions,
    report: &mut Report,
) -> Result<()> {
    let mut hub = Hub::start(
        options.target,
        &HubOptions {
            credentials: credentials.clone(),
            ..HubOptions::default()
        },
    )?;
    let home = driver::fresh_folder(&workspace::compat(SUITE).join("run").join(mode))?;
    let mut command = Command::new(python);
    command
        .arg(workspace::suites().join(SUITE).join("driver.py"))
        .env("HOME", &home)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(format!("grpc={}", hub.grpc()?))
        .arg(format!("nameserver={}", hub.nameserver()))
        .arg(format!("broker={}", hub.broker()))
        .arg(format!("mode={mode}"))
        .arg(format!("only={}", options.only.join(",")));
    if let Some(user) = &credentials {
        command
            .arg(format!("access={}", user.access_key))
            .arg(format!("secret={}", user.secret_key));
    }
    let prefix = format!("{mode}/");
    driver::run(&mut command, "driver", &home, &prefix, report, |word| {
        hub.control(word)
    })?;
    if !report.has_passed() {
        eprintln!(
            "the driver's output is in {}\n{}",
            home.display(),
            hub.log()
        );
    }
    Ok(())
}

/// Makes an environment with the client, if that has not been done.
fn build() -> Result<PathBuf> {
    let requirements = workspace::suites().join(SUITE).join("requirements.txt");
    let kept = workspace::compat(SUITE).join("build");
    let environment = kept.join("venv");
    let python = environment.join("bin").join("python");
    let key = cache::Key::default().files(&requirements)?;
    cache::build(&kept, &key, |_| {
        command::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
            BUILD_LIMIT,
        )
        .context("cannot make a Python environment")?;
        command::run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"])
                .arg(&requirements),
            BUILD_LIMIT,
        )
        .context("cannot install the Python client")?;
        Ok(())
    })?;
    Ok(python)
}
