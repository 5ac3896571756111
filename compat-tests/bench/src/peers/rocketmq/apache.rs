//! The peer as an operator would run it: the garbage collector and the file sizes of its own start
//! scripts and defaults, a heap that fits this machine. The harness's broker is made for tests.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use crossdock_harness::ports::Ports;
use crossdock_harness::{Managed, NameServer, java, workspace};
use tempfile::TempDir;

use super::row::Durability;

const HEAP: &str = "2g";
const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(120);
/// Exit code of a Java process that SIGTERM ended.
const TERMINATED: i32 = 143;

#[derive(Debug)]
pub(super) struct Apache {
    nameserver: NameServer,
    broker: Managed,
    ports: Ports,
    /// Dropped last, after the processes that write to it.
    _home: TempDir,
}

impl Apache {
    pub(super) fn start(durability: Durability) -> Result<Self> {
        let jars = java::class_path(&workspace::suites().join("java/server-5.3"))?;
        let class_path = java::join(&[&java::logging(), &jars]);
        let nameserver = NameServer::start()?;
        let home = tempfile::Builder::new().prefix("apache-peer-").tempdir()?;
        let ports = Ports::reserve()?;
        let at = home.path().display();
        let flush = match durability {
            Durability::Written => "ASYNC_FLUSH",
            Durability::Durable => "SYNC_FLUSH",
        };
        let config = home.path().join("broker.conf");
        fs::write(
            &config,
            format!(
                "rocketmqHome={at}\nbrokerClusterName=DefaultCluster\nbrokerName=peer\nbrokerId=0\n\
                 brokerRole=ASYNC_MASTER\nflushDiskType={flush}\n\
                 brokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nbindAddress=127.0.0.1\n\
                 listenPort={}\nhaListenPort={}\nnamesrvAddr={}\n\
                 storePathRootDir={at}/store\nstorePathCommitLog={at}/store/commitlog\n\
                 diskMaxUsedSpaceRatio=98\n",
                ports.remoting().port(),
                ports.replication().port(),
                nameserver.address(),
            ),
        )?;
        let mut command = Command::new("java");
        command
            .args([format!("-Xms{HEAP}"), format!("-Xmx{HEAP}")])
            .args([
                "-XX:+UseG1GC",
                "-XX:G1HeapRegionSize=16m",
                "-XX:G1ReservePercent=25",
                "-XX:InitiatingHeapOccupancyPercent=30",
                "-XX:SoftRefLRUPolicyMSPerMB=0",
                "-XX:-OmitStackTraceInFastThrow",
                "-XX:-UseLargePages",
            ])
            .arg(format!("-Duser.home={at}"))
            .args(["-cp", &class_path])
            .env("ROCKETMQ_HOME", home.path())
            .arg("org.apache.rocketmq.broker.BrokerStartup")
            .arg("-c")
            .arg(&config);
        let mut broker = Managed::spawn(&mut command, "apache-peer", &home.path().join("logs"))?;
        broker
            .wait_for("The broker[", READY_LIMIT)
            .context("Apache broker")?;
        Ok(Self {
            nameserver,
            broker,
            ports,
            _home: home,
        })
    }

    pub(super) fn nameserver(&self) -> SocketAddr {
        self.nameserver.address()
    }

    pub(super) fn broker(&self) -> SocketAddr {
        self.ports.remoting()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        vec![self.nameserver.pid(), self.broker.pid()]
    }

    pub(super) fn stop(mut self) -> Result<()> {
        let status = self.broker.terminate(STOP_LIMIT)?;
        if !(status.success() || status.code() == Some(TERMINATED)) {
            bail!("the peer ended with {status}\n{}", self.broker.log());
        }
        self.nameserver.terminate()?;
        Ok(())
    }
}
