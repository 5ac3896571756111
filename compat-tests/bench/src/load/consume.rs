//! Consuming: every queue has one PULL_MESSAGE in flight, with a long poll, and pulls again from
//! where the answer says, as an official push consumer does. The group is made known by heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use crossdock_proto_remoting::code::request::{HEART_BEAT, PULL_MESSAGE};
use crossdock_proto_remoting::code::response::{
    PULL_NOT_FOUND, PULL_OFFSET_MOVED, PULL_RETRY_IMMEDIATELY, SUCCESS,
};
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};
use crossdock_proto_remoting::record::Records;
use crossdock_proto_remoting::{Command, Encoding};
use serde_json::json;

use super::answer::{Answer, find};
use super::check::Seen;
use super::clock::decimal;
use super::connection::Connection;
use super::drive::{Context, Session, drive};
use super::outcome::{Outcome, Stats};
use super::{Observer, Target, Unobserved, Window};

const BATCH_MAX: i32 = 32;
const LONG_POLL: Duration = Duration::from_secs(15);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);
/// Version of the subscription, the same in heartbeats and pulls.
const SUB_VERSION: i64 = 1_700_000_000_000;
/// Opaques of heartbeats lie above those of the queues.
const HEARTBEAT_OPAQUE: i32 = i32::MAX;
const OFFSET_DIGITS: usize = 19;
const OFFSET_IN_TEMPLATE: i64 = 1_234_567_890_123_456_789;
/// Smallest record there can be; shorter lengths would not move on.
const RECORD_MIN: usize = 88;

/// A consuming run.
#[derive(Debug, Clone)]
pub struct Consume {
    pub target: Target,
    pub group: String,
    pub encoding: Encoding,
    pub connections: u32,
    pub threads: u32,
    pub window: Window,
    /// Ends the run after so many messages; without it the window does.
    pub messages: Option<u64>,
    /// Look into every message, for [`Seen::judge`].
    pub check: bool,
}

/// What a consuming run found.
#[derive(Debug)]
pub struct Received {
    pub outcome: Outcome,
    /// Messages received in all, warm-up included.
    pub total: u64,
    /// With [`Consume::check`], one per load thread; a queue is seen by one thread only.
    pub seen: Seen,
}

impl Consume {
    /// Consumes from the smallest offset of each queue on.
    pub fn run(&self, observer: Arc<dyn Observer>) -> Result<Received> {
        ensure!(
            self.connections > 0 && self.threads > 0 && self.target.queues > 0,
            "connections, threads and queues must be at least 1"
        );
        let total = Arc::new(Total {
            count: AtomicU64::new(0),
            wanted: self.messages.unwrap_or(u64::MAX),
        });
        let mut links: Vec<Vec<(Connection, Consumer)>> = Vec::new();
        for index in 0..self.connections.min(self.target.queues) {
            let queues = (index..self.target.queues).step_by(self.connections as usize);
            let consumer = Consumer::new(self, index, queues, Arc::clone(&total))?;
            let link = (Connection::open(self.target.broker)?, consumer);
            match links.get_mut((index % self.threads) as usize) {
                Some(links) => links.push(link),
                None => links.push(vec![link]),
            }
        }
        let (start, window) = (Instant::now(), self.window);
        let results: Vec<Result<(Stats, Vec<Seen>)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(links)
                .map(|(index, links)| {
                    let observer = Arc::clone(&observer);
                    scope.spawn(move || consume(index, links, window, start, &*observer))
                })
                .collect();
            threads.into_iter().map(super::joined).collect()
        });
        let mut all = Vec::new();
        let mut seen = Seen::default();
        for result in results {
            let (stats, parts) = result?;
            all.push(stats);
            parts.into_iter().for_each(|part| seen.absorb(part));
        }
        Ok(Received {
            outcome: Outcome::merge(all),
            total: total.count.load(Ordering::Relaxed),
            seen,
        })
    }
}

fn consume(
    index: u32,
    mut links: Vec<(Connection, Consumer)>,
    window: Window,
    start: Instant,
    observer: &dyn Observer,
) -> Result<(Stats, Vec<Seen>)> {
    let observer: &dyn Observer = if index == 0 { observer } else { &Unobserved };
    let stats = drive(&mut links, window, start, observer)?;
    let seen = links.into_iter().filter_map(|(_, consumer)| consumer.seen);
    Ok((stats, seen.collect()))
}

/// Messages received by all threads together.
#[derive(Debug)]
struct Total {
    count: AtomicU64,
    wanted: u64,
}

/// The queues of one connection.
#[derive(Debug)]
struct Consumer {
    heartbeat: Vec<u8>,
    next_heartbeat: u64,
    queues: Vec<Queue>,
    is_registered: bool,
    total: Arc<Total>,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Queue {
    request: PullTemplate,
    offset: i64,
    sent_at: u64,
}

impl Consumer {
    fn new(
        run: &Consume,
        index: u32,
        numbers: impl Iterator<Item = u32>,
        total: Arc<Total>,
    ) -> Result<Self> {
        let mut queues = Vec::new();
        for (opaque, number) in (0..).zip(numbers) {
            queues.push(Queue {
                request: PullTemplate::new(run, number, opaque)?,
                offset: 0,
                sent_at: 0,
            });
        }
        Ok(Self {
            heartbeat: heartbeat(run, index)?,
            next_heartbeat: 0,
            queues,
            is_registered: false,
            total,
            seen: run.check.then(Seen::default),
        })
    }

    fn beat(&mut self, output: &mut Vec<u8>, context: &Context) {
        output.extend_from_slice(&self.heartbeat);
        let every = u64::try_from(HEARTBEAT_EVERY.as_nanos()).unwrap_or(u64::MAX);
        self.next_heartbeat = context.clock.now() + every;
    }

