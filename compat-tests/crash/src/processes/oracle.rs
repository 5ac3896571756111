//! What the server must know, collected from its own answers, and the judgement of what it shows
//! after a restart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use super::client::{BATCH_MAX, Queue};
use super::consumer::{Consumer, Position};
use super::message::Id;
use super::producer::Producer;
use super::reader::Contents;
use super::report::Report;

/// How a message at an offset became known.
#[derive(Debug, Clone, Copy)]
enum Evidence {
    /// The producer was told so; sent at that time.
    Acknowledged(SystemTime),
    /// A consumer got it, or it was read after a restart.
    Seen,
}

#[derive(Debug, Clone, Copy)]
struct Fact {
    id: Id,
    evidence: Evidence,
}

/// Messages that are known and not there.
#[derive(Debug, Default)]
struct Missing {
    count: u64,
    acknowledged: u64,
    /// First and last offset.
    bounds: Option<(i64, i64)>,
}

impl Missing {
    fn add(&mut self, offset: i64, fact: Fact) {
        self.count += 1;
        self.acknowledged += u64::from(matches!(fact.evidence, Evidence::Acknowledged(_)));
        let first = self.bounds.map_or(offset, |(first, _)| first);
        self.bounds = Some((first, offset));
    }
}

/// What is known of one queue.
#[derive(Debug, Default)]
struct Known {
    facts: BTreeMap<i64, Fact>,
    /// The offset after the largest that was delivered.
    delivered_to: i64,
}

#[derive(Debug)]
pub(super) struct Oracle {
    queues: Vec<Queue>,
    known: Vec<Known>,
    /// Messages may be removed when they are older than this; without it, never.
    retention: Option<Duration>,
    /// Where messages are that are there more than once, without the first.
    again: HashSet<(usize, i64)>,
}

impl Oracle {
    pub(super) fn new(queues: Vec<Queue>, retention: Option<Duration>) -> Self {
        Self {
            known: queues.iter().map(|_| Known::default()).collect(),
            queues,
            retention,
            again: HashSet::new(),
        }
    }

    pub(super) fn queues(&self) -> &[Queue] {
        &self.queues
    }

    /// Takes what the clients learned in one life of the server.
    pub(super) fn learn(
        &mut self,
        producers: &mut [Producer],
        consumer: &mut Consumer,
        report: &mut Report,
    ) {
        for producer in producers {
            for ack in std::mem::take(&mut producer.acks) {
                report.acknowledged += 1;
                let evidence = Evidence::Acknowledged(ack.sent_at);
                self.note(ack.queue, ack.offset, ack.id, evidence, report);
            }
            for (code, count) in std::mem::take(&mut producer.refused) {
                *report.refused.entry(code).or_default() += count;
            }
        }
        for (queue, delivered) in consumer.delivered.iter_mut().enumerate() {
            let mut repeated = 0;
            for found in std::mem::take(&mut delivered.messages) {
                report.delivered += 1;
                let known = &mut self.known[queue];
                if found.offset < known.delivered_to {
                    repeated += 1;
                } else {
                    known.delivered_to = found.offset + 1;
                }
                match found.id {
                    Some(id) => self.note(queue, found.offset, id, Evidence::Seen, report),
                    None => self.accuse(
                        queue,
                        found.offset,
                        "a damaged message was delivered",
                        report,
                    ),
                }
            }
            report.delivered_again += repeated;
            // One step at most lies between what was delivered and the position that was answered.
            if repeated > u64::from(BATCH_MAX) {
                let text = format!("{repeated} deliveries were repeated after one crash");
                self.accuse(queue, self.known[queue].delivered_to, &text, report);
            }
        }
    }

    /// Judges one queue as it was read after a restart.
    pub(super) fn judge(
        &mut self,
        queue: usize,
        contents: &Contents,
        producers: &[Producer],
        report: &mut Report,
    ) {
        for fault in &contents.faults {
            self.accuse(queue, contents.min, fault, report);
        }
        let mut last: HashMap<u32, u32> = HashMap::new();
        let mut copies: HashMap<Id, u32> = HashMap::new();
        let mut read: BTreeMap<i64, Id> = BTreeMap::new();
        for found in &contents.messages {
            report.compared += 1;
            let offset = found.offset;
            let Some(id) = found.id else {
                self.accuse(queue, offset, "the message is damaged", report);
                continue;
            };
            let attempt = producers
                .get(id.producer as usize)
                .and_then(|producer| producer.attempts.get(id.sequence as usize))
                .filter(|attempt| attempt.queue == queue && attempt.count > 0);
            let Some(attempt) = attempt else {
                self.accuse(queue, offset, &format!("{id} was never sent here"), report);
                continue;
            };
            let copies = copies.entry(id).or_default();
            *copies += 1;
            if *copies > 1 {
                self.again.insert((queue, offset));
            }
            if *copies > attempt.count {
                let text = format!("{id} is there {copies} times, sent {} times", attempt.count);
                self.accuse(queue, offset, &text, report);
            }
            let last = last.entry(id.producer).or_insert(id.sequence);
            if *last > id.sequence {
                let text = format!("{id} comes after {}.{last}", id.producer);
                self.accuse(queue, offset, &text, report);
            }
            *last = id.sequence;
            read.insert(offset, id);
        }
        report.stored_again = self.again.len() as u64;
        self.compare(queue, contents, &read, report);
        for (offset, id) in read {
            self.note(queue, offset, id, Evidence::Seen, report);
        }
    }

