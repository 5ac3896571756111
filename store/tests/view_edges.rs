//! Single behaviours of the views that a random history meets too rarely: damage, limits, waiters, races, sizes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod view_kit;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use crossdock_store::api::TagFilter;
use crossdock_store::change::Change;
use crossdock_store::io::Disk;
use crossdock_store::io::sim::SimDisk;
use crossdock_store::kv::{Batch, FjallKv, KvError, KvStats, KvStore, MemKv, Order, Space};
use crossdock_store::types::{GroupId, Position, QueueId, TableId};
use crossdock_store::view::{Boundary, Bounds, Limits, ViewError, Views};
use view_kit::{Log, Model, message, system};

const ALL: Position = Position(u64::MAX);
const TABLE: TableId = TableId(3);

fn open_with(
    kv: &MemKv,
    disk: &SimDisk,
    log: &Log,
    limits: Limits,
) -> Result<(Views, Position), ViewError> {
    let disk = Arc::new(disk.clone());
    Views::open(Box::new(kv.clone()), disk, log.start, log.end(), limits)
}

fn open(kv: &MemKv, disk: &SimDisk, log: &Log) -> (Views, Position) {
    open_with(kv, disk, log, Limits::default()).expect("open")
}

struct Fixture {
    kv: MemKv,
    disk: SimDisk,
    log: Log,
    views: Views,
    now_ms: i64,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
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

    fn append(&mut self, draft: crossdock_store::record::Draft, ms: i64) -> Position {
        self.now_ms = self.now_ms.max(ms);
        let (views, now_ms) = (&self.views, self.now_ms);
        let record = self
            .log
            .append(draft, now_ms, |queue, count| views.assign(queue, count));
        views.apply(&record.view(), &mut |_, _, _, _| {});
        record.position
    }

    fn publish(&mut self, queue: u64, records: usize) {
        for _ in 0..records {
            self.append(message(QueueId(queue), 0, &[queue]), self.now_ms + 1);
        }
    }

    fn put(&mut self, key: &'static str, value: &'static str) {
        let change = Change::Put {
            table: TABLE,
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
        };
        self.append(system(&[change]), 0);
    }

    /// Ends this life and begins the next with the database as it was last persisted.
    fn reopen(&mut self) -> Position {
        self.kv = self.kv.crash();
        let (views, resume) = open(&self.kv, &self.disk, &self.log);
        self.views = views;
        self.log.replay(&self.views, resume, 0);
        resume
    }

    fn check(&self) {
        Model::of(&self.log).check(&self.views, self.log.start);
    }
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    future.as_mut().poll(&mut context) == Poll::Ready(())
}

#[test]
fn a_record_applied_twice_counts_once() {
    let mut f = Fixture::new();
    f.publish(1, 100);
    let before = f.views.state_hash();
    f.log.replay(&f.views, Position::ZERO, 0);
    assert_eq!(f.views.state_hash(), before);
    f.views.checkpoint(ALL).expect("checkpoint");
    f.log.replay(&f.views, Position::ZERO, 0);
    assert_eq!(f.views.state_hash(), before);
}

#[test]
fn arrivals_tell_of_every_new_entry_once() {
    let mut f = Fixture::new();
    let mut draft = message(QueueId(1), 9, &[]);
    draft.dispatch = [QueueId(2), QueueId(2)].into_iter().collect();
    draft.count = 3;
    let views = &f.views;
    let record = f
        .log
        .append(draft, 5, |queue, count| views.assign(queue, count));
    let mut seen = Vec::new();
    for _ in 0..2 {
        views.apply(&record.view(), &mut |queue, offset, count, tag| {
            seen.push((queue.0, offset, count, tag));
        });
    }
    assert_eq!(seen, [(1, 0, 3, 9), (2, 0, 3, 9), (2, 3, 3, 9)]);
}

#[test]
fn a_checkpoint_never_claims_what_the_log_may_lose() {
    let mut f = Fixture::new();
    f.publish(1, 10);
    let durable = f.log.end();
    f.publish(1, 10);
    assert_eq!(f.views.checkpoint(durable), Ok(Position::ZERO));
    assert_eq!(
        f.kv.count(Space::Queues),
        0,
        "written before the log was durable"
    );
    let cut = f.log.end();
    f.publish(1, 10);
    assert_eq!(f.views.checkpoint(cut), Ok(cut));
    f.log.records.truncate(20);
    assert_eq!(f.reopen(), cut);
    assert_eq!(f.views.next_offset(QueueId(1)), 20);
    f.check();
}

