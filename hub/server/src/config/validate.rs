//! The second step: judges the settings against each other and resolves what the rest of the
//! process needs (names, addresses, secrets from files). Reports every fault with the layer that
//! set the value.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;

use tracing_subscriber::EnvFilter;

use super::fault::{Fault, Faults};
use super::load::Loaded;
use super::values::{Secret, Size, Time, TlsMode};

/// The largest secret file that is read.
const SECRET_BYTES_MAX: u64 = 4096;
const WORKER_THREADS_MAX: u32 = 1024;
const NAME_LENGTH_MAX: usize = 127;
const QUEUES_MAX: u32 = 65_536;
const RETRIES_MAX: u32 = 10_000;
/// Headers, topic and framing around a message of the largest size.
const FRAME_OVERHEAD: u64 = 64 << 10;
const SEGMENT_SIZE_MIN: Size = Size::mib(1);
const SEGMENT_SIZE_MAX: Size = Size::gib(2);
/// Fewer segments than this leave nothing to delete while the newest is written.
const SEGMENTS_MIN: u64 = 4;

/// A user to create at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedUser {
    pub name: String,
    pub password: Option<Secret>,
    pub access: Option<AccessKey>,
    pub is_admin: bool,
}

/// A key pair for signed requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub key: String,
    pub secret: Secret,
}

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub struct Checked {
    pub loaded: Loaded,
    pub node_name: String,
    /// `None` means: the address the client dialled.
    pub advertise: Option<String>,
    pub worker_threads: usize,
    pub nameserver: Option<SocketAddr>,
    pub remoting: Option<SocketAddr>,
    pub remoting_fast: Option<SocketAddr>,
    pub grpc: Option<SocketAddr>,
    pub users: Vec<SeedUser>,
    /// What registrations with foreign name servers are signed with.
    pub register_as: Option<AccessKey>,
}

impl Loaded {
    /// Judges the whole.
    ///
    /// # Errors
    /// Every fault.
    pub fn validate(self) -> Result<Checked, Faults> {
        let mut judge = Judge {
            loaded: &self,
            faults: Vec::new(),
        };
        let node_name = judge.node();
        let users = judge.users();
        let register_as = judge.register();
        judge.tls();
        judge.store();
        judge.bounds();
        judge.log();
        let [nameserver, remoting, remoting_fast, grpc] = judge.listeners(users.is_empty());
        let faults = judge.faults;
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let node = &self.config.node;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let worker_threads = match node.worker_threads {
            0 => cores,
            count => usize::try_from(count).unwrap_or(cores),
        };
        let advertise = (node.advertise != "auto").then(|| node.advertise.clone());
        Ok(Checked {
            node_name,
            advertise,
            worker_threads,
            nameserver,
            remoting,
            remoting_fast,
            grpc,
            users,
            register_as,
            loaded: self,
        })
    }
}

struct Judge<'a> {
    loaded: &'a Loaded,
    faults: Vec<Fault>,
}

