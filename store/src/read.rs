//! Reading: from queue entries to messages.
//!
//! Index entries say where records stand; their bytes come from the log as owned slices. Records near the end of the
//! log are read in place; older ones are read on threads of their own, because a page that is not in memory blocks its
//! reader for as long as the disk takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::api::{Bounds, Message, ReadError, ReadLimits, ReadOutcome, ReadStatus, TagFilter};
use crate::log::{self, LogReader};
use crate::record::{self, Record, TailSource};
use crate::types::{Position, QueueId};
use crate::view::{Entry, Views};

/// Entries fetched from the index at a time.
const ENTRIES_STEP: usize = 128;

/// How the bytes of records may be obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only from memory: give up when the disk might have to be asked.
    Memory,
    /// From the disk as well; damage is looked for.
    Disk,
}

/// The reading side of a store.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) log: LogReader,
    pub(crate) views: Arc<Views>,
    /// Bytes before the end of the log that count as being in memory.
    pub(crate) hot_bytes: u64,
    /// End of what is visible.
    pub(crate) committed: Arc<AtomicU64>,
    /// Records before it were not written by this process: their checksums are verified wherever they are read.
    pub(crate) foreign: Position,
}

impl Reader {
    /// A reader over a recovered log; `committed` is moved by whoever commits.
    #[must_use]
    pub fn new(
        log: LogReader,
        views: Arc<Views>,
        hot_bytes: u64,
        committed: Arc<AtomicU64>,
    ) -> Self {
        let foreign = Position(committed.load(Ordering::Acquire));
        Self {
            log,
            views,
            hot_bytes,
            committed,
            foreign,
        }
    }

    /// The segments of the log, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<log::SegmentView> {
        self.log.segments()
    }

    /// First readable position.
    #[must_use]
    pub fn log_start(&self) -> Position {
        self.log.start()
    }
}

