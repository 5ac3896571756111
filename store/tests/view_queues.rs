//! Queues, waiters, keys and tables: limits, races and sizes that a random history meets too rarely.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod view_kit;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use crossdock_store::api::TagFilter;
use crossdock_store::change::Change;
use crossdock_store::kv::Space;
use crossdock_store::types::{Position, QueueId};
use crossdock_store::view::{Boundary, Limits, ViewError};
use view_kit::fixture::{ALL, Fixture, TABLE};
use view_kit::{Log, message, system};

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
