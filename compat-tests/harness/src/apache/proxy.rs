//! An Apache RocketMQ Proxy in local mode: one process that is a broker and speaks gRPC for it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::broker::{self, BrokerOptions, READY_LIMIT, STOP_LIMIT};
use crate::ports::Ports;
use crate::process::Managed;
use crate::{java, remoting, workspace};

#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// The broker inside it.
    pub broker: BrokerOptions,
    /// More keys for `rmq-proxy.json`; they win over ours.
    pub settings: Map<String, Value>,
}

impl ProxyOptions {
    pub fn new(broker: BrokerOptions) -> Self {
        Self {
            broker,
            settings: Map::new(),
        }
    }

    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }
}

#[derive(Debug)]
pub struct Proxy {
    /// First, so that it has ended when its folder is removed.
    process: Managed,
    options: ProxyOptions,
    home: TempDir,
    ports: Ports,
}

impl Proxy {
    /// Starts a Proxy and waits until it serves gRPC and its broker is routed.
    pub fn start(options: ProxyOptions) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("apache-proxy-").tempdir()?;
        let ports = Ports::reserve()?;
        fs::write(
            home.path().join("broker.conf"),
            broker::configuration(&options.broker, home.path(), &ports)?,
        )?;
        fs::write(
            home.path().join("rmq-proxy.json"),
            configuration(&options, &ports),
        )?;
        let process = launch(&options, home.path(), &ports)?;
        Ok(Self {
            process,
            options,
            home,
            ports,
        })
    }

    pub fn grpc(&self) -> SocketAddr {
        self.ports.grpc()
    }

    /// The remoting address of the broker inside.
    pub fn broker(&self) -> SocketAddr {
        self.ports.remoting()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks for a clean end; a Java process answers SIGTERM with exit code 143.
    pub fn terminate(&mut self) -> Result<()> {
        let status = self.process.terminate(STOP_LIMIT)?;
        if !(status.success() || status.code() == Some(143)) {
            bail!(
                "the Proxy ended with {status} after SIGTERM\n{}",
                self.log()
            );
        }
        Ok(())
    }

    /// Starts the Proxy again on the same store and ports.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.is_running() {
            self.terminate()?;
        }
        self.process = launch(&self.options, self.home.path(), &self.ports)?;
        Ok(())
    }

    pub fn resident_bytes(&self) -> Result<u64> {
        self.process.resident_bytes()
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        self.process.cpu_seconds()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn configuration(options: &ProxyOptions, ports: &Ports) -> String {
    let mut keys = Map::new();
    let mut set = |key: &str, value: Value| keys.insert(key.to_owned(), value);
    set("proxyMode", "local".into());
    set("rocketMQClusterName", options.broker.cluster.clone().into());
    set("namesrvAddr", options.broker.nameserver.to_string().into());
    set("localServeAddr", "127.0.0.1".into());
    set("grpcServerPort", ports.grpc().port().into());
    set("remotingListenPort", ports.proxy_remoting().port().into());
    for (key, value) in &options.settings {
        set(key, value.clone());
    }
    Value::Object(keys).to_string()
}

fn launch(options: &ProxyOptions, home: &Path, ports: &Ports) -> Result<Managed> {
    let jars = java::class_path(&workspace::suites().join("java").join("proxy-5.3"))?;
    let class_path = java::join(&[&java::logging(), &jars]);
    let mut command = java::java(&class_path, home, options.broker.heap_mib);
    command
        // It keeps what it has no configured place for where it was started.
        .current_dir(home)
        .env("ROCKETMQ_HOME", home)
        .args(&options.broker.jvm)
        .arg("org.apache.rocketmq.proxy.ProxyStartup")
        .args(["-pm", "local", "-bc"])
        .arg(home.join("broker.conf"))
        .arg("-pc")
        .arg(home.join("rmq-proxy.json"));
    let mut process = Managed::spawn(&mut command, "apache-proxy", &home.join("logs"))?;
    process.wait_for_end("rocketmq-proxy startup successfully", READY_LIMIT)?;
    let broker = &options.broker;
    remoting::await_route(
        broker.nameserver,
        &broker.name,
        ports.remoting(),
        READY_LIMIT,
    )
    .map_err(|error| error.context(process.log()))?;
    Ok(process)
}
