//! The server that is tortured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossdock_harness::{Crossdock, Managed, Options};
use tempfile::TempDir;

/// What the kill loop needs of a server.
pub trait Subject {
    fn broker(&self) -> SocketAddr;
    /// Ends it at once.
    fn kill(&mut self);
    /// Ends it as an operator does.
    fn terminate(&mut self) -> Result<()>;
    /// Starts it on the same data and waits until it serves.
    fn restart(&mut self) -> Result<()>;
    /// Starts it on the same data and ends it at once after `time`, ready or not.
    fn interrupt_start(&mut self, time: Duration) -> Result<()>;
    /// Age from which messages may be removed.
    fn retention(&self) -> Option<Duration>;
    /// The end of what it printed.
    fn log(&self) -> String;
}

/// What an acknowledgement of the server promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Written,
    Durable,
}

impl Durability {
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Durable => "durable",
        }
    }
}

/// Crossdock with settings under which everything that happens rarely happens all the time: segments
/// and checkpoints as small as they may be, and messages that live for seconds.
#[derive(Debug)]
pub struct Tortured {
    server: Crossdock,
    binary: PathBuf,
    args: Vec<std::ffi::OsString>,
    retention: Duration,
    /// Output of interrupted starts.
    logs: TempDir,
}

const RETENTION: Duration = Duration::from_secs(8);

impl Tortured {
    pub fn start(binary: Option<PathBuf>, durability: Durability) -> Result<Self> {
        let binary = match binary {
            Some(binary) => binary,
            None => crossdock_harness::binary::crossdock()?,
        };
        let mut args = vec!["--durability".into(), durability.name().into()];
        for setting in [
            "limits.message_size=64KiB",
            "store.first_segment_size=1MiB",
            "store.segment_size=1MiB",
            "store.checkpoint_bytes=1MiB",
            "store.checkpoint_interval=1s",
            "store.append_queue=4MiB",
            &format!("retention.time={}s", RETENTION.as_secs()),
        ] {
            args.extend(["--set".into(), setting.into()]);
        }
        let server = Crossdock::start(Options {
            binary: Some(binary.clone()),
            args: args.clone(),
            ..Options::default()
        })?;
        Ok(Self {
            server,
            binary,
            args,
            retention: RETENTION,
            logs: tempfile::tempdir()?,
        })
    }
}

impl Subject for Tortured {
    fn broker(&self) -> SocketAddr {
        self.server.remoting()
    }

    fn kill(&mut self) {
        self.server.kill9();
    }

    fn terminate(&mut self) -> Result<()> {
        self.server.terminate()
    }

    fn restart(&mut self) -> Result<()> {
        self.server.restart()
    }

    fn interrupt_start(&mut self, time: Duration) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .arg("--data")
            .arg(self.server.data())
            .arg("--port-offset")
            .arg(self.server.offset().to_string())
            .args(&self.args);
        let end = Instant::now() + time;
        let mut process = Managed::spawn(&mut command, "interrupted", self.logs.path())?;
        // The instant is the test; there is no condition to wait for.
        thread::sleep(end.saturating_duration_since(Instant::now()));
        process.kill();
        Ok(())
    }

    fn retention(&self) -> Option<Duration> {
        Some(self.retention)
    }

    fn log(&self) -> String {
        self.server.log()
    }
}