#[test]
fn a_queue_dropped_after_the_cut_is_still_written_as_it_was() {
    let mut f = Fixture::new();
    f.publish(1, 100);
    let cut = f.views.cut();
    f.append(system(&[Change::Drop { queue: QueueId(1) }]), 0);
    assert!(f.views.is_retired(QueueId(1)));
    assert_eq!(f.views.checkpoint(cut), Ok(cut));
    f.log.records.truncate(100);
    f.reopen();
    assert_eq!(f.views.next_offset(QueueId(1)), 100);
    f.check();
}

#[test]
fn a_lower_trim_does_not_bring_back_what_a_higher_one_took() {
    let mut f = Fixture::new();
    f.publish(1, 10);
    for before in [7, 3] {
        let queue = QueueId(1);
        f.append(system(&[Change::Trim { queue, before }]), 0);
        f.views.checkpoint(ALL).expect("checkpoint");
    }
    f.reopen();
    assert_eq!(f.views.bounds(QueueId(1)), Ok(Bounds { min: 7, max: 10 }));
}

#[test]
fn what_is_under_way_to_a_dropped_queue_is_ignored() {
    let mut f = Fixture::new();
    f.publish(1, 70);
    f.append(system(&[Change::Drop { queue: QueueId(1) }]), 0);
    f.log.append(message(QueueId(1), 0, &[]), 0, |_, _| 70);
    for crash in [false, true] {
        if crash {
            f.reopen();
        } else {
            f.log.replay(&f.views, Position::ZERO, 0);
        }
        assert_eq!(f.views.next_offset(QueueId(1)), 0);
        assert_eq!(f.views.entries(QueueId(1), 0, 99, &mut Vec::new()), Ok(0));
        f.views.checkpoint(ALL).expect("checkpoint");
        assert_eq!(f.kv.count(Space::Chunks), 0);
    }
    let end = f.log.end();
    f.views.snapshot().expect("snapshot");
    f.views.trim(end).expect("trim");
    assert!(!f.views.is_retired(QueueId(1)));
    assert_eq!(f.kv.count(Space::Retired), 0);
}

#[test]
fn a_database_from_the_future_is_rebuilt() {
    let mut f = Fixture::new();
    f.publish(1, 100);
    f.views.checkpoint(ALL).expect("checkpoint");
    f.log.records.truncate(50);
    assert_eq!(f.reopen(), Position::ZERO);
    f.check();
}

#[test]
fn an_older_database_is_brought_up_to_the_log() {
    let mut f = Fixture::new();
    let mut marks = Vec::new();
    for _ in 0..4 {
        f.publish(1, 100);
        f.put("k", "v");
        marks.push(f.views.checkpoint(ALL).expect("checkpoint"));
    }
    f.kv = f.kv.restore(2);
    assert_eq!(f.reopen(), marks[1]);
    f.check();
}

#[test]
fn a_damaged_database_is_rebuilt_whatever_is_damaged() {
    for space in [
        Space::Meta,
        Space::Queues,
        Space::Runs,
        Space::Timers,
        Space::Positions,
    ] {
        let mut f = Fixture::new();
        f.publish(1, 100);
        let mut timer = message(QueueId(1), 0, &[]);
        timer.due_ms = Some(10);
        f.append(timer, 0);
        let queue = QueueId(1);
        let commit = Change::Commit {
            group: GroupId(1),
            queue,
            offset: 5,
        };
        f.append(system(&[commit]), 0);
        f.views.checkpoint(ALL).expect("checkpoint");
        let mut key = None;
        f.kv.range(space, &[], None, Order::Ascending, &mut |k, _| {
            key = Some(k.to_vec());
            false
        })
        .expect("range");
        let key = key.unwrap_or_else(|| panic!("nothing in {space:?}"));
        let resume = match space {
            // Rows without a checksum of their own are guarded by the database's.
            Space::Timers | Space::Positions => {
                let mut batch = Batch::default();
                batch.put(space, key, b"short".as_slice());
                f.kv.batch(batch).expect("batch");
                f.kv.persist().expect("persist");
                f.reopen()
            }
            _ => {
                assert!(f.kv.damage(space, &key, 9));
                f.reopen()
            }
        };
        assert_eq!(resume, Position::ZERO, "{space:?}");
        f.check();
    }
}