impl Reader {
    /// Reads a queue. `None` if `access` does not suffice.
    pub fn read(
        &self,
        queue: QueueId,
        from: u64,
        limits: ReadLimits,
        filter: &TagFilter,
        access: Access,
    ) -> Option<Result<ReadOutcome, ReadError>> {
        let bounds = match self.views.bounds(queue) {
            Ok(bounds) => bounds,
            Err(error) => return Some(Err(ReadError::Index(error))),
        };
        if let Some((status, next)) = misplaced(from, bounds) {
            return Some(Ok(ReadOutcome {
                status,
                messages: Vec::new(),
                next,
                bounds,
            }));
        }
        let mut messages = Vec::new();
        let mut entries = Vec::<Entry>::new();
        let mut next = from;
        let mut scanned = 0;
        let mut bytes = 0;
        'reading: while next < bounds.max && scanned < limits.scanned {
            entries.clear();
            let step = ENTRIES_STEP.min(limits.scanned - scanned);
            if let Err(error) = self.views.entries(queue, next, step, &mut entries) {
                return Some(Err(ReadError::Index(error)));
            }
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                scanned += 1;
                let after = entry.end();
                if !filter.may_want(entry.tag_hash) {
                    next = after;
                    continue;
                }
                if messages.len() >= limits.records
                    || (!messages.is_empty() && bytes + entry.bytes as usize > limits.bytes)
                {
                    break 'reading;
                }
                match self.message(
                    queue,
                    entry.offset,
                    entry.position,
                    Some(entry.bytes),
                    access,
                )? {
                    Ok(message) => {
                        next = after;
                        if filter.wants(message.record.tag_hash) {
                            bytes += message.bytes();
                            messages.push(message);
                        }
                    }
                    // Retention took the record, or the earlier record it takes its bytes from, while we read.
                    Err(ReadError::Expired(_)) => next = after,
                    Err(error) if messages.is_empty() => return Some(Err(error)),
                    Err(_) => break 'reading,
                }
            }
        }
        let status = if messages.is_empty() {
            ReadStatus::NoMatch
        } else {
            ReadStatus::Found
        };
        Some(Ok(ReadOutcome {
            status,
            messages,
            next,
            bounds,
        }))
    }

    /// Reads the record at a position, with whatever it takes from an earlier one.
    pub fn message(
        &self,
        queue: QueueId,
        offset: u64,
        position: Position,
        bytes: Option<u32>,
        access: Access,
    ) -> Option<Result<Message, ReadError>> {
        let record = match self.record(position, bytes, access)? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let prefix = match record.source() {
            None => None,
            Some(source) => match self.prefix(source, access)? {
                Ok(prefix) => Some(prefix),
                Err(error) => return Some(Err(error)),
            },
        };
        Some(Ok(Message {
            record,
            queue,
            offset,
            prefix,
        }))
    }

    /// Messages under a key hash, newest first. Records that still wait for a timer are left out.
    pub(crate) fn by_key(
        &self,
        key: u64,
        from_ms: i64,
        to_ms: i64,
        max: usize,
    ) -> Result<Vec<Message>, ReadError> {
        let mut messages = Vec::new();
        for position in self
            .views
            .find(key, from_ms, to_ms, max.saturating_mul(2))
            .map_err(ReadError::Index)?
        {
            if messages.len() == max {
                break;
            }
            match self.standing(position, Access::Disk) {
                Some(Ok(message)) if !message.record.is_scheduled() => messages.push(message),
                Some(Err(ReadError::Expired(_) | ReadError::NotFound(_))) | Some(Ok(_)) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(messages)
    }

    /// Messages under a key hash that wait for their timer, newest first.
    pub(crate) fn pending_by_key(&self, key: u64, max: usize) -> Result<Vec<Message>, ReadError> {
        let views = &self.views;
        let mut messages = Vec::new();
        // A delivery is found under the same key as what it delivers.
        let most = max.saturating_mul(2);
        for position in views
            .find(key, i64::MIN, i64::MAX, most)
            .map_err(ReadError::Index)?
        {
            if messages.len() == max {
                break;
            }
            if !views.is_pending(position).map_err(ReadError::Index)? {
                continue;
            }
            match self.standing(position, Access::Disk) {
                Some(Ok(message)) => messages.push(message),
                Some(Err(ReadError::Expired(_) | ReadError::NotFound(_))) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(messages)
    }

    /// Reads the record at a position as a reader of its own queue would.
    pub(crate) fn standing(
        &self,
        position: Position,
        access: Access,
    ) -> Option<Result<Message, ReadError>> {
        let message = self.message(QueueId::NONE, 0, position, None, access)?;
        Some(message.map(|mut message| {
            message.queue = message.record.queue;
            message.offset = message.record.offset;
            message
        }))
    }

    fn prefix(&self, source: TailSource, access: Access) -> Option<Result<Bytes, ReadError>> {
        let record = match self.record(source.position, Some(source.record_bytes), access)? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let (from, to) = (source.from as usize, source.to as usize);
        if from > to || to > record.tail.len() {
            return Some(Err(ReadError::Damaged(source.position)));
        }
        Some(Ok(record.tail.slice(from..to)))
    }

    fn record(
        &self,
        position: Position,
        bytes: Option<u32>,
        access: Access,
    ) -> Option<Result<Record, ReadError>> {
        if position < self.log.start() {
            return Some(Err(ReadError::Expired(position)));
        }
        let end = Position(self.committed.load(Ordering::Acquire));
        if position >= end {
            return Some(Err(ReadError::NotFound(position)));
        }
        let hot = end.0 - position.0 <= self.hot_bytes;
        if !hot && access == Access::Memory {
            return None;
        }
        Some(self.fetch(position, bytes, hot))
    }

    fn fetch(
        &self,
        position: Position,
        bytes: Option<u32>,
        hot: bool,
    ) -> Result<Record, ReadError> {
        let get = |length: usize| {
            let read = if hot {
                self.log.read(position, length)
            } else {
                self.log.read_cold(position, length)
            };
            read.map_err(|error| at(error, position))
        };
        let length = match bytes {
            Some(bytes) => bytes as usize,
            None => {
                let head = get(record::RECORD_HEADER)?;
                record::announced(&head).map_err(|_| ReadError::NotFound(position))?
            }
        };
        let raw = get(length)?;
        let check_body = !hot || position < self.foreign;
        Record::decode(&raw, position, check_body).map_err(|_| match bytes {
            Some(_) => ReadError::Damaged(position),
            None => ReadError::NotFound(position),
        })
    }
}

fn at(error: log::ReadError, position: Position) -> ReadError {
    match error {
        log::ReadError::TooOld { .. } => ReadError::Expired(position),
        log::ReadError::Beyond { .. } | log::ReadError::Range => ReadError::NotFound(position),
        log::ReadError::Damaged { .. } => ReadError::Damaged(position),
        log::ReadError::Io(error) => ReadError::Io(error.to_string()),
    }
}

/// Status and corrected offset of a read that starts outside the readable range.
fn misplaced(from: u64, bounds: Bounds) -> Option<(ReadStatus, u64)> {
    if bounds.min == bounds.max && from != bounds.max {
        return Some((ReadStatus::Empty, bounds.max));
    }
    if from < bounds.min {
        return Some((ReadStatus::TooSmall, bounds.min));
    }
    if from > bounds.max {
        return Some((ReadStatus::TooLarge, bounds.max));
    }
    (from == bounds.max).then_some((ReadStatus::AtEnd, from))
}

impl Message {
    /// Bytes of the whole tail.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.prefix.as_ref().map_or(0, Bytes::len) + self.record.tail.len()
    }

    /// Names a part of this message's tail so that a later record can begin with it, without copying.
    ///
    /// `None` if the part spans two records; then the bytes have to be copied.
    #[must_use]
    pub fn source(&self, from: usize, to: usize) -> Option<TailSource> {
        let range = |source: TailSource, from: usize, to: usize| TailSource {
            from: source.from + from as u32,
            to: source.from + to as u32,
            ..source
        };
        let whole = TailSource {
            position: self.record.position,
            record_bytes: self.record.bytes,
            from: 0,
            to: 0,
        };
        match (&self.prefix, self.record.source()) {
            (Some(prefix), Some(source)) if to <= prefix.len() => Some(range(source, from, to)),
            (Some(prefix), _) if from >= prefix.len() => {
                Some(range(whole, from - prefix.len(), to - prefix.len()))
            }
            (Some(_), _) => None,
            (None, _) => Some(range(whole, from, to)),
        }
    }
}
