//! The views against a model: random histories with checkpoints, snapshots, trims, crashes, lost and old databases.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod view_kit;

use std::sync::Arc;

use bytes::Bytes;
use crossdock_store::change::Change;
use crossdock_store::io::sim::{CrashKind, SimDisk};
use crossdock_store::kv::{FjallKv, KvStore, MemKv};
use crossdock_store::types::{GroupId, Position, QueueId, TableId};
use crossdock_store::view::{Limits, Views};
use proptest::prelude::*;
use view_kit::{Log, Model, message, system};

/// Queues in use at a time; a dropped one is replaced by a new id.
const SLOTS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        slot: usize,
        records: usize,
        count: u32,
        tag: i64,
        key: u64,
        also: Vec<usize>,
    },
    Row {
        table: u16,
        key: u8,
        value: Option<u8>,
    },
    Position {
        group: u32,
        slot: usize,
        offset: Option<u64>,
    },
    Schedule {
        slot: usize,
        delay_ms: i64,
        records: usize,
    },
    Fire {
        nth: usize,
    },
    Cancel {
        nth: usize,
    },
    CancelAny {
        nth: usize,
    },
    Trim {
        slot: usize,
        percent: u64,
    },
    Drop {
        slot: usize,
    },
    Wait {
        ms: i64,
    },
    Sync,
    Cut,
    Checkpoint,
    Snapshot,
    TrimLog {
        percent: u64,
    },
    Crash {
        power: bool,
        kv: Kv,
        stop_after: Option<usize>,
        early: usize,
    },
    Check,
}

/// What a crash leaves of the database.
#[derive(Clone, Copy, Debug)]
enum Kv {
    Persisted,
    Batches(usize),
    Older(usize),
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..SLOTS;
    let publish = (
        slot.clone(),
        1..90usize,
        1..4u32,
        0..3i64,
        0..5u64,
        prop::collection::vec(0..SLOTS, 0..3),
    );
    let kv = prop_oneof![
        4 => Just(Kv::Persisted),
        2 => (0..3usize).prop_map(Kv::Batches),
        2 => (1..3usize).prop_map(Kv::Older),
        2 => Just(Kv::Lost),
    ];
    let crash = (any::<bool>(), kv, prop::option::of(0..60usize), 0..4usize);
    prop_oneof![
        10 => publish.prop_map(|(slot, records, count, tag, key, also)| Step::Publish {
            slot, records, count, tag, key, also
        }),
        4 => (0..2u16, 0..6u8, prop::option::of(any::<u8>()))
            .prop_map(|(table, key, value)| Step::Row { table, key, value }),
        4 => (0..3u32, slot.clone(), prop::option::of(0..99u64))
            .prop_map(|(group, slot, offset)| Step::Position { group, slot, offset }),
        5 => (slot.clone(), -5..200i64, 1..12usize)
            .prop_map(|(slot, delay_ms, records)| Step::Schedule { slot, delay_ms, records }),
        4 => (0..40usize).prop_map(|nth| Step::Fire { nth }),
        3 => (0..40usize).prop_map(|nth| Step::Cancel { nth }),
        1 => (0..40usize).prop_map(|nth| Step::CancelAny { nth }),
        2 => (slot.clone(), 0..130u64).prop_map(|(slot, percent)| Step::Trim { slot, percent }),
        1 => slot.prop_map(|slot| Step::Drop { slot }),
        2 => (0..50i64).prop_map(|ms| Step::Wait { ms }),
        3 => Just(Step::Sync),
        2 => Just(Step::Cut),
        6 => Just(Step::Checkpoint),
        2 => Just(Step::Snapshot),
        2 => (0..=100u64).prop_map(|percent| Step::TrimLog { percent }),
        3 => crash.prop_map(|(power, kv, stop_after, early)| Step::Crash { power, kv, stop_after, early }),
        2 => Just(Step::Check),
    ]
}

/// Each case opens databases of the operating system, and so there are fewer.
fn fjall_config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases.div_ceil(16),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..config
    }
}

/// Where the database is kept between two lives.
enum Store {
    Mem(MemKv),
    Fjall(tempfile::TempDir),
}

impl Store {
    fn open(&self) -> Box<dyn KvStore> {
        match self {
            Self::Mem(kv) => Box::new(kv.clone()),
            Self::Fjall(dir) => Box::new(FjallKv::open(dir.path().join("kv")).expect("fjall")),
        }
    }