#[test]
fn a_damaged_chunk_is_reported_and_the_next_start_rebuilds() {
    let mut f = Fixture::new();
    f.publish(1, 200);
    f.views.checkpoint(ALL).expect("checkpoint");
    let key = [1u64.to_be_bytes(), 64u64.to_be_bytes()].concat();
    assert!(f.kv.damage(Space::Chunks, &key, 40));
    let read = f.views.entries(QueueId(1), 0, 200, &mut Vec::new());
    assert_eq!(read, Err(ViewError::Damaged("chunk of queue entries")));
    assert!(
        f.views.checkpoint(ALL).is_err(),
        "a condemned database is written"
    );
    assert_eq!(f.reopen(), Position::ZERO);
    f.check();
}

#[test]
fn a_failing_database_loses_nothing() {
    let mut f = Fixture::new();
    f.publish(1, 200);
    f.put("a", "1");
    f.kv.set_failing(true);
    assert!(f.views.checkpoint(ALL).is_err());
    f.publish(1, 200);
    f.put("b", "2");
    f.kv.set_failing(false);
    f.check();
    f.views.checkpoint(ALL).expect("the cut that failed");
    f.views.checkpoint(ALL).expect("what came after");
    assert_eq!(f.reopen(), f.log.end());
    f.check();
}

