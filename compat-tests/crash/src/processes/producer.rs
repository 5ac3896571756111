//! A producer that outlives the server. It sends one message to every queue at a time, awaits all
//! answers, and sends again, in the next life of the server, what got none. So for one queue it
//! never has two messages under way, and its messages there must appear in the order of their
//! numbers, repeated only where an answer was lost.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime};

use super::actors::Progress;
use super::client::{Client, Queue, Sent};
use super::message::Id;

/// How long a refused producer waits.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// What is known of one message sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) queue: usize,
    /// Times it was sent; each may have stored it.
    pub(super) count: u32,
    /// When it was sent last.
    pub(super) at: SystemTime,
}

/// A positive answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack {
    pub(super) id: Id,
    pub(super) queue: usize,
    pub(super) offset: i64,
    pub(super) sent_at: SystemTime,
}

#[derive(Debug)]
pub(super) struct Producer {
    number: u32,
    /// By sequence number.
    pub(super) attempts: Vec<Attempt>,
    /// Answers since they were last taken.
    pub(super) acks: Vec<Ack>,
    /// Refusals by code.
    pub(super) refused: BTreeMap<i64, u64>,
    /// Sent and not answered well, oldest first.
    pending: Vec<u32>,
}

impl Producer {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            attempts: Vec::new(),
            acks: Vec::new(),
            refused: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    /// Sends until the connection breaks or a stop is asked for. A broken connection is what is waited
    /// for, so it is no error.
    pub(super) fn live(&mut self, broker: SocketAddr, queues: &[Queue], progress: &Progress) {
        let Ok(mut client) = Client::connect(broker) else {
            return;
        };
        while !progress.stop.load(Ordering::Relaxed) {
            let before = (self.acks.len(), self.refused_count());
            if self.turn(&mut client, queues).is_err() {
                return;
            }
            let acknowledged = (self.acks.len() - before.0) as u64;
            let refused = self.refused_count() - before.1;
            progress
                .acknowledged
                .fetch_add(acknowledged, Ordering::Relaxed);
            progress.refused.fetch_add(refused, Ordering::Relaxed);
            if refused > 0 {
                thread::sleep(REFUSED_PAUSE);
            }
        }
    }

    fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    /// One message to each queue: what is pending for it, or a new one.
    fn turn(&mut self, client: &mut Client, queues: &[Queue]) -> anyhow::Result<()> {
        let mut open = vec![true; queues.len()];
        for sequence in &self.pending {
            if let Some(attempt) = self.attempts.get(*sequence as usize) {
                open[attempt.queue] = false;
            }
        }
        for (queue, _) in open.iter().enumerate().filter(|(_, open)| **open) {
            self.pending.push(self.attempts.len() as u32);
            self.attempts.push(Attempt {
                queue,
                count: 0,
                at: SystemTime::now(),
            });
        }
        let mut under_way = HashMap::new();
        for sequence in &self.pending {
            let id = Id {
                producer: self.number,
                sequence: *sequence,
            };
            let attempt = &mut self.attempts[*sequence as usize];
            // Counted before it is sent: a write that fails may have sent it all the same.
            attempt.count += 1;
            attempt.at = SystemTime::now();
            under_way.insert(client.send(&queues[attempt.queue], id)?, id);
        }
        while !under_way.is_empty() {
            let (opaque, sent) = client.sent()?;
            let Some(id) = under_way.remove(&opaque) else {
                anyhow::bail!("an answer to no request");
            };
            match sent {
                Sent::Stored { offset } => {
                    let attempt = self.attempts[id.sequence as usize];
                    self.acks.push(Ack {
                        id,
                        queue: attempt.queue,
                        offset,
                        sent_at: attempt.at,
                    });
                    self.pending.retain(|sequence| *sequence != id.sequence);
                }
                Sent::Refused { code } => *self.refused.entry(code).or_default() += 1,
            }
        }
        Ok(())
    }
}
