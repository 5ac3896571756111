//! Snapshots of the small state, in our own checked files.
//!
//! The log is trimmed, and so the database would be the only place of what was defined before the log's start. A snapshot
//! is what makes it expendable: tables, positions, timers and the head of every queue, as they were at one position of
//! the log. It is written under another name, synced and renamed; the newest two are kept.
//!
//! A file is a header (magic, version, position, length and checksum of the body, checksum of the header) and a body of
//! rows as the database has them: space, length of key, length of value, key, value.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ViewError;
use super::queue::Head;
use super::queue::chunk::{u32_at, u64_at};
use crate::io::{Disk, File, IoError};
use crate::kv::{KV_KEY_MAX, KvStore, Order, Space};
use crate::types::Position;

const FOLDER: &str = "snapshots";
const UNFINISHED: &str = "snapshots/unfinished";
/// Snapshots kept.
const KEPT: usize = 2;
const MAGIC: u64 = 0x7061_6e73_6b63_6f64;
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
const ROW_HEADER_BYTES: usize = 9;
/// Longest value of a row.
const VALUE_MAX: usize = crate::change::VALUE_MAX;
/// Bytes read or written at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// The spaces a snapshot holds.
const SPACES: [Space; 6] = [
    Space::Rows,
    Space::Positions,
    Space::Retired,
    Space::Queues,
    Space::Floors,
    Space::Timers,
];

fn name(position: Position) -> String {
    format!("{FOLDER}/{:020}", position.0)
}

/// Receives the body of a snapshot.
trait Sink {
    fn put(&mut self, bytes: &[u8]) -> Result<(), IoError>;
}

/// Learns the length and the checksum of a body before it is written.
#[derive(Default)]
struct Measure {
    bytes: u64,
    crc: u32,
}

impl Sink for Measure {
    fn put(&mut self, bytes: &[u8]) -> Result<(), IoError> {
        self.bytes += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(())
    }
}

struct Writer<'a> {
    file: &'a dyn File,
    at: u64,
    buffer: Vec<u8>,
}

impl Writer<'_> {
    fn flush(&mut self) -> Result<(), IoError> {
        self.file.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), IoError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }
}

/// Sends the small state of the database to a sink.
fn send(kv: &dyn KvStore, sink: &mut dyn Sink) -> Result<(), ViewError> {
    let mut outcome = Ok(());
    for space in SPACES {
        kv.range(space, &[], None, Order::Ascending, &mut |key, value| {
            let value = match space {
                Space::Queues => Head::of_value(value),
                _ => value,
            };
            let mut row = Vec::with_capacity(ROW_HEADER_BYTES + key.len() + value.len());
            row.push(space as u8);
            row.extend_from_slice(&(key.len() as u32).to_le_bytes());
            row.extend_from_slice(&(value.len() as u32).to_le_bytes());
            row.extend_from_slice(key);
            row.extend_from_slice(value);
            outcome = sink.put(&row);
            outcome.is_ok()
        })?;
        outcome.clone()?;
    }
    Ok(())
}