#[test]
fn a_trimmed_log_and_a_lost_database_are_made_good_by_a_snapshot() {
    let mut f = Fixture::new();
    f.publish(1, 300);
    f.publish(2, 10);
    f.put("old", "kept");
    let mut timer = message(QueueId(4), 0, &[]);
    timer.due_ms = Some(50);
    f.append(timer, 0);
    let early = f.log.end();
    f.publish(1, 100);
    f.append(
        system(&[Change::Trim {
            queue: QueueId(2),
            before: 4,
        }]),
        0,
    );
    f.views.checkpoint(ALL).expect("checkpoint");
    assert_eq!(f.views.trim_floor(), Position::ZERO);
    let at = f.views.snapshot().expect("snapshot");
    assert_eq!(f.views.trim_floor(), at);
    f.publish(3, 5);
    f.log.start = early;
    f.views.trim(early).expect("trim");
    f.check();
    let hash = f.views.state_hash();

    f.kv = MemKv::new();
    assert_eq!(f.reopen(), early);
    f.check();
    assert_eq!(f.views.state_hash(), hash);
    let empty = Bounds { min: 10, max: 10 };
    assert_eq!(
        f.views.bounds(QueueId(2)),
        Ok(empty),
        "its records are gone, its offsets are not"
    );
    f.publish(2, 1);
    assert_eq!(f.views.bounds(QueueId(2)), Ok(Bounds { min: 10, max: 11 }));
    f.views.checkpoint(ALL).expect("checkpoint");
    f.reopen();
    f.check();
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_one_before() {
    let mut f = Fixture::new();
    f.put("first", "1");
    f.publish(1, 80);
    f.views.checkpoint(ALL).expect("checkpoint");
    let older = f.views.snapshot().expect("snapshot");
    f.put("second", "2");
    f.views.checkpoint(ALL).expect("checkpoint");
    f.views.snapshot().expect("snapshot");
    assert_eq!(f.views.trim_floor(), older);
    f.log.start = older;

    let files = f.disk.list("snapshots").expect("list");
    assert_eq!(files.len(), 2);
    // Header, lengths and key of the row "first" come before its value.
    let value_at = 40 + 9 + 2 + 5;
    let newest = f.disk.open(&files[1].name).expect("open");
    let mut byte = [0];
    newest.read_at(value_at, &mut byte).expect("read");
    assert_eq!(byte, *b"1");
    newest.write_at(value_at, b"9").expect("write");
    f.kv = MemKv::new();
    f.reopen();
    assert_eq!(f.views.scan(TABLE, b"", 9).len(), 2);
    assert_eq!(f.views.next_offset(QueueId(1)), 80);
    f.check();

    for file in f.disk.list("snapshots").expect("list") {
        f.disk.remove(&file.name).expect("remove");
    }
    let lost = open_with(&MemKv::new(), &f.disk, &f.log, Limits::default());
    assert_eq!(lost.err(), Some(ViewError::StateLost { log_start: older }));
}

#[test]
fn snapshots_are_written_by_themselves_and_two_are_kept() {
    let mut f = Fixture::with(Limits {
        checkpoints_per_snapshot: 2,
        ..Limits::default()
    });
    let mut marks = Vec::new();
    for _ in 0..7 {
        f.publish(1, 1);
        marks.push(f.views.checkpoint(ALL).expect("checkpoint"));
    }
    assert_eq!(f.disk.list("snapshots").expect("list").len(), 2);
    assert_eq!(f.views.trim_floor(), marks[3]);
}

#[test]
fn trimming_the_log_leaves_nothing_behind_in_the_database() {
    // Positions far apart, so that every few records begin a new bucket.
    let kv = MemKv::new();
    let disk = SimDisk::new(1);
    let log = Log::default();
    let (views, _) = open(&kv, &disk, &log);
    let mut source = Log::default();
    for n in 0..2_000u64 {
        source.records.clear();
        let record = source.append(message(QueueId(1), 0, &[n]), 0, |_, _| n);
        let mut record = record.view();
        record.position = Position(n << 24);
        views.apply(&record, &mut |_, _, _, _| {});
        if n % 100 == 99 {
            views.checkpoint(ALL).expect("checkpoint");
        }
    }
    assert!(kv.count(Space::Chunks) >= 30);
    let keys = kv.count(Space::Keys);
    views.trim(Position(1_500 << 24)).expect("trim");
    assert_eq!(kv.count(Space::Chunks), 2_000 / 64 - 1_500 / 64);
    assert!(kv.count(Space::Keys) < keys);
    assert_eq!(
        views.bounds(QueueId(1)),
        Ok(Bounds {
            min: 1_500,
            max: 2_000
        })
    );
    assert_eq!(views.find(7, i64::MIN, i64::MAX, 9), Ok(vec![]));
    assert_eq!(
        views.find(1_700, i64::MIN, i64::MAX, 9),
        Ok(vec![Position(1_700 << 24)])
    );
    views.trim(Position(3_000 << 24)).expect("trim");
    assert_eq!(
        kv.count(Space::Chunks) + kv.count(Space::Keys) + kv.count(Space::Expiry),
        0
    );
    assert_eq!(
        views.bounds(QueueId(1)),
        Ok(Bounds {
            min: 2_000,
            max: 2_000
        })
    );
}

#[test]
fn a_rebuild_that_is_interrupted_after_a_checkpoint_is_taken_up_again() {
    let mut f = Fixture::new();
    f.publish(1, 10);
    f.put("a", "1");
    let start = f.log.end();
    f.publish(2, 100);
    f.put("a", "2");
    f.publish(3, 100);
    f.views.checkpoint(ALL).expect("checkpoint");
    f.views.snapshot().expect("snapshot");
    f.publish(2, 7);
    f.log.start = start;
    f.views.trim(start).expect("trim");

    let (kv, whole) = (MemKv::new(), f.log.clone());
    for applied in [50, 90] {
        let (views, resume) = open(&kv.crash(), &f.disk, &whole);
        assert_eq!(resume, start);
        drop(views);
        let (views, resume) = open(&kv, &f.disk, &whole);
        assert_eq!(resume, start);
        for record in whole
            .records
            .iter()
            .skip_while(|r| r.position < start)
            .take(applied)
        {
            views.apply(&record.view(), &mut |_, _, _, _| {});
        }
        let at = views.checkpoint(ALL).expect("checkpoint");
        views.snapshot().expect("snapshot");
        assert_ne!(
            f.disk.list("snapshots").expect("list").len(),
            2,
            "half a rebuild is no snapshot"
        );
        f.kv = kv.clone();
        assert_eq!(f.reopen(), at);
        f.check();
        assert_eq!(f.views.next_offset(QueueId(1)), 10);
        kv.wipe().expect("wipe");
    }
}

#[test]
fn a_queue_that_is_newer_than_the_applied_position_takes_no_record_twice() {
    let mut f = Fixture::new();
    f.publish(1, 100);
    f.put("a", "1");
    let older = f.views.checkpoint(ALL).expect("checkpoint");
    let state =
        f.kv.get(Space::Meta, b"state")
            .expect("get")
            .expect("state");
    f.publish(1, 100);
    f.put("a", "2");
    f.append(system(&[Change::Drop { queue: QueueId(2) }]), 0);
    f.views.checkpoint(ALL).expect("checkpoint");
    let mut batch = Batch::default();
    batch.put(Space::Meta, b"state".as_slice(), state.to_vec());
    f.kv.batch(batch).expect("batch");
    f.kv.persist().expect("persist");
    assert_eq!(f.reopen(), older);
    f.check();
}

#[test]
fn a_timer_that_outlives_its_queue_does_not_bring_it_back() {
    let mut f = Fixture::new();
    f.publish(1, 5);
    let mut draft = message(QueueId(1), 0, &[]);
    draft.due_ms = Some(99);
    let timer = f.append(draft, 0);
    f.append(system(&[Change::Drop { queue: QueueId(1) }]), 0);
    f.publish(2, 5);
    f.views.checkpoint(ALL).expect("checkpoint");
    f.views.snapshot().expect("snapshot");
    let end = f.log.end();
    f.views.trim(end).expect("trim");
    let mut fire = message(QueueId(1), 0, &[]);
    fire.fires = Some(timer);
    f.append(fire, 99);
    assert_eq!(f.views.next_offset(QueueId(1)), 0);
    f.views.trim(end).expect("trim");
    assert!(!f.views.is_retired(QueueId(1)));
}

/// A store that does something while the timers are read from it.
#[derive(Clone)]
struct HookedKv {
    inner: MemKv,
    hook: Arc<std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>>,
}

impl std::fmt::Debug for HookedKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookedKv")
    }
}

