//! What the views make of crashes, of damaged, lost, older and newer databases, and of snapshots.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod view_kit;

use bytes::Bytes;
use crossdock_store::change::Change;
use crossdock_store::io::Disk;
use crossdock_store::io::sim::SimDisk;
use crossdock_store::kv::{Batch, FjallKv, KvStore, MemKv, Order, Space};
use crossdock_store::types::{GroupId, Position, QueueId};
use crossdock_store::view::{Bounds, Limits, ViewError};
use view_kit::fixture::{ALL, Fixture, TABLE, open, open_with};
use view_kit::{Log, message, system};

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
