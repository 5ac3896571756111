//! Timers that are too many for memory, outlive their queue, or change while they are read back.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod view_kit;

use std::sync::Arc;

use bytes::Bytes;
use crossdock_store::change::Change;
use crossdock_store::io::sim::SimDisk;
use crossdock_store::kv::{Batch, KvError, KvStats, KvStore, MemKv, Order, Space};
use crossdock_store::types::{Position, QueueId};
use crossdock_store::view::{Limits, Views};
use view_kit::fixture::{ALL, Fixture};
use view_kit::{Log, Model, message, system};

type Hook = Box<dyn FnOnce() + Send>;

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
    hook: Arc<std::sync::Mutex<Option<Hook>>>,
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
