//! Free ports. A server gets one offset that moves all its well-known ports; the offset is held by a file lock for as
//! long as the server may run, so that parallel test processes never pick the same one, and every port is probed by
//! binding it.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

const NAMESERVER: u16 = 9876;
const REMOTING: u16 = 10911;
const FAST: u16 = 10909;
const GRPC: u16 = 8081;
/// Replication port of an Apache broker: its main port plus one.
const REPLICATION: u16 = 10912;
/// Where an Apache Proxy speaks the remoting protocol.
const PROXY_REMOTING: u16 = 8080;

const ALL: [u16; 6] = [
    NAMESERVER,
    REMOTING,
    FAST,
    REPLICATION,
    GRPC,
    PROXY_REMOTING,
];

/// Offsets lie in 10 000 … 19 990: every port stays below the range from which the kernel takes ephemeral ports.
const FIRST: u32 = 10_000;
const STEP: u32 = 10;
const SLOTS: u32 = 1_000;

/// A reserved offset.
#[derive(Debug)]
pub struct Ports {
    offset: u16,
    /// Holds the lock on the slot.
    _slot: File,
}

impl Ports {
    /// Reserves an offset at which all ports of a server are free.
    pub fn reserve() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join("crossdock-ports");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        // Processes start at different places, so that they rarely meet.
        let start = process::id().wrapping_mul(97);
        for _ in 0..SLOTS {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let offset = u16::try_from(FIRST + STEP * (start.wrapping_add(turn) % SLOTS))?;
            let slot = File::create(folder.join(offset.to_string()))?;
            match slot.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            if ALL.iter().all(|port| is_free(port + offset)) {
                return Ok(Self {
                    offset,
                    _slot: slot,
                });
            }
        }
        bail!(
            "no free port offset between {FIRST} and {}",
            FIRST + STEP * SLOTS
        )
    }

    pub fn offset(&self) -> u16 {
        self.offset
    }

    pub fn nameserver(&self) -> SocketAddr {
        local(NAMESERVER + self.offset)
    }

    pub fn remoting(&self) -> SocketAddr {
        local(REMOTING + self.offset)
    }

    pub fn fast(&self) -> SocketAddr {
        local(FAST + self.offset)
    }

    pub fn grpc(&self) -> SocketAddr {
        local(GRPC + self.offset)
    }

    pub fn replication(&self) -> SocketAddr {
        local(REPLICATION + self.offset)
    }

    pub fn proxy_remoting(&self) -> SocketAddr {
        local(PROXY_REMOTING + self.offset)
    }

    /// The port among ours that a server complains about, if its output names one.
    pub fn mentioned_in(&self, output: &str) -> Option<u16> {
        ALL.iter().map(|port| port + self.offset).find(|port| {
            output
                .split(|c: char| !c.is_ascii_digit())
                .any(|number| number.parse() == Ok(*port))
        })
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reservations_differ_and_a_held_port_is_skipped() {
        let first = Ports::reserve().unwrap();
        let listener = TcpListener::bind(first.remoting()).unwrap();
        let second = Ports::reserve().unwrap();
        assert_ne!(first.offset(), second.offset());
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn a_complaint_names_the_port() {
        let ports = Ports::reserve().unwrap();
        let text = format!(
            "error: port {} is held by another process",
            ports.fast().port()
        );
        assert_eq!(ports.mentioned_in(&text), Some(ports.fast().port()));
        assert_eq!(ports.mentioned_in("error: unknown key"), None);
    }
}
