//! The clients and the oracle, which outlive the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::{Client, Queue};
use super::consumer::{Consumer, GROUP};
use super::oracle::Oracle;
use super::producer::Producer;
use super::reader;
use super::report::Report;

/// How many clients and queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub producers: u32,
    pub topics: u32,
    pub queues_per_topic: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            producers: 4,
            topics: 3,
            queues_per_topic: 4,
        }
    }
}

/// How far the clients are, for whoever decides when they have done enough.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) stop: AtomicBool,
    pub(super) acknowledged: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Progress {
    /// Waits until `count` has grown by `more`; false when it does not grow at all for `patience`.
    pub(super) fn await_growth(count: &AtomicU64, more: u64, patience: Duration) -> bool {
        let mut last = count.load(Ordering::Relaxed);
        let wanted = last + more;
        let mut deadline = Instant::now() + patience;
        while last < wanted {
            let now = count.load(Ordering::Relaxed);
            if now > last {
                last = now;
                deadline = Instant::now() + patience;
            } else if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

pub(super) struct Actors {
    topics: Vec<String>,
    producers: Vec<Producer>,
    consumer: Consumer,
    oracle: Oracle,
}

impl Actors {
    pub(super) fn new(
        broker: SocketAddr,
        shape: Shape,
        retention: Option<Duration>,
    ) -> Result<Self> {
        let topics: Vec<String> = (0..shape.topics)
            .map(|number| format!("crash_{number}"))
            .collect();
        let mut client = Client::connect(broker)?;
        let mut queues = Vec::new();
        for topic in &topics {
            client.create_topic(topic, shape.queues_per_topic)?;
            queues.extend((0..shape.queues_per_topic).map(|number| Queue {
                topic: topic.clone(),
                number,
            }));
        }
        Ok(Self {
            topics,
            producers: (0..shape.producers).map(Producer::new).collect(),
            consumer: Consumer::new(queues.len()),
            oracle: Oracle::new(queues, retention),
        })
    }

    /// All clients at work while `meanwhile` runs; it may end the server.
    pub(super) fn work<T>(
        &mut self,
        broker: SocketAddr,
        report: &mut Report,
        meanwhile: impl FnOnce(&Progress) -> T,
    ) -> T {
        let progress = Progress::default();
        let queues = self.oracle.queues();
        let result = thread::scope(|scope| {
            for producer in &mut self.producers {
                scope.spawn(|| producer.live(broker, queues, &progress));
            }
            let (consumer, topics) = (&mut self.consumer, &self.topics);
            scope.spawn(|| consumer.live(broker, topics, queues, &progress));
            let result = meanwhile(&progress);
            progress.stop.store(true, Ordering::Relaxed);
            result
        });
        self.oracle
            .learn(&mut self.producers, &mut self.consumer, report);
        result
    }

    /// Reports what the consumer complains of; refusals only when there is no excuse for them.
    pub(super) fn complain(&mut self, may_refuse: bool, report: &mut Report) {
        let round = report.rounds;
        for (text, is_refusal) in self.consumer.complaints.drain(..) {
            if !(is_refusal && may_refuse) {
                report
                    .violations
                    .add(format!("round {round}, consumer: {text}"));
            }
        }
    }

    /// Reads everything and compares.
    pub(super) fn judge(&mut self, broker: SocketAddr, report: &mut Report) -> Result<()> {
        let mut client = Client::connect(broker)?;
        client.join(GROUP, &self.topics).context("joining")?;
        for index in 0..self.oracle.queues().len() {
            let queue = self.oracle.queues()[index].clone();
            let contents = reader::read(&mut client, &queue).context("reading")?;
            self.oracle.judge(index, &contents, &self.producers, report);
            let found = client.position(GROUP, &queue).context("positions")?;
            let position = &mut self.consumer.positions[index];
            *position = self.oracle.judge_position(index, *position, found, report);
        }
        report.sent = self.sent();
        Ok(())
    }

    fn sent(&self) -> u64 {
        let attempts = self.producers.iter().flat_map(|p| &p.attempts);
        attempts.map(|attempt| u64::from(attempt.count)).sum()
    }
}
