//! An Apache RocketMQ name server.

use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::java;
use crate::ports::Ports;
use crate::process::Managed;

const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct NameServer {
    /// First, so that it has ended when its folder is removed.
    process: Managed,
    _home: TempDir,
    ports: Ports,
}

impl NameServer {
    pub fn start() -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("apache-nameserver-")
            .tempdir()?;
        let ports = Ports::reserve()?;
        let at = home.path().display();
        let config = home.path().join("namesrv.conf");
        fs::write(
            &config,
            format!(
                "rocketmqHome={at}\nkvConfigPath={at}/kvConfig.json\nconfigStorePath={at}/namesrv.properties\n\
                 listenPort={}\nbindAddress=127.0.0.1\n",
                ports.nameserver().port()
            ),
        )?;
        let mut command = java::java(&super::class_path()?, home.path(), 256);
        command
            .env("ROCKETMQ_HOME", home.path())
            .arg(java::QUICK_START)
            .arg("org.apache.rocketmq.namesrv.NamesrvStartup")
            .arg("-c")
            .arg(&config);
        let mut process =
            Managed::spawn(&mut command, "apache-nameserver", &home.path().join("logs"))?;
        process
            .wait_for("The Name Server boot success", READY_LIMIT)
            .context("Apache name server")?;
        Ok(Self {
            _home: home,
            ports,
            process,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.ports.nameserver()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.terminate(STOP_LIMIT)
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}
