//! Producing: every slot keeps one SEND_MESSAGE_V2 in flight and sends the next when its answer
//! arrives, as a thread with a synchronous producer does. Many slots share a connection, as the
//! threads of one official client do; more slots than a client has threads make a pipelined load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use crossdock_proto_remoting::Encoding;

use super::answer::Answer;
use super::check::{Mark, SlotLog};
use super::connection::Connection;
use super::drive::{Context, Session, drive};
use super::outcome::{Outcome, Stats};
use super::send_template::{OPAQUE_FIRST, SendTemplate};
use super::{Observer, Target, Unobserved, Window};

/// Opaques in use before they repeat.
const OPAQUES: u32 = 1_000_000_000;
/// A run ends when so many requests were refused.
const REFUSED_MAX: u64 = 1_000_000;

/// A producing run.
#[derive(Debug, Clone)]
pub struct Produce {
    pub target: Target,
    pub body_len: usize,
    pub encoding: Encoding,
    pub connections: u32,
    /// Requests in flight over all connections.
    pub in_flight: u32,
    /// Load threads; connections are dealt out to them.
    pub threads: u32,
    pub window: Window,
    /// Ends the run after so many messages; without it the window does.
    pub messages: Option<u64>,
}

/// What a producing run did.
#[derive(Debug)]
pub struct Sent {
    pub outcome: Outcome,
    /// By slot number, for [`super::check::Seen::judge`].
    pub slots: Vec<SlotLog>,
}

impl Produce {
    pub fn run(&self, observer: Arc<dyn Observer>) -> Result<Sent> {
        ensure!(
            self.connections > 0 && self.threads > 0 && self.target.queues > 0,
            "connections, threads and queues must be at least 1"
        );
        ensure!(
            self.in_flight >= self.connections,
            "fewer requests in flight than connections"
        );
        let templates: Arc<[SendTemplate]> = self.templates()?.into();
        let mut links: Vec<Vec<(Connection, Producer)>> = Vec::new();
        let mut first_slot = 0;
        for index in 0..self.connections {
            let slots = share(self.in_flight, self.connections, index);
            let quota = self.messages.map(|all| {
                let before = all * u64::from(first_slot) / u64::from(self.in_flight);
                all * u64::from(first_slot + slots) / u64::from(self.in_flight) - before
            });
            let producer = Producer::new(Arc::clone(&templates), first_slot, slots, quota);
            first_slot += slots;
            let link = (Connection::open(self.target.broker)?, producer);
            match links.get_mut((index % self.threads) as usize) {
                Some(links) => links.push(link),
                None => links.push(vec![link]),
            }
        }
        let (start, window) = (Instant::now(), self.window);
        let results: Vec<Result<Driven>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(links)
                .map(|(index, links)| {
                    let observer = Arc::clone(&observer);
                    scope.spawn(move || produce(index, links, window, start, &*observer))
                })
                .collect();
            threads.into_iter().map(super::joined).collect()
        });
        let mut all = Vec::new();
        let mut slots = BTreeMap::new();
        for result in results {
            let (stats, logs) = result?;
            all.push(stats);
            slots.extend(logs);
        }
        Ok(Sent {
            outcome: Outcome::merge(all),
            slots: slots.into_values().collect(),
        })
    }

    fn templates(&self) -> Result<Vec<SendTemplate>> {
        let key_prefix = rand::random();
        (0..self.target.queues)
            .map(|queue| {
                SendTemplate::new(
                    &self.target.topic,
                    queue,
                    self.body_len,
                    self.encoding,
                    key_prefix,
                )
            })
            .collect()
    }
}

/// Counts of a thread and the logs of its slots.
type Driven = (Stats, Vec<(u32, SlotLog)>);

fn produce(
    index: u32,
    mut links: Vec<(Connection, Producer)>,
    window: Window,
    start: Instant,
    observer: &dyn Observer,
) -> Result<Driven> {
    let observer: &dyn Observer = if index == 0 { observer } else { &Unobserved };
    let stats = drive(&mut links, window, start, observer)?;
    let logs = links.into_iter().flat_map(|(_, producer)| producer.logs());
    Ok((stats, logs.collect()))
}

