//! How fast records become index entries: many queues in random order, with and without checkpoints, beside one insert
//! into the key-value store per entry; reads of a live tail; keys.
//!
//! `cargo bench -p crossdock-store --bench index [-- <queues> <rounds>]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock_store::api::TagFilter;
use crossdock_store::io::sim::{Rng, SimDisk};
use crossdock_store::kv::{Batch, FjallKv, KvStore, Space};
use crossdock_store::record::{Draft, Record, Stamp};
use crossdock_store::types::{Flavour, Position, QueueId};
use crossdock_store::view::{Limits, Views};
use smallvec::smallvec;

/// Log bytes of a record: what a 1 KiB body takes.
const RECORD_BYTES: u64 = 1136;

struct Fixture {
    _dir: tempfile::TempDir,
    views: Views,
    head: Vec<u8>,
    position: u64,
}

/// An encoded record without a tail, whose fields are then patched in decoded form.
fn template(keys: usize) -> Vec<u8> {
    let mut draft = Draft::new(
        QueueId(1),
        Flavour::Neutral,
        smallvec![Bytes::from_static(b"x")],
    );
    draft.keys = (0..keys as u64).collect();
    let mut out = Vec::new();
    let stamp = Stamp {
        position: Position(0),
        offset: 0,
        dispatch_offsets: &[],
        stored_ms: 0,
    };
    draft.prepare().unwrap().encode(&stamp, &mut out);
    out
}

impl Fixture {
    fn new(keys: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kv = FjallKv::open(dir.path().join("kv")).unwrap();
        let disk = Arc::new(SimDisk::new(1));
        let limits = Limits {
            checkpoints_per_snapshot: u32::MAX,
            ..Limits::default()
        };
        let (views, _) =
            Views::open(Box::new(kv), disk, Position::ZERO, Position::ZERO, limits).unwrap();
        Self {
            _dir: dir,
            views,
            head: template(keys),
            position: 0,
        }
    }

    /// Applies one record for each queue of `order`; returns the time it took.
    fn round(&mut self, order: &[u64], offset: u64, ms: i64) -> Duration {
        let mut record = Record::view(&self.head, Position(0), true).unwrap();
        record.bytes = RECORD_BYTES as u32;
        record.offset = offset;
        record.stored_ms = ms;
        let mut arrived = 0u64;
        let started = Instant::now();
        for block in order.chunks(256) {
            let mut applier = self.views.applier();
            for queue in block {
                record.position = Position(self.position);
                record.queue = QueueId(*queue);
                record.tag_hash = *queue as i64;
                applier.apply(&record, &mut |_, _, count, _| arrived += u64::from(count));
                self.position += RECORD_BYTES;
            }
        }
        let took = started.elapsed();
        assert_eq!(arrived, order.len() as u64);
        took
    }
}

fn shuffle(order: &mut [u64], rng: &mut Rng) {
    for at in (1..order.len()).rev() {
        order.swap(at, rng.below(at as u64 + 1) as usize);
    }
}

fn rate(entries: u64, took: Duration) -> String {
    format!("{:>7.3} M/s", entries as f64 / took.as_secs_f64() / 1e6)
}

fn appends(queues: u64, rounds: u64, checkpoint_every: Option<u64>) {
    let mut fixture = Fixture::new(0);
    let mut rng = Rng::new(42);
    let mut order: Vec<u64> = (1..=queues).collect();
    let (mut applying, mut checkpoints, mut count) = (Duration::ZERO, Duration::ZERO, 0u32);
    for round in 0..rounds {
        shuffle(&mut order, &mut rng);
        applying += fixture.round(&order, round, round as i64);
        if checkpoint_every.is_some_and(|every| (round + 1) % every == 0) {
            let started = Instant::now();
            fixture.views.checkpoint(Position(u64::MAX)).unwrap();
            checkpoints += started.elapsed();
            count += 1;
        }
    }
    let entries = queues * rounds;
    println!(
        "apply, {queues} queues x {rounds}: {} applying alone, {} with {count} checkpoints (each {:.0} ms)",
        rate(entries, applying),
        rate(entries, applying + checkpoints),
        checkpoints.as_secs_f64() * 1e3 / f64::from(count.max(1)),
    );
    println!("    {:?}", fixture.views.stats());
    live_tail(&fixture, &order, rounds);
}

fn live_tail(fixture: &Fixture, order: &[u64], rounds: u64) {
    let mut out = Vec::with_capacity(32);
    let started = Instant::now();
    for queue in order {
        out.clear();
        fixture
            .views
            .entries(QueueId(*queue), rounds - 1, 32, &mut out)
            .unwrap();
        assert_eq!(out.len(), 1);
    }
    let random = started.elapsed() / order.len() as u32;
    let queue = QueueId(order[0]);
    let started = Instant::now();
    for _ in 0..order.len() {
        out.clear();
        fixture
            .views
            .entries(queue, rounds - 1, 32, &mut out)
            .unwrap();
    }
    let same = started.elapsed() / order.len() as u32;
    println!(
        "    read of a live tail: {random:?} over all queues in random order, {same:?} of one queue"
    );
}