impl Judge<'_> {
    fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.loaded.origin(key);
        self.faults.push(Fault::new(key, origin, message));
    }

    fn demand(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.refuse(key, message());
        }
    }

    fn node(&mut self) -> String {
        let node = &self.loaded.config.node;
        let rule = "expected up to 127 letters, digits, \"-\", \"_\" or \".\"";
        let name = match node.name.as_str() {
            "auto" => host_name(),
            name => name.to_owned(),
        };
        self.demand(is_name(&name), "node.name", || rule.to_owned());
        self.demand(is_name(&node.cluster), "node.cluster", || rule.to_owned());
        let is_host = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b))
        };
        self.demand(is_host(&node.advertise), "node.advertise", || {
            "expected \"auto\" or a host name or address without a port".to_owned()
        });
        let has_port = node.advertise.matches(':').count() == 1;
        self.demand(!has_port, "node.advertise", || {
            "expected a host without a port; each listener adds its own".to_owned()
        });
        self.demand(
            !node.data_dir.as_os_str().is_empty(),
            "node.data_dir",
            || "expected a folder".to_owned(),
        );
        self.demand(
            node.worker_threads <= WORKER_THREADS_MAX,
            "node.worker_threads",
            || format!("expected at most {WORKER_THREADS_MAX}"),
        );
        name
    }

    fn listeners(&mut self, has_no_user: bool) -> [Option<SocketAddr>; 4] {
        let config = &self.loaded.config;
        let (nameserver, remoting) = (&config.nameserver, &config.remoting);
        let has_fast = remoting.enabled && remoting.fast_port != 0;
        let wanted = [
            (
                "listen.nameserver.port",
                nameserver.enabled,
                nameserver.port,
            ),
            ("listen.remoting.port", remoting.enabled, remoting.port),
            ("listen.remoting.fast_port", has_fast, remoting.fast_port),
            ("listen.grpc.port", config.grpc.enabled, config.grpc.port),
        ];
        let mut taken: Vec<(&str, u16)> = Vec::new();
        let addresses = wanted.map(|(key, is_enabled, port)| {
            if !is_enabled {
                return None;
            }
            // Port 0 is "any free one", with any offset.
            let offset = if port == 0 {
                0
            } else {
                config.listen.port_offset
            };
            let Some(port) = port.checked_add(offset) else {
                self.refuse(
                    key,
                    format!("{port} plus listen.port_offset is beyond 65535"),
                );
                return None;
            };
            if let Some((other, _)) = taken.iter().find(|(_, used)| *used == port && port != 0) {
                self.refuse(key, format!("port {port} is also {other}"));
            }
            taken.push((key, port));
            Some(SocketAddr::new(config.listen.bind, port))
        });
        let bind = config.listen.bind;
        if !bind.is_loopback() && has_no_user && !config.auth.allow_insecure {
            let fault = Fault::new(
                "listen.bind",
                self.loaded.origin("listen.bind"),
                format!("{bind} is reachable from other machines, and there is no user"),
            );
            self.faults
                .push(fault.hint("add [[auth.users]], or set auth.allow_insecure = true"));
        }
        let connections = config.listen.max_connections;
        self.demand(connections > 0, "listen.max_connections", || {
            "expected at least 1".to_owned()
        });
        let frame_min = Size(config.limits.message_size.0 + FRAME_OVERHEAD);
        for (key, frame) in [
            ("listen.remoting.max_frame", config.remoting.max_frame),
            ("listen.grpc.max_request", config.grpc.max_request),
        ] {
            self.demand(frame >= frame_min && frame <= Size::gib(1), key, || {
                format!("expected {frame_min} (limits.message_size and a margin) to 1GiB")
            });
        }
        addresses
    }

    fn users(&mut self) -> Vec<SeedUser> {
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let mut seeds = Vec::new();
        for (at, user) in self.loaded.config.auth.users.0.iter().enumerate() {
            let key = |name: &str| format!("auth.users[{at}].{name}");
            self.user_demand(is_name(&user.name), key("name"), "expected a name");
            self.user_demand(
                names.insert(&user.name),
                key("name"),
                "this name is listed twice",
            );
            let password = self.secret(&user.password, &user.password_file, &key("password"));
            let secret = self.secret(&user.secret_key, &user.secret_key_file, &key("secret_key"));
            let has_secret = given(&user.secret_key, &user.secret_key_file);
            let access = self.access(&user.access_key, has_secret, secret, &key("access_key"));
            if let Some(access) = &access {
                let is_new = keys.insert(access.key.clone());
                self.user_demand(is_new, key("access_key"), "this access key is listed twice");
            }
            let has_password = given(&user.password, &user.password_file);
            let has_means = has_password || !user.access_key.is_empty();
            self.user_demand(
                has_means,
                key("password"),
                "expected a password or an access key",
            );
            let name = user.name.clone();
            seeds.push(SeedUser {
                name,
                password,
                access,
                is_admin: user.admin,
            });
        }
        seeds
    }

    fn register(&mut self) -> Option<AccessKey> {
        let register = &self.loaded.config.register;
        let (inline, file) = (&register.secret_key, &register.secret_key_file);
        let (access_key, has_secret) = (&register.access_key, given(inline, file));
        let is_used = !register.nameservers.is_empty();
        self.demand(
            is_used || access_key.is_empty(),
            "register.access_key",
            || "has no effect without register.nameservers".to_owned(),
        );
        let secret = self.secret(inline, file, "register.secret_key");
        self.access(access_key, has_secret, secret, "register.access_key")
    }

    /// A fault in the list of users has the list's origin.
    fn user_demand(&mut self, holds: bool, key: String, message: &str) {
        if !holds {
            let set = match key.split_once('[') {
                Some((list, _)) => list,
                None => &key,
            };
            let origin = self.loaded.origin(set);
            self.faults.push(Fault::new(key, origin, message));
        }
    }

    fn access(
        &mut self,
        access_key: &str,
        has_secret: bool,
        secret: Option<Secret>,
        key: &str,
    ) -> Option<AccessKey> {
        let is_whole = access_key.is_empty() != has_secret;
        self.user_demand(
            is_whole,
            key.to_owned(),
            "access_key and secret_key go together",
        );
        Some(AccessKey {
            key: access_key.to_owned(),
            secret: secret?,
        })
        .filter(|_| is_whole)
    }

    fn secret(&mut self, inline: &Secret, file: &Path, key: &str) -> Option<Secret> {
        if file.as_os_str().is_empty() {
            return (!inline.is_empty()).then(|| inline.clone());
        }
        if !inline.is_empty() {
            self.user_demand(false, key.to_owned(), "given both here and as a file");
            return None;
        }
        match read_secret(file) {
            Ok(secret) => Some(secret),
            Err(message) => {
                self.user_demand(false, format!("{key}_file"), &message);
                None
            }
        }
    }

    fn tls(&mut self) {
        let tls = &self.loaded.config.tls;
        let given = |path: &Path| !path.as_os_str().is_empty();
        let (has_cert, has_key) = (given(&tls.cert), given(&tls.key));
        self.demand(has_cert || !has_key, "tls.key", || {
            "tls.cert is missing".to_owned()
        });
        self.demand(has_key || !has_cert, "tls.cert", || {
            "tls.key is missing".to_owned()
        });
        let is_used = tls.mode != TlsMode::Off || !(has_cert || has_key);
        self.demand(is_used, "tls.cert", || {
            "has no effect while tls.mode is \"off\"".to_owned()
        });
        for (key, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
            self.demand(!given(path) || path.is_file(), key, || {
                format!("there is no file {}", path.display())
            });
        }
    }

    fn store(&mut self) {
        let (store, limits) = (&self.loaded.config.store, &self.loaded.config.limits);
        let record = Size(limits.message_size.0 + limits.properties_size.0 + FRAME_OVERHEAD);
        let (first, segment) = (store.first_segment_size, store.segment_size);
        let smallest = SEGMENT_SIZE_MIN.max(record);
        self.demand(
            segment >= smallest && segment <= SEGMENT_SIZE_MAX,
            "store.segment_size",
            || format!("expected {smallest} (a largest message must fit) to {SEGMENT_SIZE_MAX}"),
        );
        self.demand(
            first >= smallest && first <= segment,
            "store.first_segment_size",
            || format!("expected {smallest} (a largest message must fit) to store.segment_size"),
        );
        self.demand(store.append_queue >= record, "store.append_queue", || {
            format!("expected at least {record}, the room of a largest message")
        });
        let disk_min = Size(first.0.saturating_mul(SEGMENTS_MIN));
        let disk = store.disk_max;
        self.demand(disk.0 == 0 || disk >= disk_min, "store.disk_max", || {
            format!("expected \"0\" or at least {disk_min}, four of the first segments")
        });
        self.demand(
            store.disk_clean_at < store.disk_full_at,
            "store.disk_clean_at",
            || "must be below store.disk_full_at, or cleaning starts too late".to_owned(),
        );
        self.demand(
            store.checkpoint_bytes >= Size::mib(1),
            "store.checkpoint_bytes",
            || "expected at least 1MiB".to_owned(),
        );
        let times = [
            (
                "store.flush_interval",
                store.flush_interval,
                Time::millis(1),
                Time::secs(60),
            ),
            (
                "store.checkpoint_interval",
                store.checkpoint_interval,
                Time::secs(1),
                Time::hours(1),
            ),
        ];
        for (key, time, min, max) in times {
            self.demand((min..=max).contains(&time), key, || {
                format!("expected {min} to {max}")
            });
        }
    }

    fn bounds(&mut self) {
        let config = &self.loaded.config;
        let day = Time::hours(24);
        let times = [
            (
                "node.shutdown_grace",
                config.node.shutdown_grace,
                Time::millis(1),
                day,
            ),
            (
                "listen.idle_timeout",
                config.listen.idle_timeout,
                Time::secs(1),
                day,
            ),
            (
                "listen.handshake_timeout",
                config.listen.handshake_timeout,
                Time::millis(1),
                day,
            ),
            (
                "delivery.long_poll_max",
                config.delivery.long_poll_max,
                Time::secs(1),
                day,
            ),
            (
                "transactions.timeout",
                config.transactions.timeout,
                Time::millis(1),
                day,
            ),
            (
                "transactions.check_interval",
                config.transactions.check_interval,
                Time::millis(1),
                day,
            ),
        ];
        for (key, time, min, max) in times {
            self.demand((min..=max).contains(&time), key, || {
                format!("expected {min} to {max}")
            });
        }
        let (topics, groups) = (&config.topics, &config.groups);
        let counts = [
            ("topics.max_queues", topics.max_queues, 1, QUEUES_MAX),
            (
                "topics.default_queues",
                topics.default_queues,
                1,
                topics.max_queues,
            ),
            ("groups.max_retries", groups.max_retries, 0, RETRIES_MAX),
            (
                "groups.retry_queues",
                groups.retry_queues,
                1,
                topics.max_queues,
            ),
        ];
        for (key, count, min, max) in counts {
            self.demand((min..=max).contains(&count), key, || {
                format!("expected {min} to {max}")
            });
        }
        let limits = &config.limits;
        let sizes = [
            (
                "limits.message_size",
                limits.message_size,
                Size::kib(1),
                Size::mib(512),
            ),
            // The record format counts them with 16 bits on the wire of the oldest clients.
            (
                "limits.properties_size",
                limits.properties_size,
                Size::kib(1),
                Size::kib(32),
            ),
        ];
        for (key, size, min, max) in sizes {
            self.demand((min..=max).contains(&size), key, || {
                format!("expected {min} to {max}")
            });
        }
        let (size, first) = (config.retention.size, config.store.first_segment_size);
        self.demand(size.0 == 0 || size >= first, "retention.size", || {
            format!("expected \"0\" or at least {first}, the first segment")
        });
    }

    fn log(&mut self) {
        let level = &self.loaded.config.log.level;
        let is_usable = !level.is_empty() && level.parse::<EnvFilter>().is_ok();
        self.demand(is_usable, "log.level", || {
            "expected error, warn, info, debug or trace, or a list such as \"info,module=debug\""
                .to_owned()
        });
    }
}

/// Whether a secret is given at all.
fn given(inline: &Secret, file: &Path) -> bool {
    !inline.is_empty() || !file.as_os_str().is_empty()
}

fn is_name(text: &str) -> bool {
    let is_sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !text.is_empty() && text.len() <= NAME_LENGTH_MAX && text.bytes().all(is_sound)
}

/// The host name, reduced to what a node name may hold.
fn host_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let sound = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let name: String = host.chars().filter(sound).take(NAME_LENGTH_MAX).collect();
    if name.is_empty() {
        "crossdock".to_owned()
    } else {
        name
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let failed = |error| format!("cannot read {}: {error}", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > SECRET_BYTES_MAX {
        return Err(format!(
            "{} is larger than {SECRET_BYTES_MAX} bytes",
            path.display()
        ));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{} is empty", path.display())),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}
