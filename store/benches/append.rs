//! Appending with 256 producers of 1 KiB, beside a plain loop that writes (and syncs) the same bytes in blocks of the same
//! size to a file written before; then recovery of a large log. The log that is measured has reached its retention bound,
//! so that its segments are files written before as well. Run with `cargo bench -p crossdock-store --bench append`.
//!
//! `CROSSDOCK_BENCH_DIR` chooses the disk, `CROSSDOCK_BENCH_GIB` the size of the log that is recovered.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock_store::log::LogConfig;
use crossdock_store::options::Options;
use crossdock_store::record::Draft;
use crossdock_store::store::Store;
use crossdock_store::types::{Durability, Flavour, QueueId};
use smallvec::smallvec;

const PRODUCERS: u64 = 256;
const BODY: usize = 1024;
const MEASURED: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
const SEGMENT: u64 = 128 << 20;
const KEPT: u64 = 512 << 20;

struct Appended {
    messages: f64,
    bytes: f64,
    block: usize,
}

fn main() {
    let parent = std::env::var_os("CROSSDOCK_BENCH_DIR").map(PathBuf::from);
    let folder = match &parent {
        Some(parent) => tempfile::tempdir_in(parent).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    for durability in [Durability::Written, Durability::Durable] {
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let store = folder.path().join(format!("store-{durability:?}-{round}"));
            let appended = appended(&store, durability);
            std::fs::remove_dir_all(&store).unwrap();
            let plain = plain(&folder.path().join("plain"), appended.block, durability);
            let ratio = appended.bytes / plain;
            println!(
                "append {durability:?}: {:.0} msg/s, {:.0} MB/s in blocks of {} KiB; plain loop {:.0} MB/s; ratio {ratio:.2}",
                appended.messages,
                appended.bytes / 1e6,
                appended.block / 1024,
                plain / 1e6,
            );
            ratios.push(ratio);
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "append {durability:?}: median ratio {:.2}",
            ratios[ROUNDS / 2]
        );
    }
    let gib = std::env::var("CROSSDOCK_BENCH_GIB")
        .ok()
        .and_then(|g| g.parse().ok())
        .unwrap_or(5.0);
    recovery(&folder.path().join("recovery"), gib);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

async fn produce(store: Store, queue: u64, durability: Durability, until: Instant) -> u64 {
    let body = Bytes::from(vec![queue as u8; BODY]);
    let mut sent = 0;
    while Instant::now() < until {
        let draft = Draft::new(
            QueueId(queue + 1),
            Flavour::Neutral,
            smallvec![body.clone()],
        );
        store
            .append(smallvec![draft.prepare().unwrap()], durability)
            .await
            .unwrap();
        sent += 1;
    }
    sent
}

/// Rate of the store over the measured time, and the mean size of its blocks.
fn appended(folder: &Path, durability: Durability) -> Appended {
    let options = Options {
        log: LogConfig {
            first_segment_bytes: SEGMENT,
            segment_bytes_max: SEGMENT,
            new_reach_bytes: SEGMENT,
            ready_ahead: 2,
            ..LogConfig::default()
        },
        retain_bytes: Some(KEPT),
        retention_interval: Duration::from_millis(50),
        checkpoint_bytes: SEGMENT,
        ..Options::default()
    };
    let store = Store::open(folder, options).unwrap();
    let all = async |until: Instant| {
        let tasks: Vec<_> = (0..PRODUCERS)
            .map(|queue| tokio::spawn(produce(store.clone(), queue, durability, until)))
            .collect();
        let mut sent = 0;
        for task in tasks {
            sent += task.await.unwrap();
        }
        sent
    };
    let runtime = runtime();
    // Until segments are used again.
    while store.log_bounds().0.0 < 2 * SEGMENT {
        runtime.block_on(all(Instant::now() + Duration::from_secs(1)));
    }
    let (from, blocks_from) = (store.log_bounds().1, store.blocks_written());
    let begun = Instant::now();
    let sent = runtime.block_on(all(begun + MEASURED));
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = store.log_bounds().1.0 - from.0;
    let blocks = store.blocks_written() - blocks_from;
    store.close();
    Appended {
        messages: sent as f64 / seconds,
        bytes: bytes as f64 / seconds,
        block: (bytes / blocks.max(1)) as usize,
    }
}

/// Bytes per second of one thread that writes blocks to a file written before, syncing each if asked.
fn plain(path: &Path, block: usize, durability: Durability) -> f64 {
    const FILE: u64 = 1 << 30;
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let bytes = vec![7u8; block.max(512)];
    let zeros = vec![0u8; 1 << 20];
    for at in (0..FILE).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).unwrap();
    }
    file.sync_data().unwrap();
    let (begun, mut written, mut at) = (Instant::now(), 0u64, 0u64);
    while begun.elapsed() < MEASURED {
        if at + bytes.len() as u64 > FILE {
            at = 0;
        }
        file.write_all_at(&bytes, at).unwrap();
        if durability == Durability::Durable {
            file.sync_data().unwrap();
        } else if written / (64 << 20) != (written + bytes.len() as u64) / (64 << 20) {
            // The store does not let more than this go unsynced either.
            file.sync_data().unwrap();
        }
        at += bytes.len() as u64;
        written += bytes.len() as u64;
    }
    written as f64 / begun.elapsed().as_secs_f64()
}

/// Fills a log, ends without a clean close, and opens it again.
fn recovery(folder: &Path, gib: f64) {
    let goal = (gib * f64::from(1 << 30)) as u64;
    let store = Store::open(folder, Options::default()).unwrap();
    let runtime = runtime();
    while store.log_bounds().1.0 < goal {
        let until = Instant::now() + Duration::from_secs(1);
        runtime.block_on(async {
            let tasks: Vec<_> = (0..PRODUCERS)
                .map(|queue| {
                    tokio::spawn(produce(store.clone(), queue, Durability::Written, until))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
    let end = store.log_bounds().1;
    // The copy is what a killed process leaves behind: nothing was closed.
    let left = folder.with_extension("left");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(folder)
        .arg(&left)
        .status()
        .unwrap();
    assert!(copied.success());
    store.close();
    drop(store);
    let begun = Instant::now();
    let store = Store::open(&left, Options::default()).unwrap();
    println!(
        "recovery of a log of {:.1} GiB that was not closed: {:.2} s",
        end.0 as f64 / f64::from(1 << 30),
        begun.elapsed().as_secs_f64()
    );
    assert!(store.log_bounds().1 <= end);
    store.close();
}