impl KvStore for HookedKv {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.inner.get(space, key)
    }
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), KvError> {
        self.inner.range(space, from, to, order, visit)?;
        if space == Space::Timers {
            let hook = self.hook.lock().expect("hook").take();
            if let Some(hook) = hook {
                hook();
            }
        }
        Ok(())
    }
    fn batch(&self, batch: Batch) -> Result<(), KvError> {
        self.inner.batch(batch)
    }
    fn delete_range(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Result<(), KvError> {
        self.inner.delete_range(space, from, to)
    }
    fn persist(&self) -> Result<(), KvError> {
        self.inner.persist()
    }
    fn wipe(&self) -> Result<(), KvError> {
        self.inner.wipe()
    }
    fn stats(&self) -> KvStats {
        self.inner.stats()
    }
}

#[test]
fn a_timer_cancelled_while_it_is_read_back_stays_cancelled() {
    let kv = HookedKv {
        inner: MemKv::new(),
        hook: Arc::default(),
    };
    let limits = Limits {
        timers_in_memory: 8,
        ..Limits::default()
    };
    let disk = Arc::new(SimDisk::new(1));
    let (views, _) = Views::open(
        Box::new(kv.clone()),
        disk,
        Position::ZERO,
        Position::ZERO,
        limits,
    )
    .expect("open");
    let views = Arc::new(views);
    let mut log = Log::default();
    for n in 0..40 {
        let mut draft = message(QueueId(1), 0, &[]);
        draft.due_ms = Some(n);
        let record = log.append(draft, 0, |_, _| 0);
        views.apply(&record.view(), &mut |_, _, _, _| {});
    }
    views.checkpoint(ALL).expect("checkpoint");
    let cancelled = log.records[5].position;
    let record = log
        .append(system(&[Change::Cancel { timer: cancelled }]), 0, |_, _| 0)
        .clone();
    let others = Arc::clone(&views);
    *kv.hook.lock().expect("hook") = Some(Box::new(move || {
        others.apply(&record.view(), &mut |_, _, _, _| {});
        others.checkpoint(ALL).expect("checkpoint");
    }));
    let due = views.due(1_000, 100).expect("due");
    assert!(kv.hook.lock().expect("hook").is_none(), "the hook ran");
    assert_eq!(due.len(), 39);
    assert!(due.iter().all(|t| t.position != cancelled));
    assert_eq!(views.pending_count(), 39);
}

