//! Clients that ask for much and read nothing.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossdock_harness::remoting;

use super::CaseBody;
use super::peer::{PULL, Peer, pull_fields};
use crate::hub::Hub;

/// Answers asked for add up to CONNECTIONS × REQUESTS × about 256 KiB = 8 GiB.
const CONNECTIONS: usize = 8;
const REQUESTS: i32 = 4_000;
const STORED: usize = 64;
const BODY_BYTES: usize = 32 * 1024;
/// How long a write may be refused before the server counts as holding back.
const HELD_BACK: Duration = Duration::from_secs(2);
const FLOOD_LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: [(&str, CaseBody); 1] = [("clients_that_never_read", never_read)];

fn never_read(hub: &Hub) -> Result<()> {
    let topic = "hostile_unread";
    let mut setup = Peer::connect(hub.broker())?;
    setup.create_topic(topic)?;
    setup.join(topic, topic)?;
    let body = vec![7; BODY_BYTES];
    for _ in 0..STORED {
        setup.send(topic, &body)?;
    }
    while setup.wait_and_pull(topic, topic, STORED as u64 - 1)?.code != 0 {}
    let answer = setup.pull(topic, topic, 0)?;
    if answer.body.len() < 4 * BODY_BYTES {
        bail!("a pull brings only {} bytes", answer.body.len());
    }
    let mut flood = Vec::new();
    for opaque in 1..=REQUESTS {
        flood.extend(remoting::request(
            PULL,
            opaque,
            &pull_fields(topic, topic, "0"),
            &[],
        )?);
    }
    // All at the same time; each ends when all is written, the server holds back, or the server hangs up. The
    // connections stay open until all have come that far.
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let peer = Peer::connect(hub.broker())?;
        peers.push((peer, 0_usize, Instant::now()));
    }
    for (peer, ..) in &mut peers {
        peer.connection.stream().set_nonblocking(true)?;
    }
    let start = Instant::now();
    loop {
        let mut is_busy = false;
        for (peer, written, progress) in &mut peers {
            let rest = flood.get(*written..).unwrap_or_default();
            if rest.is_empty() || progress.elapsed() > HELD_BACK {
                continue;
            }
            is_busy = true;
            match peer.connection.stream().write(rest) {
                Ok(count) => {
                    *written += count;
                    *progress = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Hanging up on such a client is fine.
                Err(_) => *written = flood.len(),
            }
        }
        if !is_busy {
            return Ok(());
        }
        if start.elapsed() > FLOOD_LIMIT {
            bail!("the server took neither all requests nor held back within {FLOOD_LIMIT:?}");
        }
        std::thread::yield_now();
    }
}
