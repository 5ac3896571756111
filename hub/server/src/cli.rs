//! The command line and its translation into configuration overrides.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Override, Sources};

/// A messaging hub: one durable log, spoken to in the protocols your clients already use.
#[derive(Debug, Parser)]
#[command(name = "crossdock", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server.
    Serve(Settings),
    /// Check, show or print the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the version.
    Version {
        /// As a JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report everything that is wrong; exit code 78 if anything is.
    Check {
        /// The file to check instead of the one the server would read.
        file: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the values in force.
    Show {
        /// With the layer each value came from.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the commented default file.
    Default,
}

/// Flags that override configuration keys.
#[derive(Debug, Default, Args)]
pub struct Settings {
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = "CROSSDOCK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data folder (node.data_dir).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Added to every port (listen.port_offset).
    #[arg(long, value_name = "N")]
    pub port_offset: Option<u16>,
    /// Address to listen on (listen.bind).
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<IpAddr>,
    /// Do not be a name server (listen.nameserver.enabled).
    #[arg(long)]
    pub no_nameserver: bool,
    /// Do not serve RocketMQ clients (listen.remoting.enabled).
    #[arg(long)]
    pub no_remoting: bool,
    /// Do not serve RocketMQ 5 gRPC clients (listen.grpc.enabled).
    #[arg(long)]
    pub no_grpc: bool,
    /// Register with this name server, too (register.nameservers); repeatable.
    #[arg(long, value_name = "HOST:PORT")]
    pub register: Vec<String>,
    /// What an acknowledgement promises (store.durability).
    #[arg(long)]
    pub durability: Option<DurabilityFlag>,
    /// Any configuration key; repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DurabilityFlag {
    /// Survives a power loss.
    Durable,
    /// Survives the end of the process only.
    Written,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Settings {
    /// All layers of this process; `file` wins over `--config`.
    #[must_use]
    pub fn sources(&self, file: Option<PathBuf>) -> Sources {
        let file = file.or_else(|| self.config.clone());
        Sources {
            file,
            overrides: self.overrides(),
            ..Sources::of_process()
        }
    }

    fn overrides(&self) -> Vec<Override> {
        let mut overrides = Vec::new();
        let mut add = |flag: &str, key: &str, value: String| {
            overrides.push(Override {
                key: key.to_owned(),
                value,
                flag: flag.to_owned(),
            });
        };
        // A named flag says it more directly than --set and wins.
        for (key, value) in &self.set {
            add("--set", key, value.clone());
        }
        if let Some(data) = &self.data {
            add(
                "--data",
                "node.data_dir",
                data.to_string_lossy().into_owned(),
            );
        }
        if let Some(offset) = self.port_offset {
            add("--port-offset", "listen.port_offset", offset.to_string());
        }
        if let Some(bind) = self.bind {
            add("--bind", "listen.bind", bind.to_string());
        }
        if self.no_nameserver {
            add(
                "--no-nameserver",
                "listen.nameserver.enabled",
                "false".to_owned(),
            );
        }
        if self.no_remoting {
            add(
                "--no-remoting",
                "listen.remoting.enabled",
                "false".to_owned(),
            );
        }
        if self.no_grpc {
            add("--no-grpc", "listen.grpc.enabled", "false".to_owned());
        }
        if !self.register.is_empty() {
            add(
                "--register",
                "register.nameservers",
                self.register.join(","),
            );
        }
        if let Some(durability) = self.durability {
            let word = match durability {
                DurabilityFlag::Durable => "durable",
                DurabilityFlag::Written => "written",
            };
            add("--durability", "store.durability", word.to_owned());
        }
        overrides
    }
}