#[test]
fn waiters_wake_for_what_they_wait_for() {
    let mut f = Fixture::new();
    let queue = QueueId(1);
    f.publish(1, 3);
    let views = &f.views;
    assert!(
        is_ready(views.arrival(queue, 2, TagFilter::All).expect("wait")),
        "it is there"
    );
    let any = views.arrival(queue, 3, TagFilter::All).expect("wait");
    let later = views.arrival(queue, 4, TagFilter::All).expect("wait");
    let tagged = views
        .arrival(queue, 3, TagFilter::Any(smallvec::smallvec![5, -6]))
        .expect("wait");
    let cancelled = views.arrival(queue, 3, TagFilter::All).expect("wait");
    let other = views.arrival(QueueId(2), 0, TagFilter::All).expect("wait");
    drop(cancelled);
    assert_eq!(views.stats().waiters, 4);
    f.publish(1, 1);
    assert!(is_ready(any));
    assert_eq!(f.views.stats().waiters, 3);
    f.append(message(queue, -6, &[]), 0);
    assert!(is_ready(later));
    assert!(is_ready(tagged));
    f.append(system(&[Change::Drop { queue: QueueId(2) }]), 0);
    assert!(is_ready(other), "a dropped queue keeps nobody waiting");
    assert_eq!(f.views.stats().waiters, 0);
    let last = f.views.arrival(queue, 99, TagFilter::All).expect("wait");
    f.views.release_waiters();
    assert!(is_ready(last));
}

#[test]
fn waiters_are_bounded_and_survive_the_rest_of_their_queue() {
    let mut f = Fixture::with(Limits {
        waiters_max: 2,
        ..Limits::default()
    });
    f.publish(1, 1);
    let first = f
        .views
        .arrival(QueueId(1), 1, TagFilter::All)
        .expect("wait");
    let _second = f
        .views
        .arrival(QueueId(2), 0, TagFilter::All)
        .expect("wait");
    let refused = f.views.arrival(QueueId(1), 1, TagFilter::All);
    assert_eq!(refused.err(), Some(ViewError::WaitersFull));
    for _ in 0..6 {
        f.publish(3, 1);
        f.views.checkpoint(ALL).expect("checkpoint");
    }
    assert_eq!(f.views.stats().queues_idle, 1, "queue 1 rests");
    let mut first = pin!(first);
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
    f.publish(1, 1);
    assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(()));
}

#[test]
fn queues_at_rest_answer_like_others() {
    let mut f = Fixture::new();
    for queue in 1..=50 {
        f.publish(queue, (queue as usize * 7) % 150 + 1);
    }
    for _ in 0..6 {
        f.publish(99, 1);
        f.views.checkpoint(ALL).expect("checkpoint");
    }
    let stats = f.views.stats();
    assert_eq!((stats.queues_idle, stats.queues_hot), (50, 1));
    f.check();
    for queue in 1..=50 {
        f.publish(queue, 3);
    }
    f.check();
    f.views.checkpoint(ALL).expect("checkpoint");
    f.reopen();
    f.check();
}

#[test]
fn offsets_handed_out_but_not_used_are_taken_back() {
    let mut f = Fixture::new();
    f.publish(1, 5);
    assert_eq!(f.views.assign(QueueId(1), 3), 5);
    assert_eq!(f.views.assign(QueueId(1), 1), 8);
    assert_eq!(f.views.assign(QueueId(2), 1), 0);
    assert_eq!(f.views.next_offset(QueueId(1)), 5);
    f.views.reset_assigned();
    assert_eq!(f.views.assign(QueueId(1), 1), 5);
    assert_eq!(f.views.assign(QueueId(2), 1), 0);
    f.views.reset_assigned();
    f.check();
}