    fn crash(&mut self, kind: Kv) {
        match self {
            Self::Mem(kv) => {
                *kv = match kind {
                    Kv::Persisted => kv.crash(),
                    Kv::Batches(kept) => kv.crash_keeping(kept),
                    Kv::Older(back) => kv.restore(back),
                    Kv::Lost => MemKv::with_history(4),
                }
            }
            Self::Fjall(dir) => {
                if matches!(kind, Kv::Lost) {
                    std::fs::remove_dir_all(dir.path().join("kv")).expect("remove");
                }
            }
        }
    }
}

struct World {
    log: Log,
    durable: Position,
    now_ms: i64,
    slots: [QueueId; SLOTS],
    next_queue: u64,
    store: Store,
    disk: SimDisk,
    views: Option<Views>,
}

fn limits() -> Limits {
    Limits {
        waiters_max: 16,
        timers_in_memory: 8,
        checkpoints_per_snapshot: 3,
    }
}

impl World {
    fn new(store: Store) -> Self {
        let mut world = Self {
            log: Log::default(),
            durable: Position::ZERO,
            now_ms: 1_000,
            slots: std::array::from_fn(|n| QueueId(n as u64 + 1)),
            next_queue: SLOTS as u64 + 1,
            store,
            disk: SimDisk::new(7),
            views: None,
        };
        world.open(0);
        world
    }

    fn views(&self) -> &Views {
        self.views.as_ref().expect("open")
    }

    /// Opens the views without applying anything; returns where to begin.
    fn open_views(&mut self) -> Position {
        let disk = Arc::new(self.disk.clone());
        let (views, resume) = Views::open(
            self.store.open(),
            disk,
            self.log.start,
            self.log.end(),
            limits(),
        )
        .expect("open");
        self.views = Some(views);
        resume
    }

    fn open(&mut self, early: usize) {
        let resume = self.open_views();
        self.log.replay(self.views(), resume, early);
    }

    fn append(&mut self, draft: crossdock_store::record::Draft) {
        let views = self.views.as_ref().expect("open");
        let record = self.log.append(draft, self.now_ms, |queue, count| {
            views.assign(queue, count)
        });
        views.apply(&record.view(), &mut |_, _, _, _| {});
    }

    fn sync(&mut self) {
        self.durable = self.log.end();
    }

    fn checkpoint(&mut self) {
        let at = self.views().checkpoint(self.durable).expect("checkpoint");
        assert!(at <= self.durable, "a checkpoint claims what may be lost");
    }

    fn pending(&self) -> Vec<(i64, u64, QueueId)> {
        let model = Model::of(&self.log);
        model
            .timers
            .iter()
            .map(|((due, at), (_, target))| (*due, *at, *target))
            .collect()
    }

    fn crash(&mut self, power: bool, kv: Kv) {
        self.views = None;
        self.store.crash(kv);
        if power {
            self.disk = self.disk.crash(CrashKind::Power);
            let durable = self.durable;
            self.log.records.retain(|r| r.end() <= durable);
        } else {
            self.disk = self.disk.crash(CrashKind::Process);
        }
        // What happened to queues after the durable part did not happen.
        let model = Model::of(&self.log);
        for slot in &mut self.slots {
            if model.dropped.contains(slot) {
                *slot = QueueId(self.next_queue);
                self.next_queue += 1;
            }
        }
    }

