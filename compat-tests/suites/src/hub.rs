//! The server that a suite's clients talk to: ours, or a real Apache name server with a broker.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use crossdock_harness::{Broker, BrokerOptions, Crossdock, NameServer, Options, procfs};

use crate::options::Target;

/// Apache's broker writes positions to its file this often, so that a kill soon after a commit is a fair test.
const APACHE_POSITIONS_MS: u32 = 200;
const POSITIONS_LIMIT: Duration = Duration::from_secs(20);

/// A user whose requests are signed.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl Credentials {
    pub(crate) fn for_tests() -> Self {
        Self {
            access_key: "driver".to_owned(),
            secret_key: "driver-secret-1".to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct HubOptions {
    /// Demands signed requests from everyone.
    pub(crate) credentials: Option<Credentials>,
    /// Registers in this foreign name server as well (Apache: only there).
    pub(crate) register: Option<SocketAddr>,
}

#[derive(Debug)]
pub(crate) enum Hub {
    Crossdock(Crossdock),
    Apache {
        nameserver: Option<NameServer>,
        broker: Broker,
        nameserver_address: SocketAddr,
    },
}

impl Hub {
    pub(crate) fn start(target: Target, options: &HubOptions) -> Result<Self> {
        match target {
            Target::Crossdock => start_crossdock(options).map(Self::Crossdock),
            Target::Apache => start_apache(options),
        }
    }

    pub(crate) fn nameserver(&self) -> SocketAddr {
        match self {
            Self::Crossdock(server) => server.nameserver(),
            Self::Apache {
                nameserver_address, ..
            } => *nameserver_address,
        }
    }

    pub(crate) fn broker(&self) -> SocketAddr {
        match self {
            Self::Crossdock(server) => server.remoting(),
            Self::Apache { broker, .. } => broker.address(),
        }
    }

    /// Where gRPC clients are served.
    pub(crate) fn grpc(&self) -> Result<SocketAddr> {
        match self {
            Self::Crossdock(server) => Ok(server.grpc()),
            Self::Apache { .. } => anyhow::bail!("an Apache broker has no gRPC port of its own"),
        }
    }

    /// SIGTERM, a clean end, and a new start on the same data.
    pub(crate) fn restart_clean(&mut self) -> Result<()> {
        match self {
            Self::Crossdock(server) => {
                server.terminate()?;
                server.restart()
            }
            Self::Apache { broker, .. } => {
                broker.terminate()?;
                broker.restart()
            }
        }
    }

    /// SIGKILL and a new start on the same data.
    pub(crate) fn restart_killed(&mut self) -> Result<()> {
        match self {
            Self::Crossdock(server) => {
                server.kill9();
                server.restart()
            }
            Self::Apache { broker, .. } => {
                broker.await_positions_written(POSITIONS_LIMIT)?;
                broker.kill9();
                broker.restart()
            }
        }
    }

    /// The process that clients talk to.
    fn pid(&self) -> u32 {
        match self {
            Self::Crossdock(server) => server.pid(),
            Self::Apache { broker, .. } => broker.pid(),
        }
    }

    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        procfs::resident_bytes(self.pid())
    }

    pub(crate) fn peak_resident_bytes(&self) -> Result<u64> {
        procfs::peak_resident_bytes(self.pid())
    }

    pub(crate) fn open_files(&self) -> Result<usize> {
        procfs::open_files(self.pid())
    }

    /// What the control words of a driver mean for this server.
    pub(crate) fn control(&mut self, word: &str) -> Result<()> {
        match word {
            "restart-clean" => self.restart_clean(),
            "restart-kill" => self.restart_killed(),
            other => anyhow::bail!("unknown control word {other}"),
        }
    }

    pub(crate) fn log(&self) -> String {
        match self {
            Self::Crossdock(server) => server.log(),
            Self::Apache {
                nameserver, broker, ..
            } => {
                let nameserver = nameserver.as_ref().map(NameServer::log).unwrap_or_default();
                format!("{nameserver}{}", broker.log())
            }
        }
    }
}

fn start_crossdock(options: &HubOptions) -> Result<Crossdock> {
    let mut start = Options::default();
    // Not the 6 s and 30 s of the defaults: the tests would wait for them.
    for setting in ["transactions.timeout=1s", "transactions.check_interval=1s"] {
        start.args.extend(["--set".into(), setting.into()]);
    }
    if let Some(user) = &options.credentials {
        start.config = Some(format!(
            "[[auth.users]]\nname = \"driver\"\naccess_key = \"{}\"\nsecret_key = \"{}\"\nadmin = true\n",
            user.access_key, user.secret_key
        ));
    }
    if let Some(address) = options.register {
        start
            .args
            .extend(["--register".into(), address.to_string().into()]);
    }
    Crossdock::start(start)
}

fn start_apache(options: &HubOptions) -> Result<Hub> {
    let nameserver = match options.register {
        Some(_) => None,
        None => Some(NameServer::start()?),
    };
    let nameserver_address = match (&nameserver, options.register) {
        (Some(nameserver), _) => nameserver.address(),
        (None, Some(address)) => address,
        (None, None) => anyhow::bail!("no name server"),
    };
    let mut broker = BrokerOptions::new("hub", nameserver_address)
        .patient()
        .set("flushConsumerOffsetInterval", APACHE_POSITIONS_MS)
        .set("recallMessageEnable", true)
        .set("traceTopicEnable", true)
        .set("transactionTimeOut", 1_000)
        .set("transactionCheckInterval", 1_000)
        // Off unless it is asked for; ours has no such switch.
        .set("enablePropertyFilter", true);
    if let Some(user) = &options.credentials {
        let (access, secret) = (&user.access_key, &user.secret_key);
        broker = broker
            .set("authenticationEnabled", true)
            .set(
                "authenticationMetadataProvider",
                "org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider",
            )
            .set(
                "authorizationMetadataProvider",
                "org.apache.rocketmq.auth.authorization.provider.LocalAuthorizationMetadataProvider",
            )
            .set("initAuthenticationUser", format!("{{\"username\":\"{access}\",\"password\":\"{secret}\"}}"))
            .set(
                "innerClientAuthenticationCredentials",
                format!("{{\"accessKey\":\"{access}\",\"secretKey\":\"{secret}\"}}"),
            );
    }
    Ok(Hub::Apache {
        nameserver,
        broker: Broker::start(broker)?,
        nameserver_address,
    })
}
