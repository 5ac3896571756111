//! From the configuration to the settings of each part. Nothing is decided here that the configuration does not say.

use std::sync::Arc;
use std::time::Duration;

use crossdock_grpc::GrpcConfig;
use crossdock_hub::{DelayLevels, HubConfig, UserSeed};
use crossdock_kit::Budget;
use crossdock_remoting::{Credential, RemotingConfig};
use crossdock_store::log::LogConfig;
use crossdock_store::options::Options;
use crossdock_store::types::Durability;

use crate::config::{AccessKey, Checked, Durability as Promise, SeedUser};

/// Bytes of framing around body and properties of a message.
const MESSAGE_FRAMING: usize = 64 << 10;
/// Retention looks for expired segments this many times in the time messages are kept, within bounds.
const RETENTION_LOOKS: u32 = 10;
const RETENTION_INTERVAL_MIN: Duration = Duration::from_millis(200);
const RETENTION_INTERVAL_MAX: Duration = Duration::from_secs(10);

fn promise(promise: Promise) -> Durability {
    match promise {
        Promise::Durable => Durability::Durable,
        Promise::Written => Durability::Written,
    }
}

/// Undecided messages are looked at as often as they are asked about, and at least this often.
const TRANSACTION_SCAN_MAX: Duration = Duration::from_secs(1);

/// Share of what the log may take that is kept behind its visible start for records that borrow.
const REACH_SHARE: u64 = 16;
const REACH_MAX: u64 = 256 << 20;

/// Settings of the store.
pub(crate) fn store(checked: &Checked) -> Options {
    let store = &checked.loaded.config.store;
    let retention = &checked.loaded.config.retention;
    let unlimited = |bytes: u64| if bytes == 0 { u64::MAX / 2 } else { bytes };
    let retain_for = Some(retention.time.0).filter(|time| !time.is_zero());
    let interval = retain_for.map_or(RETENTION_INTERVAL_MAX, |time| time / RETENTION_LOOKS);
    let disk_max = unlimited(store.disk_max.0);
    let limit = disk_max.min(unlimited(retention.size.0));
    Options {
        log: LogConfig {
            first_segment_bytes: store.first_segment_size.0,
            segment_bytes_max: store.segment_size.0,
            disk_bytes_max: disk_max,
            new_reach_bytes: (limit / REACH_SHARE).min(REACH_MAX),
            ..LogConfig::default()
        },
        inbox_bytes: store.append_queue.bytes(),
        flush_interval: store.flush_interval.0,
        checkpoint_bytes: store.checkpoint_bytes.0,
        checkpoint_interval: store.checkpoint_interval.0,
        retain_for,
        retain_bytes: Some(retention.size.0).filter(|bytes| *bytes > 0),
        disk_clean_percent: store.disk_clean_at.0,
        disk_full_percent: store.disk_full_at.0,
        retention_interval: interval.clamp(RETENTION_INTERVAL_MIN, RETENTION_INTERVAL_MAX),
        ..Options::default()
    }
}

/// Settings of the hub.
pub(crate) fn hub(checked: &Checked) -> HubConfig {
    let config = &checked.loaded.config;
    let limits = &config.limits;
    HubConfig {
        cluster: config.node.cluster.clone(),
        node: checked.node_name.clone(),
        auto_create_topics: config.topics.auto_create,
        auto_create_groups: config.groups.auto_create,
        default_queues: config.topics.default_queues,
        queues_max: config.topics.max_queues,
        message_bytes_max: limits.message_size.bytes()
            + limits.properties_size.bytes()
            + MESSAGE_FRAMING,
        durability: promise(config.store.durability),
        retry_queues: config.groups.retry_queues,
        retry_max: config.groups.max_retries,
        transaction_timeout: config.transactions.timeout.0,
        transaction_interval: config.transactions.check_interval.0,
        transaction_scan: config
            .transactions
            .check_interval
            .0
            .min(TRANSACTION_SCAN_MAX),
        transaction_checks_max: config.transactions.max_checks,
        delay_levels: DelayLevels::of(&config.delivery.delay_levels.0),
        traces_messages: config.topics.trace,
        allow_insecure: config.auth.allow_insecure,
        users: checked.users.iter().map(user).collect(),
        ..HubConfig::default()
    }
}

fn user(user: &SeedUser) -> UserSeed {
    let secret = user
        .access
        .as_ref()
        .map(|access| access.secret.reveal().to_owned());
    let password = user
        .password
        .as_ref()
        .map(|password| password.reveal().to_owned());
    UserSeed {
        name: user.name.clone(),
        password,
        access_key: user.access.as_ref().map(|access| access.key.clone()),
        secret,
        is_admin: user.is_admin,
    }
}

fn credential(access: &AccessKey) -> Credential {
    Credential::new(access.key.clone(), access.secret.reveal().to_owned())
}

/// Settings of the RocketMQ remoting door and the name server.
pub(crate) fn remoting(checked: &Checked, connections: Arc<Budget>) -> RemotingConfig {
    let config = &checked.loaded.config;
    RemotingConfig {
        listen: checked.remoting,
        listen_fast: checked.remoting_fast,
        listen_name_server: checked.nameserver,
        advertise: checked.advertise.clone(),
        register: config
            .register
            .nameservers
            .iter()
            .map(ToString::to_string)
            .collect(),
        register_as: checked.register_as.as_ref().map(credential),
        connections,
        handshake_timeout: config.listen.handshake_timeout.0,
        body_bytes_max: config.limits.message_size.bytes(),
        properties_bytes_max: config.limits.properties_size.bytes(),
        frame_bytes_max: config.remoting.max_frame.bytes(),
        idle_timeout: config.listen.idle_timeout.0,
        held_pull_time_max: config.delivery.long_poll_max.0,
        ..RemotingConfig::default()
    }
}

/// Settings of the RocketMQ 5 gRPC door.
pub(crate) fn grpc(checked: &Checked, connections: Arc<Budget>) -> GrpcConfig {
    let config = &checked.loaded.config;
    let defaults = GrpcConfig::default();
    GrpcConfig {
        listen: checked.grpc,
        connections,
        handshake_timeout: config.listen.handshake_timeout.0,
        request_bytes_max: config.grpc.max_request.bytes(),
        body_bytes_max: config.limits.message_size.bytes(),
        properties_bytes_max: config.limits.properties_size.bytes(),
        held_poll_time_max: config
            .delivery
            .long_poll_max
            .0
            .min(defaults.held_poll_time_max),
        ..defaults
    }
}
