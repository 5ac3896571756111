//! Views with everything they need, over a database in memory and a simulated disk.

use std::sync::Arc;

use bytes::Bytes;
use crossdock_store::change::Change;
use crossdock_store::io::sim::SimDisk;
use crossdock_store::kv::MemKv;
use crossdock_store::types::{Position, QueueId, TableId};
use crossdock_store::view::{Limits, ViewError, Views};

use super::{Log, Model, message, system};

pub(crate) const ALL: Position = Position(u64::MAX);
pub(crate) const TABLE: TableId = TableId(3);

pub(crate) fn open_with(
    kv: &MemKv,
    disk: &SimDisk,
    log: &Log,
    limits: Limits,
) -> Result<(Views, Position), ViewError> {
    let disk = Arc::new(disk.clone());
    Views::open(Box::new(kv.clone()), disk, log.start, log.end(), limits)
}

pub(crate) fn open(kv: &MemKv, disk: &SimDisk, log: &Log) -> (Views, Position) {
    open_with(kv, disk, log, Limits::default()).expect("open")
}

pub(crate) struct Fixture {
    pub(crate) kv: MemKv,
    pub(crate) disk: SimDisk,
    pub(crate) log: Log,
    pub(crate) views: Views,
    pub(crate) now_ms: i64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let (kv, disk, log) = (MemKv::with_history(8), SimDisk::new(3), Log::default());
        let (views, _) = open_with(&kv, &disk, &log, limits).expect("open");
        Self {
            kv,
            disk,
            log,
            views,
            now_ms: 0,
        }
    }

    pub(crate) fn append(&mut self, draft: crossdock_store::record::Draft, ms: i64) -> Position {
        self.now_ms = self.now_ms.max(ms);
        let (views, now_ms) = (&self.views, self.now_ms);
        let record = self
            .log
            .append(draft, now_ms, |queue, count| views.assign(queue, count));
        views.apply(&record.view(), &mut |_, _, _, _| {});
        record.position
    }

    pub(crate) fn publish(&mut self, queue: u64, records: usize) {
        for _ in 0..records {
            self.append(message(QueueId(queue), 0, &[queue]), self.now_ms + 1);
        }
    }

    pub(crate) fn put(&mut self, key: &'static str, value: &'static str) {
        let change = Change::Put {
            table: TABLE,
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
        };
        self.append(system(&[change]), 0);
    }

    /// Ends this life and begins the next with the database as it was last persisted.
    pub(crate) fn reopen(&mut self) -> Position {
        self.kv = self.kv.crash();
        let (views, resume) = open(&self.kv, &self.disk, &self.log);
        self.views = views;
        self.log.replay(&self.views, resume, 0);
        resume
    }

    pub(crate) fn check(&self) {
        Model::of(&self.log).check(&self.views, self.log.start);
    }
}
