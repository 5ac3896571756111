//! Cancels against firings: of the two, exactly the one that comes first in the log takes effect, and whoever cancels
//! hears which it was.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use crossdock_store::api::{ReadLimits, TagFilter};
use crossdock_store::change;
use crossdock_store::log::LogConfig;
use crossdock_store::options::Options;
use crossdock_store::record::{Draft, Prepared};
use crossdock_store::store::Store;
use crossdock_store::types::{Durability, Flavour, Position, QueueId};
use smallvec::{SmallVec, smallvec};

const QUEUE: QueueId = QueueId(7);
const FAR_MS: i64 = 3_600_000;

fn open(folder: &Path) -> Store {
    let log = LogConfig {
        first_segment_bytes: 1 << 20,
        segment_bytes_max: 1 << 20,
        new_reach_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let options = Options {
        log,
        ..Options::default()
    };
    Store::open(folder, options).unwrap()
}

fn draft(body: &str) -> Draft {
    let tail: SmallVec<[Bytes; 6]> = smallvec![Bytes::copy_from_slice(body.as_bytes())];
    Draft::new(QUEUE, Flavour::Neutral, tail)
}

async fn schedule(store: &Store, body: &str, key: u64, due_ms: i64) -> Position {
    let mut draft = draft(body);
    draft.keys = smallvec![key];
    draft.due_ms = Some(due_ms);
    let record = smallvec![draft.prepare().unwrap()];
    store.append(record, Durability::Written).await.unwrap()[0].position
}

fn fire(timer: Position, body: &str) -> Prepared {
    let mut draft = draft(body);
    draft.fires = Some(timer);
    draft.prepare().unwrap()
}

async fn delivered(store: &Store) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut from = 0;
    let limits = ReadLimits {
        records: 1000,
        bytes: 1 << 20,
        scanned: 10_000,
    };
    loop {
        let read = store.read(QUEUE, from, limits, &TagFilter::All).await;
        let read = read.unwrap();
        if read.messages.is_empty() {
            return bodies;
        }
        for message in &read.messages {
            let mut body = message.prefix.as_deref().unwrap_or_default().to_vec();
            body.extend_from_slice(&message.record.tail);
            bodies.push(String::from_utf8(body).unwrap());
        }
        from = read.next;
    }
}

#[tokio::test]
async fn a_timer_is_cancelled_once_and_stays_so_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let due = store.now_ms() + FAR_MS;
    let kept = schedule(&store, "kept", 1, due).await;
    let gone = schedule(&store, "gone", 1, due).await;
    let found = store.pending_by_key(1, 10).await.unwrap();
    let found: Vec<_> = found.iter().map(|m| m.record.position).collect();
    assert_eq!(found, [gone, kept]);
    assert_eq!(store.cancel(gone, Durability::Durable).await, Ok(true));
    assert_eq!(store.cancel(gone, Durability::Durable).await, Ok(false));
    assert_eq!(
        store.cancel(Position(3), Durability::Durable).await,
        Ok(false)
    );
    assert_eq!(store.pending_timers(), 1);
    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.pending_timers(), 1);
    let found = store.pending_by_key(1, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record.position, kept);
    assert_eq!(store.cancel(gone, Durability::Durable).await, Ok(false));
    assert_eq!(store.cancel(kept, Durability::Durable).await, Ok(true));
    assert_eq!(store.pending_timers(), 0);
    assert!(delivered(&store).await.is_empty());
    store.close();
}

#[tokio::test]
async fn within_one_block_the_first_of_cancel_and_firing_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let due = store.now_ms() + FAR_MS;
    let early = schedule(&store, "a", 1, due).await;
    let late = schedule(&store, "b", 2, due).await;
    let batch = smallvec![
        change::cancel(early).unwrap(),
        fire(early, "never"),
        fire(late, "delivered"),
        change::cancel(late).unwrap(),
        draft("after").prepare().unwrap(),
    ];
    let receipt = store.append(batch, Durability::Written).await.unwrap();
    assert_eq!(receipt.len(), 3);
    assert_eq!(delivered(&store).await, ["delivered", "after"]);
    assert_eq!(store.pending_timers(), 0);
    // Nothing but left out records: an answer without places.
    let batch = smallvec![fire(early, "never"), change::cancel(late).unwrap()];
    let receipt = store.append(batch, Durability::Durable).await.unwrap();
    assert!(receipt.is_empty());
    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(delivered(&store).await, ["delivered", "after"]);
    assert_eq!(store.pending_timers(), 0);
    store.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_cancels_and_firings_share_the_timers_without_remainder() {
    const TIMERS: i64 = 1500;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // Due while they are being cancelled: three each millisecond, cancelled in the order they are due.
    let start = store.now_ms() + 300;
    let mut timers = Vec::new();
    for n in 0..TIMERS {
        let position = schedule(&store, &n.to_string(), 1, start + n / 3).await;
        timers.push((n.to_string(), position));
    }
    let wait = start + 20 - store.now_ms();
    tokio::time::sleep(Duration::from_millis(wait.max(0) as u64)).await;
    let mut tasks = Vec::new();
    for chunk in timers.chunks(100) {
        let (store, chunk) = (store.clone(), chunk.to_vec());
        tasks.push(tokio::spawn(async move {
            let mut cancelled = BTreeSet::new();
            for (body, position) in chunk {
                if store.cancel(position, Durability::Written).await.unwrap() {
                    cancelled.insert(body);
                }
            }
            cancelled
        }));
    }
    let mut cancelled = BTreeSet::new();
    for task in tasks {
        cancelled.extend(task.await.unwrap());
    }
    // Every timer was decided when its cancel was answered.
    assert_eq!(store.pending_timers(), 0);
    let fired = delivered(&store).await;
    let distinct: BTreeSet<_> = fired.iter().cloned().collect();
    assert_eq!(distinct.len(), fired.len(), "nothing is delivered twice");
    assert!(distinct.is_disjoint(&cancelled));
    assert_eq!(distinct.len() + cancelled.len(), timers.len());
    assert!(!fired.is_empty() && !cancelled.is_empty());
    store.close();
}
