//! The whole store on real files: what is acknowledged is readable, in order, across restarts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may unwrap, and one panics on purpose"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossdock_store::api::{
    AppendError, Batch, Boundary, Completion, Done, ReadLimits, ReadStatus, Receipt, TagFilter,
};
use crossdock_store::change::Change;
use crossdock_store::engine::Role;
use crossdock_store::log::LogConfig;
use crossdock_store::options::Options;
use crossdock_store::record::{Draft, Prepared};
use crossdock_store::store::Store;
use crossdock_store::types::{Durability, Flavour, GroupId, QueueId, TableId};
use smallvec::{SmallVec, smallvec};

const LIMITS: ReadLimits = ReadLimits {
    records: 32,
    bytes: 1 << 18,
    scanned: 1000,
};

fn options() -> Options {
    let log = LogConfig {
        first_segment_bytes: 1 << 20,
        segment_bytes_max: 1 << 20,
        new_reach_bytes: 1 << 20,
        ..LogConfig::default()
    };
    Options {
        log,
        ..Options::default()
    }
}

fn open(folder: &Path) -> Store {
    Store::open(folder, options()).unwrap()
}

fn text(queue: u64, body: &str, tag_hash: i64) -> Prepared {
    let tail: SmallVec<[Bytes; 6]> = smallvec![Bytes::copy_from_slice(body.as_bytes())];
    let mut draft = Draft::new(QueueId(queue), Flavour::Neutral, tail);
    draft.tag_hash = tag_hash;
    draft.keys = smallvec![body.len() as u64];
    draft.prepare().unwrap()
}

async fn bodies(store: &Store, queue: u64, from: u64, filter: &TagFilter) -> Vec<String> {
    let outcome = store
        .read(QueueId(queue), from, LIMITS, filter)
        .await
        .unwrap();
    let body = |m: &crossdock_store::api::Message| {
        let mut all = m.prefix.as_deref().unwrap_or_default().to_vec();
        all.extend_from_slice(&m.record.tail);
        String::from_utf8(all).unwrap()
    };
    outcome.messages.iter().map(body).collect()
}

#[tokio::test]
async fn appended_records_are_read_back_in_order_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for life in 0..3u64 {
        let store = open(folder.path());
        for n in 0..10u64 {
            let record = text(7, &format!("life {life} message {n}"), 0);
            let receipt = store
                .append(smallvec![record], Durability::Durable)
                .await
                .unwrap();
            assert_eq!(receipt[0].offset, life * 10 + n);
        }
        let all = bodies(&store, 7, 0, &TagFilter::All).await;
        assert_eq!(all.len() as u64, (life + 1) * 10);
        assert_eq!(all[(life * 10) as usize], format!("life {life} message 0"));
        store.close();
        drop(store);
    }
}

#[tokio::test]
async fn a_batch_larger_than_a_block_is_committed_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = LogConfig {
        first_segment_bytes: 16 << 20,
        ..LogConfig::default()
    };
    let store = Store::open(
        folder.path(),
        Options {
            log,
            ..Options::default()
        },
    )
    .unwrap();
    let body = "x".repeat(300_000);
    let records: SmallVec<[Prepared; 1]> = (0..10).map(|_| text(1, &body, 0)).collect();
    let receipt = store.append(records, Durability::Written).await.unwrap();
    assert_eq!(receipt.last().unwrap().offset, 9);
    assert_eq!(store.bounds(QueueId(1)).unwrap().max, 10);
    store.close();
}

#[tokio::test]
async fn tags_filter_and_the_next_offset_passes_what_was_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..20 {
        let record = text(1, &n.to_string(), n % 4);
        store
            .append(smallvec![record], Durability::Written)
            .await
            .unwrap();
    }
    let filter = TagFilter::Any(smallvec![1, 3]);
    let odd: Vec<_> = (0..20)
        .filter(|n| n % 2 == 1)
        .map(|n| n.to_string())
        .collect();
    assert_eq!(bodies(&store, 1, 0, &filter).await, odd);
    let none = TagFilter::Any(smallvec![9]);
    let outcome = store.read(QueueId(1), 0, LIMITS, &none).await.unwrap();
    assert_eq!((outcome.status, outcome.next), (ReadStatus::NoMatch, 20));
    store.close();
}

#[tokio::test]
async fn a_waiting_reader_hears_of_the_record_it_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let filter = TagFilter::Any(smallvec![5]);
    let wait = store.arrival(QueueId(1), 0, filter).unwrap();
    store
        .append(smallvec![text(1, "other", 4)], Durability::Written)
        .await
        .unwrap();
    store
        .append(smallvec![text(1, "wanted", 5)], Durability::Written)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(5), wait)
        .await
        .unwrap();
    store.close();
}

