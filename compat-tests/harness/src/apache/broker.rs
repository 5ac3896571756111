//! An Apache RocketMQ broker.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::ports::Ports;
use crate::process::Managed;
use crate::{java, remoting};

pub(super) const READY_LIMIT: Duration = Duration::from_secs(90);
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(60);

/// When the broker answers a send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flush {
    /// After the write, before the sync (`ASYNC_FLUSH`).
    #[default]
    Asynchronous,
    /// After the sync (`SYNC_FLUSH`).
    Synchronous,
}

#[derive(Debug, Clone)]
pub struct BrokerOptions {
    pub name: String,
    pub cluster: String,
    pub nameserver: SocketAddr,
    pub flush: Flush,
    pub heap_mib: u32,
    /// Bytes per commit-log file.
    pub segment_bytes: u64,
    /// Options for the Java machine.
    pub jvm: Vec<String>,
    /// More lines for `broker.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
}

impl BrokerOptions {
    pub fn new(name: &str, nameserver: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            cluster: "DefaultCluster".to_owned(),
            nameserver,
            flush: Flush::default(),
            heap_mib: 768,
            segment_bytes: 64 * 1024 * 1024,
            jvm: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// For functional tests on a busy machine: no optimising compiler, no refusal of requests that had to wait, and
    /// registrations soon repeated.
    pub fn patient(mut self) -> Self {
        self.jvm.push(java::QUICK_START.to_owned());
        self.set("waitTimeMillsInSendQueue", 20_000)
            .set("registerNameServerPeriod", 10_000)
    }

    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }
}

#[derive(Debug)]
pub struct Broker {
    /// First, so that it has ended when its folder is removed.
    process: Managed,
    options: BrokerOptions,
    home: TempDir,
    ports: Ports,
}

impl Broker {
    /// Starts a broker and waits until its name server routes to it.
    pub fn start(options: BrokerOptions) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("apache-broker-")
            .tempdir()?;
        let ports = Ports::reserve()?;
        fs::write(
            home.path().join("broker.conf"),
            configuration(&options, home.path(), &ports)?,
        )?;
        let process = launch(&options, home.path(), &ports)?;
        Ok(Self {
            options,
            home,
            ports,
            process,
        })
    }

    pub fn name(&self) -> &str {
        &self.options.name
    }

    pub fn address(&self) -> SocketAddr {
        self.ports.remoting()
    }

    pub fn fast(&self) -> SocketAddr {
        self.ports.fast()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn store(&self) -> std::path::PathBuf {
        self.home.path().join("store")
    }

    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks for a clean end; a Java process answers SIGTERM with exit code 143.
    pub fn terminate(&mut self) -> Result<()> {
        let status = self.process.terminate(STOP_LIMIT)?;
        if !(status.success() || status.code() == Some(143)) {
            bail!(
                "{} ended with {status} after SIGTERM\n{}",
                self.options.name,
                self.log()
            );
        }
        Ok(())
    }

    /// Starts the broker again on the same store and ports.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.is_running() {
            self.terminate()?;
        }
        self.process = launch(&self.options, self.home.path(), &self.ports)?;
        Ok(())
    }

    /// Waits until consumer positions known now are in the broker's file, which it writes on a timer
    /// (`flushConsumerOffsetInterval`): a killed broker forgets younger ones.
    pub fn await_positions_written(&self, limit: Duration) -> Result<()> {
        let file = self.store().join("config/consumerOffset.json");
        let now = SystemTime::now();
        let deadline = Instant::now() + limit;
        while file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map_or(true, |at| at <= now)
        {
            if Instant::now() > deadline {
                bail!("{} wrote no positions within {limit:?}", self.options.name);
            }
            thread::sleep(Duration::from_millis(20));
        }
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

    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The text of a `broker.conf`.
pub(super) fn configuration(options: &BrokerOptions, home: &Path, ports: &Ports) -> Result<String> {
    let flush = match options.flush {
        Flush::Asynchronous => "ASYNC_FLUSH",
        Flush::Synchronous => "SYNC_FLUSH",
    };
    let home = home.display();
    let mut text = format!(
        "rocketmqHome={home}\n\
         brokerClusterName={}\nbrokerName={}\nbrokerId=0\nbrokerRole=ASYNC_MASTER\n\
         brokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nbindAddress=127.0.0.1\n\
         listenPort={}\nhaListenPort={}\nnamesrvAddr={}\n\
         storePathRootDir={home}/store\nstorePathCommitLog={home}/store/commitlog\n\
         flushDiskType={flush}\nmappedFileSizeCommitLog={}\nmappedFileSizeConsumeQueue=600000\n\
         maxHashSlotNum=100000\nmaxIndexNum=400000\n\
         autoCreateTopicEnable=true\nautoCreateSubscriptionGroup=true\ndiskMaxUsedSpaceRatio=98\n",
        options.cluster,
        options.name,
        ports.remoting().port(),
        ports.replication().port(),
        options.nameserver,
        options.segment_bytes,
    );
    for (key, value) in &options.settings {
        writeln!(text, "{key}={value}")?;
    }
    Ok(text)
}

fn launch(options: &BrokerOptions, home: &Path, ports: &Ports) -> Result<Managed> {
    let mut command = java::java(&super::class_path()?, home, options.heap_mib);
    command
        .env("ROCKETMQ_HOME", home)
        .args(&options.jvm)
        .arg("org.apache.rocketmq.broker.BrokerStartup")
        .arg("-c")
        .arg(home.join("broker.conf"));
    let mut process = Managed::spawn(&mut command, "apache-broker", &home.join("logs"))?;
    process
        .wait_for(&format!("The broker[{}", options.name), READY_LIMIT)
        .with_context(|| format!("Apache broker {}", options.name))?;
    remoting::await_route(
        options.nameserver,
        &options.name,
        ports.remoting(),
        READY_LIMIT,
    )
    .with_context(|| process.log())?;
    Ok(process)
}
