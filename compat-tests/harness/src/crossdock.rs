//! The server under test: the real `crossdock` binary on free ports with its own data folder.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::binary;
use crate::ports::Ports;
use crate::process::Managed;

/// Other offsets tried when a port was taken between the probe and the start.
const START_TRIES: u32 = 5;
const READY_LIMIT: Duration = Duration::from_secs(30);
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// How to start a server. The default needs nothing: a fresh data folder, no configuration file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The binary; found by [`binary::crossdock`] when not given.
    pub binary: Option<PathBuf>,
    /// A data folder that outlives the server; a temporary one when not given.
    pub data: Option<PathBuf>,
    /// Text of a configuration file, handed over with `--config`.
    pub config: Option<String>,
    /// More arguments for `serve`.
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
}

#[derive(Debug)]
pub struct Crossdock {
    /// First, so that it has ended when its folders are removed.
    process: Managed,
    options: Options,
    binary: PathBuf,
    /// Configuration, logs and, unless the caller brought one, the data folder.
    home: TempDir,
    data: PathBuf,
    ports: Ports,
    start_time: Duration,
}

impl Crossdock {
    /// Starts a server and waits until it says `ready`.
    pub fn start(options: Options) -> Result<Self> {
        let binary = match &options.binary {
            Some(path) => path.clone(),
            None => binary::crossdock()?,
        };
        let home = tempfile::Builder::new().prefix("crossdock-").tempdir()?;
        let data = options
            .data
            .clone()
            .unwrap_or_else(|| home.path().join("data"));
        if let Some(config) = &options.config {
            fs::write(config_path(&home), config)?;
        }
        let mut taken = None;
        for _ in 0..START_TRIES {
            let ports = Ports::reserve()?;
            match launch(&binary, &options, &home, &data, &ports) {
                Ok((process, start_time)) => {
                    return Ok(Self {
                        options,
                        binary,
                        home,
                        data,
                        ports,
                        process,
                        start_time,
                    });
                }
                Err(error) => match ports.mentioned_in(&error.to_string()) {
                    Some(_) => taken = Some(error),
                    None => return Err(error),
                },
            }
        }
        Err(taken.context("no start was tried")?)
    }

    pub fn offset(&self) -> u16 {
        self.ports.offset()
    }

    pub fn nameserver(&self) -> SocketAddr {
        self.ports.nameserver()
    }

    pub fn remoting(&self) -> SocketAddr {
        self.ports.remoting()
    }

    pub fn fast(&self) -> SocketAddr {
        self.ports.fast()
    }

    pub fn grpc(&self) -> SocketAddr {
        self.ports.grpc()
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// From the start of the process to its `ready` line.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends the server as a crash would.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Ends the server as an operator would; anything but a clean end is an error.
    pub fn terminate(&mut self) -> Result<()> {
        let status = self.process.terminate(DRAIN_LIMIT)?;
        if !status.success() {
            bail!(
                "crossdock ended with {status} after SIGTERM\n{}",
                self.log()
            );
        }
        Ok(())
    }

    /// Starts the server again on the same data and ports, ending it cleanly first if it still runs.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.is_running() {
            self.terminate()?;
        }
        let (process, start_time) = launch(
            &self.binary,
            &self.options,
            &self.home,
            &self.data,
            &self.ports,
        )?;
        self.process = process;
        self.start_time = start_time;
        Ok(())
    }

    pub fn resident_bytes(&self) -> Result<u64> {
        self.process.resident_bytes()
    }

    pub fn peak_resident_bytes(&self) -> Result<u64> {
        self.process.peak_resident_bytes()
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        self.process.cpu_seconds()
    }

    /// The end of what the server printed, over all its lives.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn config_path(home: &TempDir) -> PathBuf {
    home.path().join("crossdock.toml")
}

fn launch(
    binary: &Path,
    options: &Options,
    home: &TempDir,
    data: &Path,
    ports: &Ports,
) -> Result<(Managed, Duration)> {
    let mut command = Command::new(binary);
    command.arg("serve").arg("--data").arg(data);
    command.arg("--port-offset").arg(ports.offset().to_string());
    if options.config.is_some() {
        command.arg("--config").arg(config_path(home));
    }
    command
        .args(&options.args)
        .envs(options.env.iter().map(|(key, value)| (key, value)));
    let start = Instant::now();
    let mut process = Managed::spawn(&mut command, "crossdock", &home.path().join("logs"))?;
    process.wait_for("ready", READY_LIMIT)?;
    Ok((process, start.elapsed()))
}
