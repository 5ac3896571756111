//! One of the two servers, with what is measured at its process.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crossdock_harness::{Crossdock, Options, procfs, remoting};

use super::apache::Apache;
use super::native::Programs;
use super::row::Durability;

/// The topic whose route tells that a server is ready: both have it from the start.
const READY_TOPIC: &str = "TBW102";
const READY_LIMIT: Duration = Duration::from_secs(120);
/// How often the route is asked for.
const READY_STEP: Duration = Duration::from_millis(2);
/// A server that has just started is given so long to come to rest.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Apache,
    Crossdock,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apache => "apache",
            Self::Crossdock => "crossdock",
        }
    }
}

#[derive(Debug)]
enum Process {
    Apache(Apache),
    Crossdock(Crossdock),
}

#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    start_time: Duration,
}

impl Server {
    /// Starts a server on fresh data and waits until it answers for a route.
    pub(super) fn start(kind: Kind, durability: Durability, programs: &Programs) -> Result<Self> {
        let start = Instant::now();
        let process = match kind {
            Kind::Apache => Process::Apache(Apache::start(durability)?),
            Kind::Crossdock => Process::Crossdock(crossdock(durability, programs)?),
        };
        let mut server = Self {
            process,
            start_time: Duration::ZERO,
        };
        await_route(server.nameserver())?;
        server.start_time = start.elapsed();
        Ok(server)
    }

    pub(super) fn nameserver(&self) -> SocketAddr {
        match &self.process {
            Process::Apache(apache) => apache.nameserver(),
            Process::Crossdock(crossdock) => crossdock.nameserver(),
        }
    }

    pub(super) fn broker(&self) -> SocketAddr {
        match &self.process {
            Process::Apache(apache) => apache.broker(),
            Process::Crossdock(crossdock) => crossdock.remoting(),
        }
    }

    /// From the start of the first process to the first route.
    pub(super) fn start_time(&self) -> Duration {
        self.start_time
    }

    fn pids(&self) -> Vec<u32> {
        match &self.process {
            Process::Apache(apache) => apache.pids(),
            Process::Crossdock(crossdock) => vec![crossdock.pid()],
        }
    }

    /// CPU-seconds used so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        self.pids().into_iter().map(procfs::cpu_seconds).sum()
    }

    /// Resident bytes, mapped files included.
    pub(super) fn resident(&self) -> Result<u64> {
        self.pids().into_iter().map(procfs::resident_bytes).sum()
    }

    /// Resident bytes that no file backs.
    pub(super) fn anonymous(&self) -> Result<u64> {
        self.pids().into_iter().map(anonymous).sum()
    }

    /// Resident bytes of the server at rest.
    pub(super) fn idle_resident(&self) -> Result<u64> {
        thread::sleep(SETTLE);
        self.resident()
    }

    pub(super) fn stop(self) -> Result<()> {
        match self.process {
            Process::Apache(apache) => apache.stop(),
            Process::Crossdock(mut crossdock) => crossdock.terminate(),
        }
    }
}

fn crossdock(durability: Durability, programs: &Programs) -> Result<Crossdock> {
    let durability = match durability {
        Durability::Written => "written",
        Durability::Durable => "durable",
    };
    Crossdock::start(Options {
        binary: programs.crossdock.clone(),
        args: vec!["--durability".into(), durability.into()],
        ..Options::default()
    })
}

fn await_route(nameserver: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let found = remoting::route(nameserver, READY_TOPIC);
        if matches!(found, Ok(Some(_))) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("no route to {READY_TOPIC} within {READY_LIMIT:?}: {found:?}");
        }
        thread::sleep(READY_STEP);
    }
}

fn anonymous(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{path}: no RssAnon"))?;
    Ok(kib * 1024)
}