    fn run(&mut self, step: &Step) {
        match step.clone() {
            Step::Publish {
                slot,
                records,
                count,
                tag,
                key,
                also,
            } => {
                for n in 0..records {
                    let keys = if key == 0 {
                        vec![]
                    } else {
                        vec![key, key + (n as u64 % 2)]
                    };
                    let mut draft = message(self.slots[slot], tag, &keys);
                    draft.count = count;
                    draft.dispatch = also.iter().map(|s| self.slots[*s]).collect();
                    self.append(draft);
                    self.now_ms += i64::from(n % 3 == 0);
                }
            }
            Step::Row { table, key, value } => {
                let (table, key) = (TableId(table), Bytes::from(vec![key / 3, key]));
                self.append(system(&[match value {
                    Some(value) => Change::Put {
                        table,
                        key,
                        value: Bytes::from(vec![value]),
                    },
                    None => Change::Delete { table, key },
                }]));
            }
            Step::Position {
                group,
                slot,
                offset,
            } => {
                let (group, queue) = (GroupId(group), self.slots[slot]);
                self.append(system(&[match offset {
                    Some(offset) => Change::Commit {
                        group,
                        queue,
                        offset,
                    },
                    None => Change::Forget { group, queue },
                }]));
            }
            Step::Schedule {
                slot,
                delay_ms,
                records,
            } => {
                for n in 0..records {
                    let mut draft = message(self.slots[slot], 1, &[]);
                    draft.due_ms = Some(self.now_ms + delay_ms * (n as i64 + 1));
                    self.append(draft);
                }
            }
            Step::Fire { nth } => {
                let pending = self.pending();
                if let Some((_, at, target)) = pending.get(nth % pending.len().max(1)) {
                    let mut draft = message(*target, 1, &[]);
                    draft.fires = Some(Position(*at));
                    self.append(draft);
                }
            }
            Step::Cancel { nth } => {
                let pending = self.pending();
                if let Some((_, at, _)) = pending.get(nth % pending.len().max(1)) {
                    self.append(system(&[Change::Cancel {
                        timer: Position(*at),
                    }]));
                }
            }
            Step::CancelAny { nth } => {
                let timer = self
                    .log
                    .records
                    .get(nth)
                    .map_or(Position(5), |r| r.position);
                self.append(system(&[Change::Cancel { timer }]));
            }
            Step::Trim { slot, percent } => {
                let queue = self.slots[slot];
                let before = self.views().next_offset(queue) * percent / 100;
                self.append(system(&[Change::Trim { queue, before }]));
            }
            Step::Drop { slot } => {
                let queue = self.slots[slot];
                self.append(system(&[Change::Drop { queue }]));
                self.slots[slot] = QueueId(self.next_queue);
                self.next_queue += 1;
            }
            Step::Wait { ms } => self.now_ms += ms,
            Step::Sync => self.sync(),
            Step::Cut => {
                self.views().cut();
            }
            Step::Checkpoint => self.checkpoint(),
            Step::Snapshot => {
                self.sync();
                self.checkpoint();
                self.views().snapshot().expect("snapshot");
            }
            Step::TrimLog { percent } => {
                let floor = self.views().trim_floor().0;
                let wanted = Position(floor * percent / 100).max(self.log.start);
                let first = self.log.records.partition_point(|r| r.position < wanted);
                // The log is cut between records.
                let start = self
                    .log
                    .records
                    .get(first)
                    .map_or(self.log.end(), |r| r.position);
                if start.0 <= floor {
                    self.log.start = start;
                    self.views().trim(start).expect("trim");
                }
            }
            Step::Crash {
                power,
                kv,
                stop_after,
                early,
            } => {
                self.crash(power, kv);
                if let Some(records) = stop_after {
                    // The next life ends as well, after part of the log was applied and a checkpoint written.
                    let resume = self.open_views();
                    let first = self.log.records.partition_point(|r| r.position < resume);
                    for record in self.log.records.iter().skip(first).take(records) {
                        self.views().apply(&record.view(), &mut |_, _, _, _| {});
                    }
                    self.sync();
                    self.checkpoint();
                    self.crash(power, Kv::Persisted);
                }
                self.open(early);
            }
            Step::Check => self.check(),
        }
    }

    fn check(&self) {
        Model::of(&self.log).check(self.views(), self.log.start);
        let disk = Arc::new(SimDisk::new(1));
        let whole = Log {
            start: Position::ZERO,
            ..self.log.clone()
        };
        let (fresh, _) = Views::open(
            Box::new(MemKv::new()),
            disk,
            Position::ZERO,
            whole.end(),
            Limits::default(),
        )
        .expect("open");
        whole.replay(&fresh, Position::ZERO, 0);
        fresh.trim(self.log.start).expect("trim");
        assert_eq!(
            self.views().state_hash(),
            fresh.state_hash(),
            "state differs from a plain fold"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_answer_like_the_model_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(Store::Mem(MemKv::with_history(4)));
        for step in &steps {
            world.run(step);
        }
        world.check();
        world.run(&Step::Crash { power: false, kv: Kv::Persisted, stop_after: None, early: 2 });
        world.check();
    }
}

proptest! {
    #![proptest_config(fjall_config())]

    #[test]
    fn views_answer_like_the_model_over_fjall(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(Store::Fjall(tempfile::tempdir().expect("folder")));
        for step in &steps {
            // A database of the operating system outlives the process, so power is not taken away here.
            let step = match step.clone() {
                Step::Crash { kv, stop_after, early, .. } => Step::Crash { power: false, kv, stop_after, early },
                other => other,
            };
            world.run(&step);
        }
        world.check();
        world.run(&Step::Crash { power: false, kv: Kv::Persisted, stop_after: None, early: 2 });
        world.check();
    }
}