/// Applies `records` to one queue; returns the time it took.
fn one_queue(fixture: &mut Fixture, records: u64) -> Duration {
    let mut record = Record::view(&fixture.head, Position(0), true).unwrap();
    record.bytes = RECORD_BYTES as u32;
    let started = Instant::now();
    while record.offset < records {
        let mut applier = fixture.views.applier();
        for _ in 0..256 {
            applier.apply(&record, &mut |_, _, _, _| {});
            record.offset += 1;
            record.position = record.position.plus(RECORD_BYTES);
        }
    }
    started.elapsed()
}

fn one_hot_queue(records: u64) {
    let took = one_queue(&mut Fixture::new(0), records);
    println!("apply, one queue: {}", rate(records, took));
}

fn waited(queues: u64, rounds: u64) {
    let mut fixture = Fixture::new(0);
    let mut order: Vec<u64> = (1..=queues).collect();
    shuffle(&mut order, &mut Rng::new(1));
    let mut took = Duration::ZERO;
    for round in 0..rounds {
        let waits: Vec<_> = order
            .iter()
            .map(|q| {
                fixture
                    .views
                    .arrival(QueueId(*q), round, TagFilter::All)
                    .unwrap()
            })
            .collect();
        took += fixture.round(&order, round, round as i64);
        drop(waits);
    }
    println!(
        "apply, a waiter on each of {queues} queues: {}",
        rate(queues * rounds, took)
    );
}

fn keys(records: u64) {
    let plain = one_queue(&mut Fixture::new(0), records);
    for keys in [1, 4] {
        let took = one_queue(&mut Fixture::new(keys), records);
        let each = took.saturating_sub(plain) / (records * keys as u64) as u32;
        println!("apply with {keys} keys: {each:?} more for each key");
    }
}

/// What the index would cost with an insert for each entry, in batches of 1024.
fn insert_per_entry(queues: u64, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let kv = FjallKv::open(dir.path().join("kv")).unwrap();
    let mut rng = Rng::new(42);
    let mut order: Vec<u64> = (1..=queues).collect();
    let started = Instant::now();
    for round in 0..rounds {
        shuffle(&mut order, &mut rng);
        for block in order.chunks(1024) {
            let mut batch = Batch::default();
            for queue in block {
                let key = [queue.to_be_bytes(), round.to_be_bytes()].concat();
                batch.put(Space::Chunks, key, [0u8; 24]);
            }
            kv.batch(batch).unwrap();
        }
    }
    kv.persist().unwrap();
    println!(
        "one insert per entry, {queues} queues x {rounds}: {}",
        rate(queues * rounds, started.elapsed())
    );
}

/// Resident memory of the process, where the system tells it.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|p| p.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// What queues cost that had a record once and rest now, and how soon they are back after a restart.
fn idle_queues(queues: u64) {
    let dir = tempfile::tempdir().unwrap();
    let before = resident();
    let open = || {
        let kv = FjallKv::open(dir.path().join("kv")).unwrap();
        let limits = Limits {
            checkpoints_per_snapshot: u32::MAX,
            ..Limits::default()
        };
        let disk = Arc::new(SimDisk::new(1));
        let end = Position(u64::MAX);
        Views::open(Box::new(kv), disk, Position::ZERO, end, limits)
            .unwrap()
            .0
    };
    let views = open();
    println!(
        "an empty database: {} KiB resident",
        (resident() - before) / 1024
    );
    let mut fixture = Fixture {
        _dir: tempfile::tempdir().unwrap(),
        views,
        head: template(0),
        position: 0,
    };
    let mut order: Vec<u64> = (1..=queues).collect();
    shuffle(&mut order, &mut Rng::new(5));
    let took = fixture.round(&order, 0, 0);
    println!("first record of {queues} queues: {}", rate(queues, took));
    for round in 0..4 {
        fixture.views.checkpoint(Position(u64::MAX)).unwrap();
        fixture.round(&[queues + 1], round, 1);
    }
    println!("    {:?}", fixture.views.stats());
    let each = (resident() - before) as f64 / queues as f64;
    println!("at rest: {each:.0} bytes a queue, the database's caches and buffers included");
    drop(fixture);
    let started = Instant::now();
    let views = open();
    println!("reopened in {:?}: {:?}", started.elapsed(), views.stats());
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse::<u64>().ok());
    let queues = numbers.next().unwrap_or(100_000);
    let rounds = numbers.next().unwrap_or(40);
    // First, while the process has not grown yet.
    idle_queues(queues * 10);
    appends(queues, rounds, None);
    appends(queues, rounds, Some(5));
    insert_per_entry(queues, rounds.min(10));
    one_hot_queue(5_000_000);
    waited(queues, rounds.min(10));
    keys(1_000_000);
}
