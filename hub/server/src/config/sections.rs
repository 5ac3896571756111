//! Every section and key, its default and its documentation. The text of each doc comment is what
//! `crossdock config default` prints, so it speaks to operators.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::section::section;
use super::users::Users;
use super::values::{
    DelayLevels, Durability, Endpoint, LogFormat, Percent, Secret, Size, Time, TlsMode,
};

section! {
    /// This process.
    Node {
        /// Name of this node (the broker name clients see). "auto" is the host name.
        name: String = "auto".to_owned();
        /// Name of the cluster clients see.
        cluster: String = "DefaultCluster".to_owned();
        /// Folder of everything that must survive a restart.
        data_dir: PathBuf = PathBuf::from("./data");
        /// Host that clients are told to connect to. "auto" is the address they dialled.
        advertise: String = "auto".to_owned();
        /// Threads that serve connections; 0 is one per core.
        worker_threads: u32 = 0;
        /// Longest time a shutdown waits for connections to finish.
        shutdown_grace: Time = Time::secs(30);
    }
}

section! {
    /// What all listeners share.
    Listen {
        /// Address to listen on. Anything but loopback needs a user (section auth).
        bind: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        /// Added to every listener's port.
        port_offset: u16 = 0;
        /// Open connections of all listeners together; further ones are closed at once.
        max_connections: u32 = 100_000;
        /// A connection without a request for this long is closed.
        idle_timeout: Time = Time::secs(120);
        /// Time for a new connection to send its first byte, TLS handshake included.
        handshake_timeout: Time = Time::secs(10);
    }
}

section! {
    /// The name server: tells clients which node serves a topic.
    Nameserver {
        /// Whether this node is a name server.
        enabled: bool = true;
        /// Its port; 0 takes a free one.
        port: u16 = 9876;
    }
}

section! {
    /// The RocketMQ remoting protocol.
    Remoting {
        /// Whether RocketMQ clients are served.
        enabled: bool = true;
        /// Its port; 0 takes a free one.
        port: u16 = 10911;
        /// Second port for clients with the VIP channel switched on; 0 is none.
        fast_port: u16 = 10909;
        /// Longest frame that is read, here and on the name server.
        max_frame: Size = Size::mib(16);
    }
}

section! {
    /// The RocketMQ 5 gRPC protocol.
    Grpc {
        /// Whether RocketMQ 5 gRPC clients are served.
        enabled: bool = true;
        /// Its port; 0 takes a free one.
        port: u16 = 8081;
        /// Largest request; a batch of messages is one request.
        max_request: Size = Size::mib(16);
    }
}

section! {
    /// TLS, on the same ports as plain connections.
    Tls {
        /// "off", "permissive" (plain and TLS clients) or "require" (TLS clients only).
        mode: TlsMode = TlsMode::Permissive;
        /// Certificate chain (PEM). Empty: a self-signed one, kept in the data folder.
        cert: PathBuf = PathBuf::new();
        /// Private key (PEM) of the certificate.
        key: PathBuf = PathBuf::new();
    }
}

section! {
    /// Who may connect.
    Auth {
        /// Let anyone in on addresses other than loopback while there is no user.
        allow_insecure: bool = false;
        /// Users created at start if they do not exist yet.
        users: Users = Users::default();
    }
}

section! {
    /// The commit log on disk.
    Store {
        /// What an acknowledgement promises: "durable" survives a power loss, "written" survives
        /// a crash of the process only and is faster.
        durability: Durability = Durability::Durable;
        /// Time after which written data is synced at the latest.
        flush_interval: Time = Time::millis(200);
        /// Size of a log segment. Segments grow from first_segment_size up to this.
        segment_size: Size = Size::gib(1);
        /// Size of the first segments, so that a first start writes little.
        first_segment_size: Size = Size::mib(16);
        /// Most disk space the data folder may take; "0" leaves it to the marks below.
        disk_max: Size = Size(0);
        /// Used share of the file system (or of disk_max) at which old segments are deleted early; on a file system never
        /// while more than 8 GiB are free.
        disk_clean_at: Percent = Percent(85);
        /// Used share of the file system at which appends are refused; never while more than 4 GiB are free.
        disk_full_at: Percent = Percent(90);
        /// Memory for messages that wait to be written; producers wait when it is full.
        append_queue: Size = Size::mib(64);
        /// The index is checkpointed after this much log ...
        checkpoint_bytes: Size = Size::mib(256);
        /// ... or after this time, whichever comes first. Bounds the work of a restart.
        checkpoint_interval: Time = Time::secs(30);
    }
}

section! {
    /// How long messages are kept.
    Retention {
        /// Messages older than this are deleted; "0" keeps them for ever.
        time: Time = Time::hours(72);
        /// The oldest messages are deleted when the log is larger than this; "0" is no bound.
        size: Size = Size(0);
    }
}

section! {
    /// Topics.
    Topics {
        /// Create a topic when a client first sends to it.
        auto_create: bool = true;
        /// Queues of a topic created that way.
        default_queues: u32 = 8;
        /// Most queues a topic may have.
        max_queues: u32 = 1024;
        /// Record the way of every message in RMQ_SYS_TRACE_TOPIC, also where clients do not do so themselves. Costs a
        /// record of its own for every message sent and delivered.
        trace: bool = false;
    }
}

section! {
    /// Consumer groups.
    Groups {
        /// Create a group when a consumer first joins it.
        auto_create: bool = true;
        /// Deliveries repeated after a failure before a message is put to the dead letters.
        max_retries: u32 = 16;
        /// Queues of a group's retry topic.
        retry_queues: u32 = 1;
    }
}

section! {
    /// Delivery to consumers.
    Delivery {
        /// The delays clients ask for by number, 1 to 64 of them, rising.
        delay_levels: DelayLevels = DelayLevels::default();
        /// Longest time a request for messages is held open while there are none.
        long_poll_max: Time = Time::secs(30);
    }
}

section! {
    /// Messages whose producers decide later whether they are delivered.
    Transactions {
        /// A message without a decision is left alone for this long; then a producer is asked.
        timeout: Time = Time::secs(6);
        /// Time from one question to the next.
        check_interval: Time = Time::secs(30);
        /// Questions without a decision after which the message goes to TRANS_CHECK_MAX_TIME_TOPIC.
        max_checks: u32 = 15;
    }
}

section! {
    /// Bounds of a message.
    Limits {
        /// Largest body.
        message_size: Size = Size::mib(4);
        /// Largest sum of all properties.
        properties_size: Size = Size::kib(32);
    }
}

section! {
    /// Name servers of others.
    Register {
        /// Foreign name servers this node registers with, as "host:port".
        nameservers: Vec<Endpoint> = Vec::new();
        /// Access key that signs these registrations, where the name servers want to know who registers.
        access_key: String = String::new();
        /// Secret of the access key; better kept in a file of its own.
        secret_key: Secret = Secret::default();
        /// File that holds the secret.
        secret_key_file: PathBuf = PathBuf::new();
    }
}

section! {
    /// The log of what the process does, on standard error.
    Log {
        /// A level, or levels by module: "info", "warn,crossdock_remoting=debug".
        level: String = "info".to_owned();
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text;
    }
}
