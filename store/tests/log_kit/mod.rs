//! Shared by the log's tests: small logs on a simulated disk, records whose content can be checked.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and a test may stop where it stands"
)]

use std::sync::Arc;

use bytes::Bytes;
use crossdock_store::io::Disk;
use crossdock_store::io::sim::{SimClock, SimDisk};
use crossdock_store::log::{
    BlockSpan, LogConfig, LogError, LogId, LogReader, LogWriter, OpenError, ReadError, Recovery,
};
use crossdock_store::record::{Draft, Prepared, Record, Stamp};
use crossdock_store::types::{Flavour, Position, QueueId};
use smallvec::smallvec;

/// Queue, offset, bytes of the tail.
pub(crate) type Entry = (u64, u64, usize);

pub(crate) fn clock() -> Arc<SimClock> {
    Arc::new(SimClock::at(1_000_000))
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        new_log_id: LogId(0x00C0_FFEE),
        first_segment_bytes: 16 << 10,
        segment_bytes_max: 32 << 10,
        block_bytes: 4 << 10,
        disk_bytes_max: 1 << 20,
        unsynced_bytes_max: 64 << 10,
        ..LogConfig::default()
    }
}

pub(crate) fn open_with(
    disk: &SimDisk,
    config: LogConfig,
) -> Result<(LogWriter, LogReader, Recovery), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    LogWriter::open(disk, clock(), config)
}

pub(crate) fn open(disk: &SimDisk) -> Result<(LogWriter, LogReader, Recovery), OpenError> {
    open_with(disk, config())
}

/// A byte sequence that tells queue and offset, so that no two records have equal tails.
pub(crate) fn tail(queue: u64, offset: u64, bytes: usize) -> Bytes {
    let seed = (queue << 32 | offset).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut out = seed.to_le_bytes().repeat(bytes / 8 + 1);
    out.truncate(bytes);
    out.into()
}

pub(crate) fn prepared(queue: u64, offset: u64, bytes: usize) -> Prepared {
    let tail = smallvec![tail(queue, offset, bytes)];
    Draft::new(QueueId(queue), Flavour::Neutral, tail)
        .prepare()
        .unwrap()
}

pub(crate) fn push(
    log: &mut LogWriter,
    entry: Entry,
    stored_ms: i64,
) -> Result<Position, LogError> {
    let (queue, offset, bytes) = entry;
    let position = log.next_position();
    let stamp = Stamp {
        position,
        offset,
        dispatch_offsets: &[],
        stored_ms,
    };
    log.push(&prepared(queue, offset, bytes), &stamp)?;
    Ok(position)
}

/// Appends one block.
pub(crate) fn append(log: &mut LogWriter, entries: &[Entry]) -> Result<BlockSpan, LogError> {
    // Asking for the room of all records keeps them in one block.
    let bytes = entries
        .iter()
        .map(|(queue, offset, bytes)| prepared(*queue, *offset, *bytes).bytes());
    let ms = log.begin(1_000_000, bytes.sum())?;
    for entry in entries {
        push(log, *entry, ms)?;
    }
    log.write()
}

/// All records from `from` on; panics on a record whose bytes are not what was appended.
pub(crate) fn records(reader: &LogReader, from: Position) -> Result<Vec<Entry>, ReadError> {
    let mut found = Vec::new();
    for block in reader.blocks(from) {
        for record in block?.records() {
            found.push(check(&record?));
        }
    }
    Ok(found)
}

pub(crate) fn check(record: &Record) -> Entry {
    let (queue, offset, bytes) = (record.queue.0, record.offset, record.tail.len());
    assert_eq!(
        record.tail,
        tail(queue, offset, bytes),
        "wrong bytes in {queue}/{offset}"
    );
    (queue, offset, bytes)
}

/// Appends blocks of one record each until `until`, syncing each; returns the spans.
pub(crate) fn fill(log: &mut LogWriter, from: u64, until: u64, bytes: usize) -> Vec<BlockSpan> {
    let one = |offset| {
        let span = append(log, &[(1, offset, bytes)]).unwrap();
        log.sync().unwrap();
        span
    };
    (from..until).map(one).collect()
}

/// File name and offset of a position.
pub(crate) fn place(reader: &LogReader, position: Position) -> (String, u64) {
    let inside = |s: &crossdock_store::log::SegmentView| s.base <= position && position < s.end;
    let segment = reader
        .segments()
        .into_iter()
        .find(inside)
        .expect("position is in a segment");
    (
        format!("log/{:020}", segment.base.0),
        4096 + position.0 - segment.base.0,
    )
}