fn header(position: Position, measure: &Measure) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC.to_le_bytes());
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&position.0.to_le_bytes());
    header.extend_from_slice(&measure.bytes.to_le_bytes());
    header.extend_from_slice(&measure.crc.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

/// Reads a body in order.
struct Reader {
    file: Arc<dyn File>,
    at: u64,
    end: u64,
}

impl Reader {
    /// Opens a snapshot and verifies all of it; `None` if it is not whole.
    fn open(disk: &dyn Disk, position: Position) -> Result<Option<Self>, IoError> {
        let file = match disk.open(&name(position)) {
            Err(IoError::NotFound(_)) => return Ok(None),
            other => other?,
        };
        let mut found = [0; HEADER_BYTES];
        if file.len() < HEADER_BYTES as u64 || file.read_at(0, &mut found).is_err() {
            return Ok(None);
        }
        let measure = Measure {
            bytes: u64_at(&found, 20).unwrap_or_default(),
            crc: u32_at(&found, 28).unwrap_or_default(),
        };
        let end = measure.bytes.checked_add(HEADER_BYTES as u64);
        if header(position, &measure) != found || end != Some(file.len()) {
            return Ok(None);
        }
        let mut reader = Self {
            at: HEADER_BYTES as u64,
            end: file.len(),
            file,
        };
        let mut seen = Measure::default();
        while reader.at < reader.end {
            let left = usize::try_from(reader.end - reader.at).unwrap_or(BUFFER_BYTES);
            let Ok(part) = reader.take(left.min(BUFFER_BYTES)) else {
                return Ok(None);
            };
            seen.put(&part)?;
        }
        reader.at = HEADER_BYTES as u64;
        Ok((seen.crc == measure.crc).then_some(reader))
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, IoError> {
        let mut out = vec![0; bytes];
        self.file.read_at(self.at, &mut out)?;
        self.at += bytes as u64;
        Ok(out)
    }

    fn rows(
        &mut self,
        mut visit: impl FnMut(Space, &[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        const MALFORMED: ViewError = ViewError::Damaged("snapshot");
        let mut buffer: Vec<u8> = Vec::new();
        let mut used = 0;
        loop {
            let rest = buffer.get(used..).unwrap_or_default();
            let lengths = (u32_at(rest, 1), u32_at(rest, 5));
            let row = match lengths {
                (Some(key), Some(value)) => {
                    let (key, value) = (key as usize, value as usize);
                    if key > KV_KEY_MAX || value > VALUE_MAX {
                        return Err(MALFORMED);
                    }
                    let body = rest.get(ROW_HEADER_BYTES..ROW_HEADER_BYTES + key + value);
                    body.map(|body| (body.split_at(key), ROW_HEADER_BYTES + key + value))
                }
                _ => None,
            };
            let Some(((key, value), length)) = row else {
                buffer.drain(..used);
                used = 0;
                let left = usize::try_from(self.end - self.at).unwrap_or(BUFFER_BYTES);
                if left == 0 {
                    return if buffer.is_empty() {
                        Ok(())
                    } else {
                        Err(MALFORMED)
                    };
                }
                buffer.extend(self.take(left.min(BUFFER_BYTES))?);
                continue;
            };
            let number = rest.first().copied();
            let space = SPACES.into_iter().find(|s| Some(*s as u8) == number);
            if !visit(space.ok_or(MALFORMED)?, key, value) {
                return Err(MALFORMED);
            }
            used += length;
        }
    }
}

/// The snapshots of a disk.
#[derive(Debug)]
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    /// Oldest and newest kept; `u64::MAX` without any.
    oldest: AtomicU64,
}

impl Snapshots {
    /// Finds the snapshots that can be of use to a log with these bounds and removes all others: one from beyond the
    /// log's end tells of records that are gone.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        log_start: Position,
        log_end: Position,
    ) -> Result<Self, ViewError> {
        let snapshots = Self {
            disk,
            oldest: AtomicU64::new(u64::MAX),
        };
        let mut removed = false;
        for entry in snapshots.disk.list(FOLDER)? {
            let known = position_of(&entry.name);
            if known.is_none_or(|at| at < log_start || at > log_end) {
                snapshots.disk.remove(&entry.name)?;
                removed = true;
            }
        }
        if removed {
            snapshots.disk.sync_dir(FOLDER)?;
        }
        snapshots.note()?;
        Ok(snapshots)
    }

    /// Positions of the snapshots there are, oldest first.
    pub(crate) fn list(&self) -> Result<Vec<Position>, ViewError> {
        let names = self.disk.list(FOLDER)?;
        let mut all: Vec<_> = names.iter().filter_map(|e| position_of(&e.name)).collect();
        all.sort_unstable();
        Ok(all)
    }

    fn note(&self) -> Result<(), ViewError> {
        let oldest = self.list()?.first().map_or(u64::MAX, |p| p.0);
        self.oldest.store(oldest, Ordering::Release);
        Ok(())
    }

    /// The oldest snapshot kept.
    pub(crate) fn oldest(&self) -> Option<Position> {
        let oldest = self.oldest.load(Ordering::Acquire);
        (oldest != u64::MAX).then_some(Position(oldest))
    }

    /// Writes the small state of a database that has applied exactly what is before `position`.
    pub(crate) fn write(&self, kv: &dyn KvStore, position: Position) -> Result<(), ViewError> {
        let mut measure = Measure::default();
        send(kv, &mut measure)?;
        match self.disk.remove(UNFINISHED) {
            Err(IoError::NotFound(_)) => {}
            other => other?,
        }
        let bytes = HEADER_BYTES as u64 + measure.bytes;
        let file = self.disk.create(UNFINISHED, bytes)?;
        let mut writer = Writer {
            file: &*file,
            at: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES),
        };
        writer.put(&header(position, &measure))?;
        send(kv, &mut writer)?;
        writer.flush()?;
        if writer.at != bytes {
            return Err(ViewError::Damaged("snapshot changed while it was written"));
        }
        file.sync_data()?;
        self.disk.rename(UNFINISHED, &name(position))?;
        self.disk.sync_dir(FOLDER)?;
        let all = self.list()?;
        for old in &all[..all.len().saturating_sub(KEPT)] {
            self.disk.remove(&name(*old))?;
        }
        self.note()
    }

    /// Reads a snapshot, row by row; false if there is none that is whole. What `visit` refuses is malformed.
    pub(crate) fn read(
        &self,
        position: Position,
        visit: impl FnMut(Space, &[u8], &[u8]) -> bool,
    ) -> Result<bool, ViewError> {
        let Some(mut reader) = Reader::open(&*self.disk, position)? else {
            return Ok(false);
        };
        reader.rows(visit)?;
        Ok(true)
    }

    /// Removes a snapshot that turned out to be of no use.
    pub(crate) fn discard(&self, position: Position) -> Result<(), ViewError> {
        self.disk.remove(&name(position))?;
        self.disk.sync_dir(FOLDER)?;
        self.note()
    }
}

fn position_of(name: &str) -> Option<Position> {
    let digits = name.rsplit_once('/').map_or(name, |(_, file)| file);
    (digits.len() == 20)
        .then(|| digits.parse().ok().map(Position))
        .flatten()
}
