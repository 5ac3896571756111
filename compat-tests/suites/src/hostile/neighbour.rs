//! The well-behaved client that must not notice anything: on its own connection it sends a message and reads it back,
//! over and over, until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::peer::Peer;
use crate::hub::Hub;

/// Longest time for one message there and back on a machine of two cores that does other things as well.
const ROUND_LIMIT: Duration = Duration::from_secs(5);
const NOT_FOUND: i64 = 19;
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u32>>,
}

impl Neighbour {
    /// Starts the neighbour; its first round is done when this returns.
    pub(super) fn start(hub: &Hub) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("neighbour_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut peer = Peer::connect(hub.broker())?;
        peer.create_topic(&name)?;
        peer.join(&name, &name)?;
        round(&mut peer, &name, 0).context("neighbour, before the case")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut rounds = 1;
            while !stopped.load(Ordering::Relaxed) {
                round(&mut peer, &name, rounds)?;
                rounds += 1;
                // Paces the load; nothing is awaited here.
                thread::sleep(PAUSE);
            }
            // A connection made now is served like the old one.
            let mut late = Peer::connect(peer.connection.stream().peer_addr()?)?;
            round(&mut late, &name, rounds)?;
            Ok(rounds)
        });
        Ok(Self { stop, thread })
    }

    /// Ends it; any error it met is the result.
    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let rounds = self
            .thread
            .join()
            .map_err(|_| anyhow!("the neighbour panicked"))?
            .context("the well-behaved neighbour was disturbed")?;
        if rounds == 0 {
            bail!("the neighbour did nothing");
        }
        Ok(())
    }
}

fn round(peer: &mut Peer, name: &str, number: u32) -> Result<()> {
    let start = Instant::now();
    let body = format!("{name} message {number}");
    let offset = peer.send(name, body.as_bytes())?;
    // Stored is not yet readable everywhere; the pull waits for it.
    let mut answer = peer.wait_and_pull(name, name, offset)?;
    while answer.code == NOT_FOUND && start.elapsed() < ROUND_LIMIT {
        answer = peer.wait_and_pull(name, name, offset)?;
    }
    if !answer
        .body
        .windows(body.len())
        .any(|window| window == body.as_bytes())
    {
        bail!(
            "message {number} at offset {offset} did not come back: {} {}",
            answer.code,
            answer.remark
        );
    }
    let took = start.elapsed();
    if took > ROUND_LIMIT {
        bail!("message {number} took {took:?} there and back");
    }
    Ok(())
}
