//! The servers of a gRPC suite: one that anyone may use and one that wants signatures, each with a gRPC door and a
//! remoting door. Ours, or real Apache Proxies in local mode with a name server each.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use crossdock_harness::{BrokerOptions, Crossdock, NameServer, Options, Proxy, ProxyOptions};
use tempfile::TempDir;

use super::admin::Admin;
use super::certificate::Certificate;
use crate::hub::Credentials;
use crate::options::Target;

/// Apache looks for undecided transactions this often, and at those this old: the default of 30 s is a long test.
const APACHE_CHECK_MS: u32 = 2_000;
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
enum Server {
    Crossdock(Crossdock),
    Apache {
        proxy: Proxy,
        nameserver: NameServer,
    },
}

impl Server {
    fn start(
        target: Target,
        files: &Certificate,
        credentials: Option<&Credentials>,
    ) -> Result<Self> {
        match target {
            Target::Crossdock => start_crossdock(files, credentials).map(Self::Crossdock),
            Target::Apache => start_apache(files, credentials),
        }
    }

    fn grpc(&self) -> SocketAddr {
        match self {
            Self::Crossdock(server) => server.grpc(),
            Self::Apache { proxy, .. } => proxy.grpc(),
        }
    }

    fn broker(&self) -> SocketAddr {
        match self {
            Self::Crossdock(server) => server.remoting(),
            Self::Apache { proxy, .. } => proxy.broker(),
        }
    }

    fn nameserver(&self) -> SocketAddr {
        match self {
            Self::Crossdock(server) => server.nameserver(),
            Self::Apache { nameserver, .. } => nameserver.address(),
        }
    }

    fn restart_clean(&mut self) -> Result<()> {
        match self {
            Self::Crossdock(server) => {
                server.terminate()?;
                server.restart()
            }
            Self::Apache { proxy, .. } => {
                proxy.terminate()?;
                proxy.restart()
            }
        }
    }

    fn log(&self) -> String {
        match self {
            Self::Crossdock(server) => server.log(),
            Self::Apache { proxy, nameserver } => format!("{}{}", nameserver.log(), proxy.log()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Servers {
    open: Server,
    secured: Server,
    credentials: Credentials,
    certificate: Certificate,
    _folder: TempDir,
}

impl Servers {
    pub(super) fn start(target: Target) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("grpc-certificate-")
            .tempdir()?;
        let certificate = Certificate::create(folder.path())?;
        let credentials = Credentials::for_tests();
        let (open, secured) = thread::scope(|scope| {
            let secured = scope.spawn(|| Server::start(target, &certificate, Some(&credentials)));
            let open = Server::start(target, &certificate, None);
            let secured = secured
                .join()
                .map_err(|_| anyhow!("the start of a server panicked"))?;
            Ok::<_, anyhow::Error>((open?, secured?))
        })?;
        Ok(Self {
            open,
            secured,
            credentials,
            certificate,
            _folder: folder,
        })
    }

    /// The certificate of the authority that signed the servers' own.
    pub(super) fn authority(&self) -> &Path {
        &self.certificate.authority
    }

    /// What every driver is told.
    pub(super) fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("grpc", self.open.grpc().to_string()),
            ("nameserver", self.open.nameserver().to_string()),
            ("broker", self.open.broker().to_string()),
            ("secured", self.secured.grpc().to_string()),
            ("access", self.credentials.access_key.clone()),
            ("secret", self.credentials.secret_key.clone()),
        ]
    }

    /// The control words of a driver: `topic NAME TYPE QUEUES`, `secured-topic NAME TYPE QUEUES`,
    /// `group NAME concurrent|orderly RETRIES`, `secured-group …` and `restart`.
    pub(super) fn control(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let open = Admin {
            broker: self.open.broker(),
            credentials: None,
        };
        let secured = Admin {
            broker: self.secured.broker(),
            credentials: Some(&self.credentials),
        };
        match words.as_slice() {
            ["topic", name, kind, queues] => open.create_topic(name, kind, queues),
            ["secured-topic", name, kind, queues] => secured.create_topic(name, kind, queues),
            ["group", name, kind, retries] => create_group(&open, name, kind, retries),
            ["secured-group", name, kind, retries] => create_group(&secured, name, kind, retries),
            ["restart"] => self.open.restart_clean(),
            _ => bail!("unknown control line {line}"),
        }
    }

    pub(super) fn log(&self) -> String {
        format!("{}{}", self.open.log(), self.secured.log())
    }
}

fn create_group(admin: &Admin<'_>, name: &str, kind: &str, retries: &str) -> Result<()> {
    let retries = retries.parse().context("number of retries")?;
    match kind {
        "concurrent" => admin.create_group(name, false, retries),
        "orderly" => admin.create_group(name, true, retries),
        _ => bail!("unknown kind of group {kind}"),
    }
}

fn start_crossdock(files: &Certificate, credentials: Option<&Credentials>) -> Result<Crossdock> {
    let mut config = format!(
        // A topic that no one created must be refused, as by the Proxy.
        "[topics]\nauto_create = false\n\n[tls]\ncert = {:?}\nkey = {:?}\n",
        files.chain.display().to_string(),
        files.key.display().to_string()
    );
    if let Some(user) = credentials {
        config.push_str(&format!(
            "\n[[auth.users]]\nname = \"driver\"\naccess_key = \"{}\"\nsecret_key = \"{}\"\nadmin = true\n",
            user.access_key, user.secret_key
        ));
    }
    let server = Crossdock::start(Options {
        config: Some(config),
        ..Options::default()
    })?;
    TcpStream::connect_timeout(&server.grpc(), CONNECT_LIMIT)
        .with_context(|| format!("the server does not listen for gRPC at {}", server.grpc()))?;
    Ok(server)
}

fn start_apache(files: &Certificate, credentials: Option<&Credentials>) -> Result<Server> {
    let nameserver = NameServer::start()?;
    let mut broker = BrokerOptions::new("hub", nameserver.address())
        .patient()
        .set("enablePropertyFilter", true)
        .set("recallMessageEnable", true)
        .set("transactionCheckInterval", APACHE_CHECK_MS)
        .set("transactionTimeOut", APACHE_CHECK_MS);
    let mut proxy: Vec<(&str, String)> = vec![
        ("tlsCertPath", files.chain.display().to_string()),
        ("tlsKeyPath", files.key.display().to_string()),
    ];
    if let Some(user) = credentials {
        let (access, secret) = (&user.access_key, &user.secret_key);
        let user = format!("{{\"username\":\"{access}\",\"password\":\"{secret}\"}}");
        let inner = format!("{{\"accessKey\":\"{access}\",\"secretKey\":\"{secret}\"}}");
        broker = broker
            .set("authenticationEnabled", true)
            .set(
                "authenticationMetadataProvider",
                "org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider",
            )
            .set("initAuthenticationUser", user)
            .set("innerClientAuthenticationCredentials", &inner);
        // The Proxy asks the broker inside it.
        proxy.push((
            "authenticationMetadataProvider",
            "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider".to_owned(),
        ));
        proxy.push(("innerClientAuthenticationCredentials", inner));
    }
    let mut options = ProxyOptions::new(broker).set("tlsTestModeEnable", false);
    if credentials.is_some() {
        options = options.set("authenticationEnabled", true);
    }
    for (key, value) in proxy {
        options = options.set(key, value);
    }
    Ok(Server::Apache {
        proxy: Proxy::start(options)?,
        nameserver,
    })
}