#[test]
fn far_timers_leave_memory_and_come_back_in_order() {
    let limits = Limits {
        timers_in_memory: 16,
        ..Limits::default()
    };
    let mut f = Fixture::with(limits);
    for n in 0..500 {
        let mut draft = message(QueueId(1), 0, &[]);
        draft.due_ms = Some((n * 7_919) % 1_009);
        f.append(draft, 0);
    }
    f.views.checkpoint(ALL).expect("checkpoint");
    assert_eq!(f.views.pending_count(), 500);
    let model = Model::of(&f.log);
    let order: Vec<_> = model.timers.keys().copied().collect();
    // A far one is cancelled, and one that never was.
    let far = Position(order[400].1);
    f.append(
        system(&[
            Change::Cancel { timer: far },
            Change::Cancel { timer: Position(3) },
        ]),
        0,
    );
    assert_eq!(f.views.is_pending(far), Ok(false));
    let mut fired = Vec::new();
    while let Some(due) = f.views.next_due().expect("next") {
        for timer in f.views.due(due, 3).expect("due") {
            fired.push((timer.due_ms, timer.position.0));
            let mut draft = message(timer.target, 0, &[]);
            draft.fires = Some(timer.position);
            f.append(draft, due);
        }
        if fired.len() % 50 == 0 {
            f.views.checkpoint(ALL).expect("checkpoint");
            assert_eq!(f.views.pending_count(), 499 - fired.len() as u64);
        }
    }
    let expected: Vec<_> = order.into_iter().filter(|(_, at)| *at != far.0).collect();
    assert_eq!(fired, expected);
    f.views.checkpoint(ALL).expect("checkpoint");
    assert_eq!(f.kv.count(Space::Timers) + f.kv.count(Space::TimerAt), 0);
    assert_eq!(f.views.oldest_pin(), Ok(None));
}

#[test]
fn many_small_runs_of_keys_become_few() {
    let mut f = Fixture::new();
    for round in 0..70u64 {
        for n in 0..30 {
            f.append(
                message(QueueId(1), 0, &[n % 7, round]),
                (round * 100 + n) as i64,
            );
        }
        f.views.checkpoint(ALL).expect("checkpoint");
    }
    assert!(
        f.views.stats().key_runs < 20,
        "{} runs",
        f.views.stats().key_runs
    );
    f.check();
    f.reopen();
    f.check();
}

#[test]
fn table_watchers_see_each_record_once() {
    let mut f = Fixture::new();
    let mut watch = f.views.watch(TABLE);
    assert!(!watch.has_changed().expect("open"));
    f.put("a", "1");
    assert!(watch.has_changed().expect("open"));
    let first = *watch.borrow_and_update();
    f.publish(1, 1);
    assert!(!watch.has_changed().expect("open"));
    f.append(
        system(&[
            Change::Delete {
                table: TABLE,
                key: Bytes::from_static(b"a"),
            },
            Change::Delete {
                table: TABLE,
                key: Bytes::from_static(b"b"),
            },
        ]),
        0,
    );
    assert_eq!(*watch.borrow_and_update(), first + 1);
    assert!(f.views.is_empty(TABLE));
}

#[test]
fn a_time_search_answers_at_the_edges() {
    let mut f = Fixture::new();
    let queue = QueueId(1);
    assert_eq!(f.views.offset_by_time(queue, 5, Boundary::Lower), Ok(0));
    assert_eq!(f.views.offset_by_time(queue, 5, Boundary::Upper), Ok(0));
    for ms in [10, 20, 20, 20, 40] {
        f.append(message(queue, 0, &[]), ms);
    }
    let search = |boundary| {
        [5, 10, 15, 20, 30, 40, 50].map(|ms| f.views.offset_by_time(queue, ms, boundary))
    };
    assert_eq!(search(Boundary::Lower), [0, 0, 1, 1, 4, 4, 5].map(Ok));
    assert_eq!(search(Boundary::Upper), [0, 0, 0, 3, 3, 4, 4].map(Ok));
}