#[tokio::test]
async fn a_scheduled_record_is_delivered_once_by_reference_and_not_early() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let due = store.now_ms() + 300;
    let tail: SmallVec<[Bytes; 6]> = smallvec![Bytes::from_static(b"later")];
    let mut draft = Draft::new(QueueId(3), Flavour::Neutral, tail);
    draft.due_ms = Some(due);
    let record = draft.prepare().unwrap();
    store
        .append(smallvec![record], Durability::Durable)
        .await
        .unwrap();
    assert_eq!(store.pending_timers(), 1);
    assert!(bodies(&store, 3, 0, &TagFilter::All).await.is_empty());
    store.close();
    drop(store);
    let store = open(folder.path());
    let wait = store.arrival(QueueId(3), 0, TagFilter::All).unwrap();
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap();
    let outcome = store
        .read(QueueId(3), 0, LIMITS, &TagFilter::All)
        .await
        .unwrap();
    assert!(outcome.messages[0].record.stored_ms >= due);
    assert_eq!(bodies(&store, 3, 0, &TagFilter::All).await, ["later"]);
    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.pending_timers(), 0);
    assert_eq!(bodies(&store, 3, 0, &TagFilter::All).await, ["later"]);
    store.close();
}

#[tokio::test]
async fn rows_positions_keys_and_times_survive_the_loss_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut stored = Vec::new();
    for n in 0..200u64 {
        let record = text(n % 3 + 1, &"k".repeat(n as usize + 1), 0);
        let receipt = store
            .append(smallvec![record], Durability::Written)
            .await
            .unwrap();
        stored.push(receipt[0]);
    }
    let put = Change::Put {
        table: TableId(1),
        key: Bytes::from_static(b"topic"),
        value: Bytes::from_static(b"definition"),
    };
    let commit = Change::Commit {
        group: GroupId(4),
        queue: QueueId(2),
        offset: 17,
    };
    store
        .change(&[put, commit], Durability::Durable)
        .await
        .unwrap();
    store.close();
    drop(store);
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let store = open(folder.path());
    assert_eq!(
        store.row(TableId(1), b"topic").as_deref(),
        Some(&b"definition"[..])
    );
    assert_eq!(store.group_position(GroupId(4), QueueId(2)), Some(17));
    let found = store.by_key(100, 0, i64::MAX, 8).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record.position, stored[99].position);
    let at = store
        .offset_by_time(QueueId(1), stored[0].stored_ms, Boundary::Lower)
        .unwrap();
    assert_eq!(at, 0);
    assert_eq!(store.bounds(QueueId(1)).unwrap().max, 67);
    store.close();
}

#[tokio::test]
async fn expired_segments_go_and_what_is_left_is_dense() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        retain_bytes: Some(4 << 20),
        retention_interval: Duration::from_millis(20),
        checkpoint_interval: Duration::from_millis(20),
        ..options()
    };
    let store = Store::open(folder.path(), options.clone()).unwrap();
    let body = "y".repeat(10_000);
    let mut sent = 0;
    let gone = async {
        while store.bounds(QueueId(1)).unwrap().min == 0 {
            store
                .append(smallvec![text(1, &body, 0)], Durability::Written)
                .await
                .unwrap();
            sent += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
    let bounds = store.bounds(QueueId(1)).unwrap();
    assert_eq!(bounds.max, sent);
    let outcome = store
        .read(QueueId(1), 0, LIMITS, &TagFilter::All)
        .await
        .unwrap();
    assert_eq!(outcome.status, ReadStatus::TooSmall);
    let outcome = store
        .read(QueueId(1), bounds.min, LIMITS, &TagFilter::All)
        .await
        .unwrap();
    assert_eq!(outcome.messages[0].offset, bounds.min);
    store.close();
    drop(store);
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let store = Store::open(folder.path(), options).unwrap();
    assert_eq!(store.bounds(QueueId(1)).unwrap().max, sent);
    store.close();
}

#[tokio::test]
async fn a_closed_store_refuses_and_a_second_open_is_told_of_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert!(Store::open(folder.path(), options()).is_err());
    store.close();
    let refused = store
        .append(smallvec![text(1, "late", 0)], Durability::Written)
        .await;
    assert!(refused.is_err());
    assert_eq!(*store.role().borrow(), Role::Closed);
}

/// A caller whose completion fails.
#[derive(Debug)]
struct Broken;

impl Completion for Broken {
    fn complete(&self, _token: u64, _outcome: Result<&Receipt, AppendError>) {
        panic!("a caller fails");
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn a_panic_of_whoever_writes_fences_the_log_and_reading_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let append = |body| {
        let record = text(1, body, 0);
        store.append(smallvec![record], Durability::Written)
    };
    append("a").await.unwrap();
    let batch = Batch {
        records: smallvec![text(1, "b", 0)],
        durability: Durability::Written,
        done: Done::Shared(Arc::new(Broken), 7),
    };
    store.add(batch).unwrap();
    // This thread writes, or the log's own if it was awake.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.drive()));
    assert_eq!(append("c").await.unwrap_err(), AppendError::Fenced);
    // The block of the failed caller is in the log, and whatever joined it: their outcome was unknown.
    let stored = store.bounds(QueueId(1)).unwrap().max;
    assert!((2..=3).contains(&stored), "{stored}");
    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.bounds(QueueId(1)).unwrap().max, stored);
    store.close();
}