/// The part of `all` that falls to the `index`th of `parts`.
fn share(all: u32, parts: u32, index: u32) -> u32 {
    all / parts + u32::from(index < all % parts)
}

/// The slots of one connection.
#[derive(Debug)]
struct Producer {
    templates: Arc<[SendTemplate]>,
    first_slot: u32,
    slots: Vec<Slot>,
    /// Messages still to be sent.
    left: u64,
    outstanding: u32,
    refused: u64,
    /// Distinguishes the requests of a slot in time.
    turns: u32,
}

#[derive(Debug, Default)]
struct Slot {
    opaque: i32,
    sent_at: u64,
    queue: usize,
    turn: u32,
    is_waiting: bool,
    log: SlotLog,
}

impl Producer {
    fn new(
        templates: Arc<[SendTemplate]>,
        first_slot: u32,
        slots: u32,
        quota: Option<u64>,
    ) -> Self {
        let slot = |index: u32| Slot {
            // Each slot begins at another queue.
            queue: (first_slot + index) as usize % templates.len(),
            ..Slot::default()
        };
        Self {
            slots: (0..slots).map(slot).collect(),
            templates,
            first_slot,
            left: quota.unwrap_or(u64::MAX),
            outstanding: 0,
            refused: 0,
            turns: OPAQUES / slots,
        }
    }

    fn send(&mut self, index: usize, output: &mut Vec<u8>, context: &Context) {
        if context.stopping || self.left == 0 {
            return;
        }
        self.left -= 1;
        self.outstanding += 1;
        let count = self.slots.len() as u32;
        let slot = &mut self.slots[index];
        slot.turn = (slot.turn + 1) % self.turns;
        slot.opaque = OPAQUE_FIRST + (slot.turn * count + index as u32) as i32;
        slot.sent_at = context.clock.now();
        slot.is_waiting = true;
        let mark = Mark {
            slot: self.first_slot + index as u32,
            sequence: slot.log.sent,
        };
        slot.log.sent += 1;
        let born = context.clock.millis_text();
        self.templates[slot.queue].write(output, slot.opaque, born, mark);
        slot.queue = (slot.queue + 1) % self.templates.len();
    }

    fn logs(self) -> impl Iterator<Item = (u32, SlotLog)> {
        (self.first_slot..)
            .zip(self.slots)
            .map(|(number, mut slot)| {
                if slot.is_waiting {
                    slot.log.doubtful.push(slot.log.sent - 1);
                }
                (number, slot.log)
            })
    }
}

impl Session for Producer {
    fn begin(&mut self, output: &mut Vec<u8>, context: &mut Context) {
        for index in 0..self.slots.len() {
            self.send(index, output, context);
        }
    }

    fn frame(&mut self, frame: &[u8], output: &mut Vec<u8>, context: &mut Context) -> Result<()> {
        let answer = Answer::read(frame)?;
        if !answer.is_response {
            return Ok(());
        }
        let number = usize::try_from(answer.opaque.wrapping_sub(OPAQUE_FIRST));
        let index = number.unwrap_or_default() % self.slots.len();
        let slot = &mut self.slots[index];
        if !slot.is_waiting || slot.opaque != answer.opaque {
            bail!("an answer to no request: opaque {}", answer.opaque);
        }
        slot.is_waiting = false;
        self.outstanding -= 1;
        if answer.code == 0 {
            let latency = context.clock.now().saturating_sub(slot.sent_at);
            let bytes = self.templates[slot.queue].body_len() as u64;
            context.stats.answered(1, bytes, latency);
        } else {
            context.stats.failed(answer.code);
            slot.log.doubtful.push(slot.log.sent - 1);
            self.refused += 1;
            if self.refused > REFUSED_MAX {
                bail!(
                    "more than {REFUSED_MAX} requests were refused, the last with code {}",
                    answer.code
                );
            }
        }
        self.send(index, output, context);
        Ok(())
    }

    fn is_done(&self, context: &Context) -> bool {
        self.outstanding == 0 && (context.stopping || self.left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        let all: u32 = (0..7).map(|index| share(64, 7, index)).sum();
        assert_eq!(all, 64);
        assert_eq!((share(64, 7, 0), share(64, 7, 6)), (10, 9));
    }
}