#[test]
fn fjall_opens_anew_what_it_cannot_open() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("kv");
    {
        let kv = FjallKv::open(&path).expect("new");
        assert!(!kv.was_wiped);
        let mut batch = Batch::default();
        batch.put(Space::Rows, b"k".as_slice(), b"old".as_slice());
        batch.put(Space::Rows, b"k".as_slice(), b"new".as_slice());
        kv.batch(batch).expect("batch");
        kv.persist().expect("persist");
        assert_eq!(
            kv.get(Space::Rows, b"k"),
            Ok(Some(Bytes::from_static(b"new")))
        );
    }
    {
        let kv = FjallKv::open(&path).expect("again");
        assert!(!kv.was_wiped);
        assert_eq!(
            kv.get(Space::Rows, b"k"),
            Ok(Some(Bytes::from_static(b"new")))
        );
        assert_eq!(kv.stats().persists, 0);
    }
    for file in std::fs::read_dir(&path).expect("list") {
        let file = file.expect("entry").path();
        if file.is_file() {
            std::fs::write(&file, b"nonsense").expect("write");
        }
    }
    let kv = FjallKv::open(&path).expect("made anew");
    assert!(kv.was_wiped);
    assert_eq!(kv.get(Space::Rows, b"k"), Ok(None));
    let mut batch = Batch::default();
    for n in 0..10_000u32 {
        batch.put(Space::Rows, n.to_be_bytes(), b"v".as_slice());
    }
    kv.batch(batch).expect("batch");
    kv.delete_range(Space::Rows, &5u32.to_be_bytes(), None)
        .expect("delete");
    let mut left = 0;
    kv.range(Space::Rows, &[], None, Order::Descending, &mut |_, _| {
        left += 1;
        true
    })
    .expect("range");
    assert_eq!(left, 5);
    kv.wipe().expect("wipe");
    assert_eq!(kv.get(Space::Rows, &0u32.to_be_bytes()), Ok(None));
}

#[test]
fn readers_see_whole_queues_while_records_are_applied_and_checkpointed() {
    const QUEUES: u64 = 8;
    const ROUNDS: u64 = 3_000;
    let f = Fixture::new();
    let Fixture { views, mut log, .. } = f;
    let mut drafts = Log::default();
    for round in 0..ROUNDS {
        for queue in 1..=QUEUES {
            drafts.append(
                message(QueueId(queue), 0, &[round]),
                round as i64,
                |_, _| round,
            );
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for block in drafts.records.chunks(64) {
                let mut applier = views.applier();
                for record in block {
                    applier.apply(&record.view(), &mut |_, _, _, _| {});
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                views.checkpoint(ALL).expect("checkpoint");
            }
        });
        for reader in 0..2u64 {
            let (views, done) = (&views, &done);
            scope.spawn(move || {
                let mut out = Vec::new();
                let mut turn = reader;
                loop {
                    let last = done.load(Ordering::Acquire);
                    turn += 1;
                    let queue = QueueId(turn % QUEUES + 1);
                    let max = views.next_offset(queue);
                    out.clear();
                    let from = if turn.is_multiple_of(3) {
                        0
                    } else {
                        max.saturating_sub(90)
                    };
                    views
                        .entries(queue, from, usize::MAX, &mut out)
                        .expect("entries");
                    assert!(
                        out.len() as u64 >= max - from,
                        "{} of {from}..{max}",
                        out.len()
                    );
                    for (at, entry) in out.iter().enumerate() {
                        assert_eq!(entry.offset, from + at as u64);
                        assert_eq!(entry.stored_ms as u64, entry.offset);
                    }
                    if max > 0 {
                        let middle = max / 2;
                        let found = views.offset_by_time(queue, middle as i64, Boundary::Lower);
                        assert_eq!(found, Ok(middle));
                    }
                    if last {
                        break;
                    }
                }
            });
        }
    });
    log.records = drafts.records;
    for queue in 1..=QUEUES {
        assert_eq!(views.next_offset(QueueId(queue)), ROUNDS);
    }
    assert_eq!(
        views.find(17, i64::MIN, i64::MAX, 100).expect("find").len() as u64,
        QUEUES
    );
}

#[test]
fn a_hundred_thousand_queues_survive_a_restart() {
    const QUEUES: u64 = 100_000;
    let mut f = Fixture::new();
    for queue in 1..=QUEUES {
        f.append(message(QueueId(queue), 0, &[]), 1);
        if queue % 3 == 0 {
            f.append(message(QueueId(queue), 0, &[]), 2);
        }
    }
    f.views.checkpoint(ALL).expect("checkpoint");
    for _ in 0..4 {
        f.publish(QUEUES + 1, 1);
        f.views.checkpoint(ALL).expect("checkpoint");
    }
    assert_eq!(f.views.stats().queues_idle as u64, QUEUES);
    assert_eq!(f.reopen(), f.log.end());
    let mut out = Vec::new();
    for queue in 1..=QUEUES {
        let records = 1 + u64::from(queue % 3 == 0);
        out.clear();
        assert_eq!(
            f.views.entries(QueueId(queue), 0, 9, &mut out),
            Ok(records as usize)
        );
        assert_eq!(f.views.next_offset(QueueId(queue)), records);
    }
}