    fn pull(&mut self, index: usize, output: &mut Vec<u8>, context: &Context) {
        if self.is_done(context) {
            return;
        }
        let queue = &mut self.queues[index];
        queue.sent_at = context.clock.now();
        queue.request.write(output, queue.offset);
    }

    /// Counts the messages of an answer.
    fn take(&mut self, body: &[u8]) -> Result<u64> {
        if let Some(seen) = &mut self.seen {
            let mut count = 0;
            for record in Records::new(body) {
                let record = record?;
                seen.message(record.head.queue_id, record.head.queue_offset, record.body);
                count += 1;
            }
            return Ok(count);
        }
        let (mut count, mut rest) = (0, body);
        while let Some(word) = rest.first_chunk::<4>() {
            let len = u32::from_be_bytes(*word) as usize;
            ensure!(len >= RECORD_MIN, "a record of {len} bytes");
            rest = rest.get(len..).context("a record beyond the answer")?;
            count += 1;
        }
        Ok(count)
    }
}

impl Session for Consumer {
    fn begin(&mut self, output: &mut Vec<u8>, context: &mut Context) {
        self.beat(output, context);
    }

    fn frame(&mut self, frame: &[u8], output: &mut Vec<u8>, context: &mut Context) -> Result<()> {
        let answer = Answer::read(frame)?;
        if !answer.is_response {
            return Ok(());
        }
        if answer.opaque == HEARTBEAT_OPAQUE {
            ensure!(answer.code == SUCCESS, "heartbeat refused: {}", answer.code);
            if !self.is_registered {
                self.is_registered = true;
                for index in 0..self.queues.len() {
                    self.pull(index, output, context);
                }
            }
            return Ok(());
        }
        let index = usize::try_from(answer.opaque).unwrap_or(usize::MAX);
        let sent_at = match self.queues.get(index) {
            Some(queue) => queue.sent_at,
            None => bail!("an answer to no request: opaque {}", answer.opaque),
        };
        match answer.code {
            SUCCESS => {
                let count = self.take(answer.body)?;
                let latency = context.clock.now().saturating_sub(sent_at);
                let bytes = answer.body.len() as u64;
                context.stats.answered(count, bytes, latency);
                self.total.count.fetch_add(count, Ordering::Relaxed);
            }
            PULL_NOT_FOUND | PULL_RETRY_IMMEDIATELY | PULL_OFFSET_MOVED => {}
            code => bail!("a pull was refused with code {code}"),
        }
        let next = answer.number("nextBeginOffset").context("no next offset")?;
        self.queues[index].offset = next;
        if context.clock.now() > self.next_heartbeat {
            self.beat(output, context);
        }
        self.pull(index, output, context);
        Ok(())
    }

    /// A long poll may still be out; nobody waits for it.
    fn is_done(&self, context: &Context) -> bool {
        context.stopping || self.total.count.load(Ordering::Relaxed) >= self.total.wanted
    }
}

/// A pull request encoded once; only the offset is written over.
#[derive(Debug)]
struct PullTemplate {
    frame: Vec<u8>,
    offset: usize,
}

impl PullTemplate {
    fn new(run: &Consume, queue: u32, opaque: i32) -> Result<Self> {
        let header = PullMessage {
            consumer_group: &run.group,
            topic: &run.target.topic,
            queue_id: i32::try_from(queue)?,
            queue_offset: OFFSET_IN_TEMPLATE,
            max_msg_nums: BATCH_MAX,
            sys_flag: pull_flag::SUSPEND | pull_flag::SUBSCRIPTION,
            suspend_timeout_millis: i64::try_from(LONG_POLL.as_millis())?,
            sub_version: SUB_VERSION,
            subscription: Some("*"),
            expression_type: Some("TAG"),
            ..PullMessage::default()
        };
        let mut frame = BytesMut::new();
        Command::request(PULL_MESSAGE)
            .with_encoding(run.encoding)
            .with_opaque(opaque)
            .with_header(&header)
            .encode(&mut frame)?;
        Ok(Self {
            offset: find(&frame, OFFSET_IN_TEMPLATE.to_string().as_bytes())
                .context("no offset in the request")?,
            frame: frame.to_vec(),
        })
    }

    fn write(&mut self, output: &mut Vec<u8>, offset: i64) {
        // Both official and our own servers read leading zeros.
        let field = &mut self.frame[self.offset..self.offset + OFFSET_DIGITS];
        decimal(offset.unsigned_abs(), field);
        output.extend_from_slice(&self.frame);
    }
}

fn heartbeat(run: &Consume, index: u32) -> Result<Vec<u8>> {
    let body = json!({
        "clientID": format!("127.0.0.1@load-{}-{index}", std::process::id()),
        "producerDataSet": [],
        "consumerDataSet": [{
            "groupName": run.group,
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "unitMode": false,
            "subscriptionDataSet": [{
                "classFilterMode": false,
                "topic": run.target.topic,
                "subString": "*",
                "expressionType": "TAG",
                "tagsSet": [],
                "codeSet": [],
                "subVersion": SUB_VERSION,
            }],
        }],
        "heartbeatFingerprint": 0,
        "withoutSub": false,
    });
    let mut frame = BytesMut::new();
    Command::request(HEART_BEAT)
        .with_encoding(run.encoding)
        .with_opaque(HEARTBEAT_OPAQUE)
        .with_body(serde_json::to_vec(&body)?)
        .encode(&mut frame)?;
    Ok(frame.to_vec())
}
