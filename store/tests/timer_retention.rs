//! A timer far in the future does not hold back the log: it is copied forward and stays one timer.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use crossdock_store::api::{ReadLimits, TagFilter};
use crossdock_store::log::LogConfig;
use crossdock_store::options::Options;
use crossdock_store::record::Draft;
use crossdock_store::store::Store;
use crossdock_store::types::{Durability, Flavour, Position, QueueId};
use smallvec::{SmallVec, smallvec};

const KEY: u64 = 99;
const LIMITS: ReadLimits = ReadLimits {
    records: 32,
    bytes: 1 << 18,
    scanned: 1000,
};

fn open(folder: &Path) -> Store {
    let log = LogConfig {
        first_segment_bytes: 1 << 20,
        segment_bytes_max: 1 << 20,
        new_reach_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let options = Options {
        log,
        retain_bytes: Some(4 << 20),
        retention_interval: Duration::from_millis(20),
        checkpoint_interval: Duration::from_millis(20),
        ..Options::default()
    };
    Store::open(folder, options).unwrap()
}

async fn schedule(store: &Store, body: &str, due_ms: i64) -> Position {
    let tail: SmallVec<[Bytes; 6]> = smallvec![Bytes::copy_from_slice(body.as_bytes())];
    let mut draft = Draft::new(QueueId(3), Flavour::Neutral, tail);
    draft.keys = smallvec![KEY];
    draft.due_ms = Some(due_ms);
    draft.tag_hash = 7;
    let record = smallvec![draft.prepare().unwrap()];
    store.append(record, Durability::Durable).await.unwrap()[0].position
}

/// Appends until the log begins after a position.
async fn push_out(store: &Store, position: Position) {
    let body = Bytes::from(vec![b'y'; 50_000]);
    let gone = async {
        while store.log_bounds().0 <= position {
            let draft = Draft::new(QueueId(1), Flavour::Neutral, smallvec![body.clone()]);
            let record = smallvec![draft.prepare().unwrap()];
            store.append(record, Durability::Written).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
}

async fn only_pending(store: &Store) -> Position {
    assert_eq!(store.pending_timers(), 1);
    let found = store.pending_by_key(KEY, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    found[0].record.position
}

#[tokio::test]
async fn a_far_timer_is_carried_along_over_restarts_and_can_still_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut at = schedule(&store, "far", store.now_ms() + 3_600_000).await;
    for _ in 0..2 {
        push_out(&store, at).await;
        let now = only_pending(&store).await;
        assert!(now > at);
        at = now;
    }
    store.close();
    drop(store);
    let store = open(folder.path());
    let now = only_pending(&store).await;
    assert!(now >= at);
    push_out(&store, now).await;
    assert_eq!(store.cancel(at, Durability::Durable).await, Ok(false));
    // It may be carried on once more while it is looked for.
    let mut is_cancelled = false;
    while !is_cancelled {
        let last = only_pending(&store).await;
        assert!(last > now);
        is_cancelled = store.cancel(last, Durability::Durable).await.unwrap();
    }
    assert_eq!(store.pending_timers(), 0);
    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.pending_timers(), 0);
    store.close();
}

#[tokio::test]
async fn a_timer_that_was_carried_along_is_delivered_once_when_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let due = store.now_ms() + 4_000;
    let at = schedule(&store, "soon", due).await;
    push_out(&store, at).await;
    let is_early = store.now_ms() < due;
    let wait = store.arrival(QueueId(3), 0, TagFilter::All).unwrap();
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
    let read = store.read(QueueId(3), 0, LIMITS, &TagFilter::All).await;
    let messages = read.unwrap().messages;
    assert_eq!(messages.len(), 1);
    let record = &messages[0].record;
    assert!(record.stored_ms >= due);
    assert_eq!(record.tag_hash, 7);
    if is_early {
        assert!(record.fires().unwrap() > at, "the copy fired");
    }
    let mut body = messages[0].prefix.as_deref().unwrap_or_default().to_vec();
    body.extend_from_slice(&record.tail);
    assert_eq!(body, b"soon");
    assert_eq!(store.pending_timers(), 0);
    store.close();
}