    /// Everything known must be there, unless it lies before the queue's smallest offset.
    fn compare(
        &mut self,
        queue: usize,
        contents: &Contents,
        read: &BTreeMap<i64, Id>,
        report: &mut Report,
    ) {
        let now = SystemTime::now();
        let kept = self.known[queue].facts.split_off(&contents.min);
        let removed = std::mem::replace(&mut self.known[queue].facts, kept);
        let mut young = Missing::default();
        for (offset, fact) in removed {
            let Evidence::Acknowledged(sent_at) = fact.evidence else {
                continue;
            };
            report.expired += 1;
            if !self.may_be_removed(sent_at, now) {
                young.add(offset, fact);
            }
        }
        self.accuse_missing(queue, &young, "before their time", report);

        // A server that removes messages and goes on to call the first of them the smallest offset
        // is wrong in another way than one that loses messages.
        let first = read.keys().next().copied().unwrap_or(contents.max);
        let mut removed = Missing::default();
        let mut lost = Missing::default();
        for (offset, fact) in &self.known[queue].facts {
            if read.contains_key(offset) {
                continue;
            }
            match fact.evidence {
                Evidence::Acknowledged(sent_at)
                    if *offset < first && self.may_be_removed(sent_at, now) =>
                {
                    removed.add(*offset, *fact);
                }
                _ => lost.add(*offset, *fact),
            }
        }
        report.expired += removed.count;
        let text = format!(
            "although the smallest offset is said to be {}",
            contents.min
        );
        self.accuse_missing(queue, &removed, &text, report);
        let text = format!("and are lost, the end is {}", contents.max);
        self.accuse_missing(queue, &lost, &text, report);
        // Said once.
        self.known[queue]
            .facts
            .retain(|offset, _| read.contains_key(offset));
    }

    fn may_be_removed(&self, sent_at: SystemTime, now: SystemTime) -> bool {
        let age = now.duration_since(sent_at).unwrap_or_default();
        self.retention.is_some_and(|retention| age >= retention)
    }

    fn accuse_missing(&self, queue: usize, missing: &Missing, why: &str, report: &mut Report) {
        if let Some((first, last)) = missing.bounds {
            let text = format!(
                "{} messages known, {} of them acknowledged, up to {last} are gone {why}",
                missing.count, missing.acknowledged
            );
            self.accuse(queue, first, &text, report);
        }
    }

    /// Judges where the consumer group stands in one queue; answers what is now known.
    pub(super) fn judge_position(
        &self,
        queue: usize,
        position: Position,
        found: Option<i64>,
        report: &mut Report,
    ) -> Position {
        if found != position.acked && (found.is_none() || found != position.doubtful) {
            let text = format!(
                "the position is {found:?}; {:?} was acknowledged, {:?} may have been",
                position.acked, position.doubtful
            );
            self.accuse(queue, found.unwrap_or_default(), &text, report);
        }
        Position {
            acked: found,
            doubtful: None,
        }
    }

    fn note(&mut self, queue: usize, offset: i64, id: Id, evidence: Evidence, report: &mut Report) {
        let facts = &mut self.known[queue].facts;
        match facts.get_mut(&offset) {
            Some(fact) if fact.id == id => {
                // An acknowledgement says more than a sight.
                if matches!(evidence, Evidence::Acknowledged(_)) {
                    fact.evidence = evidence;
                }
            }
            Some(fact) => {
                let text = format!("{id} is where {} was", fact.id);
                *fact = Fact { id, evidence };
                self.accuse(queue, offset, &text, report);
            }
            None => {
                facts.insert(offset, Fact { id, evidence });
            }
        }
    }

    fn accuse(&self, queue: usize, offset: i64, text: &str, report: &mut Report) {
        let round = report.rounds;
        let queue = &self.queues[queue];
        report
            .violations
            .add(format!("round {round}, {queue} at {offset}: {text}"));
    }
}

#[cfg(test)]
mod tests;
