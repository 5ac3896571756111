//! The one writer of the log: stages a block, writes it with one call, syncs, rolls, trims.
//!
//! Owned by one thread, which decides when to write and when to sync. Any failed write or sync fences it: nothing is
//! retried, because neither the file nor a later success tells what is on the disk. A full disk is not a failure.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::io::{Clock, Disk, IoError};
use crate::record::{Prepared, RECORD_MAX, Stamp};
use crate::types::{Flavour, Position};

use super::FOLDER;
use super::block::{
    BLOCK_ALIGN, BLOCK_HEADER, BlockHeader, BlockKind, FooterSum, chain_of, span_of,
};
use super::config::LogConfig;
use super::error::{LogError, OpenError};
use super::pool::{Pool, Prewriter};
use super::reader::{LogReader, Shared};
use super::recover::{Recovery, recover};
use super::segment::{Mark, SEGMENT_HEADER, Segment, SegmentHeader};
use super::superblock::{Superblock, SuperblockFile};

/// Segments that may wait for a sync together; a roll beyond it syncs.
const UNSYNCED_SEGMENTS_MAX: usize = 4;

/// What a written block was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSpan {
    /// Where it stands.
    pub position: Position,
    /// Where the next block stands.
    pub next: Position,
    /// Where its first record stands.
    pub first_record: Position,
    /// Its number.
    pub index: u64,
    /// Epoch of the writer.
    pub epoch: u64,
    /// Number of its records.
    pub records: u32,
    /// Bytes of its records.
    pub payload_bytes: u32,
    /// Store time of its records.
    pub stored_ms: i64,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// First position that is left.
    pub start: Position,
    /// Segments kept as spares.
    pub recycled: usize,
    /// Segments removed.
    pub removed: usize,
}

/// A sync of what was written when it began, to be run beside the writer.
///
/// A system tells of a failed sync once, and a later sync of the same file may succeed although bytes are lost. So no
/// sync of the writer's own overtakes this one: it waits for the outcome, or runs this one first.
#[derive(Debug)]
pub struct SyncJob {
    segments: Vec<Arc<Segment>>,
    mark: Mark,
    outcome: Mutex<Option<Result<(), IoError>>>,
}

impl SyncJob {
    /// Syncs, once; waits if it is under way.
    ///
    /// # Errors
    /// What became durable is unknown.
    pub fn run(&self) -> Result<(), IoError> {
        let mut outcome = self.outcome.lock();
        let sync = || {
            let mut segments = self.segments.iter();
            segments.try_for_each(|segment| segment.file.sync_data())
        };
        outcome.get_or_insert_with(sync).clone()
    }
}

/// The block being put together. The bytes stay until the next one is begun.
#[derive(Debug, Default)]
struct Staging {
    bytes: Vec<u8>,
    is_open: bool,
    position: Position,
    stored_ms: i64,
    records: u32,
    payload_bytes: usize,
    /// Bytes of records the block takes: a batch that is larger than a block usually is gets a block of its size.
    most: usize,
    has_system: bool,
    has_data: bool,
}

/// What recovery hands over.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: LogConfig,
    pub(super) superblock: SuperblockFile,
    pub(super) pool: Arc<Pool>,
    pub(super) shared: Arc<Shared>,
    pub(super) active: Option<Arc<Segment>>,
    pub(super) mark: Mark,
    pub(super) epoch: u64,
}

/// Appends to the log.
#[derive(Debug)]
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    config: LogConfig,
    superblock: SuperblockFile,
    pool: Arc<Pool>,
    shared: Arc<Shared>,
    /// Segment that holds, or ends at, the next position. `None` only before the first block of a log.
    active: Option<Arc<Segment>>,
    unsynced: Vec<Arc<Segment>>,
    /// A sync that was begun and whose outcome was not taken over yet.
    syncing: Option<Arc<SyncJob>>,
    epoch: u64,
    /// The next block; ahead of `written` by a pad after a roll.
    next: Mark,
    written: Mark,
    durable: Mark,
    commit: Position,
    staging: Staging,
    fenced: Option<LogError>,
}

impl LogWriter {
    /// Opens the log on `disk`, creating it if there is none, and recovers what is there.
    ///
    /// # Errors
    /// Durable bytes are damaged, or a file cannot be read or written. In both cases nothing that was durable changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: LogConfig,
    ) -> Result<(Self, LogReader, Recovery), OpenError> {
        config.validate()?;
        let (parts, recovery) = recover(disk, clock, config)?;
        let reader = LogReader::of(&parts.shared);
        Ok((Self::of(parts), reader, recovery))
    }

    fn of(parts: Parts) -> Self {
        Self {
            disk: parts.disk,
            clock: parts.clock,
            staging: Staging::default(),
            config: parts.config,
            commit: parts.superblock.state.commit,
            superblock: parts.superblock,
            pool: parts.pool,
            shared: parts.shared,
            active: parts.active,
            unsynced: Vec::new(),
            syncing: None,
            epoch: parts.epoch,
            next: parts.mark,
            written: parts.mark,
            durable: parts.mark,
            fenced: None,
        }
    }

    /// A reader of this log.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::of(&self.shared)
    }

    /// Epoch of this writer.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// First position not written.
    #[must_use]
    pub fn written(&self) -> Position {
        self.written.position
    }

    /// First position not known to be durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable.position
    }

    /// Why the writer is fenced, if it is.
    #[must_use]
    pub fn fenced(&self) -> Option<&LogError> {
        self.fenced.as_ref()
    }

    /// Bytes all files of the log take on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.pool.used()
    }

    /// How far back a record may borrow bytes.
    #[must_use]
    pub fn reach_bytes(&self) -> u64 {
        self.superblock.state.reach_bytes
    }

    /// Wall clock of the newest block; store times never fall below it.
    #[must_use]
    pub fn last_ms(&self) -> i64 {
        self.next.wall_ms
    }

    /// The superblock as last written.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock.state
    }

    /// Begins a block whose first records, to be committed together, take `first_bytes`, moving to the next segment if this one has no room for
    /// it. Returns the store time of the block: `stored_ms`, or the last block's if the clock went back. A block that
    /// was begun and not written is dropped.
    ///
    /// # Errors
    /// [`LogError::Full`] leaves the writer as it was; any other failure of the disk fences it.
    pub fn begin(&mut self, stored_ms: i64, first_bytes: usize) -> Result<i64, LogError> {
        self.check()?;
        self.staging.is_open = false;
        if first_bytes > RECORD_MAX {
            return Err(LogError::TooLarge(first_bytes));
        }
        if self.room() < span_of(first_bytes) {
            self.roll(span_of(first_bytes))?;
        }
        let staging = &mut self.staging;
        // One huge record must not hold its memory for ever.
        if staging.bytes.capacity() > 4 * (self.config.block_bytes + BLOCK_ALIGN) {
            staging.bytes = Vec::new();
        }
        staging.bytes.clear();
        staging.bytes.resize(BLOCK_HEADER, 0);
        staging.is_open = true;
        staging.position = self.next.position;
        staging.stored_ms = stored_ms.max(self.next.wall_ms);
        staging.records = 0;
        staging.payload_bytes = 0;
        staging.most = self.config.block_bytes.max(first_bytes);
        staging.has_system = false;
        staging.has_data = false;
        Ok(staging.stored_ms)
    }

    /// Where the next pushed record will stand.
    #[must_use]
    pub fn next_position(&self) -> Position {
        self.staging
            .position
            .plus((BLOCK_HEADER + self.staging.payload_bytes) as u64)
    }

    /// True if the block that was begun has room for a record of `bytes`.
    #[must_use]
    pub fn fits(&self, bytes: usize) -> bool {
        let staging = &self.staging;
        let Some(payload) = staging.payload_bytes.checked_add(bytes) else {
            return false;
        };
        staging.is_open && payload <= staging.most && span_of(payload) <= self.room()
    }

    /// Adds a record to the block.
    ///
    /// # Errors
    /// The record does not fit, or is stamped for another place. The block stays as it was.
    pub fn push(&mut self, record: &Prepared, stamp: &Stamp<'_>) -> Result<(), LogError> {
        self.check()?;
        if !self.staging.is_open {
            return Err(LogError::NoBlock);
        }
        if !self.fits(record.bytes()) {
            return Err(LogError::BlockFull);
        }
        let expected = self.next_position();
        if stamp.position != expected {
            return Err(LogError::Misplaced {
                found: stamp.position,
                expected,
            });
        }
        let staging = &mut self.staging;
        let at = staging.bytes.len();
        record.encode(stamp, &mut staging.bytes);
        let is_system = staging.bytes.get(at + 5) == Some(&(Flavour::System as u8));
        staging.has_system |= is_system;
        staging.has_data |= !is_system;
        staging.payload_bytes += record.bytes();
        staging.records += 1;
        Ok(())
    }

    /// The records pushed so far; after a write those of the written block. They stand at the block's first record.
    #[must_use]
    pub fn staged(&self) -> &[u8] {
        let from = BLOCK_HEADER.min(self.staging.bytes.len());
        let to = (from + self.staging.payload_bytes).min(self.staging.bytes.len());
        &self.staging.bytes[from..to]
    }

    /// Drops the block that was begun.
    pub fn abort(&mut self) {
        self.staging.is_open = false;
        self.staging.payload_bytes = 0;
        self.staging.records = 0;
    }

    /// Writes the block with one call and publishes the written mark. Syncs first if too much would be un-synced.
    ///
    /// # Errors
    /// [`LogError::NoBlock`] without a pushed record. A failed write fences.
    pub fn write(&mut self) -> Result<BlockSpan, LogError> {
        self.check()?;
        if !self.staging.is_open || self.staging.records == 0 {
            return Err(LogError::NoBlock);
        }
        let span = span_of(self.staging.payload_bytes);
        let behind = self.next.position.0 - self.durable.position.0;
        if behind > 0 && behind.saturating_add(span) > self.config.unsynced_bytes_max {
            self.sync()?;
        }
        let header = self.seal();
        let Some(active) = self.active.clone() else {
            return Err(LogError::NoBlock);
        };
        let at = active.offset(header.position);
        if let Err(e) = active.file.write_at(at, &self.staging.bytes) {
            return Err(self.fence(e));
        }
        active.note_block(header.wall_ms);
        self.note_unsynced(&active);
        self.next = mark_after(&self.staging.bytes, &header, self.next.chain);
        self.written = self.next;
        self.shared.publish_written(self.written.position);
        self.staging.is_open = false;
        Ok(BlockSpan {
            position: header.position,
            next: header.next(),
            first_record: header.first_record(),
            index: header.index,
            epoch: header.epoch,
            records: header.records,
            payload_bytes: header.payload_bytes,
            stored_ms: header.wall_ms,
        })
    }

    /// Completes the staged bytes to a whole block.
    fn seal(&mut self) -> BlockHeader {
        let staging = &mut self.staging;
        let kind = match (staging.has_data, staging.has_system) {
            (true, true) => BlockKind::Mixed,
            (false, true) => BlockKind::System,
            _ => BlockKind::Data,
        };
        let header = BlockHeader {
            kind,
            position: staging.position,
            index: self.next.index,
            epoch: self.epoch,
            payload_bytes: staging.payload_bytes as u32,
            records: staging.records,
            wall_ms: staging.stored_ms,
            chain: self.next.chain,
            durable: self.durable.position,
        };
        let raw = header.encode(self.shared.log);
        staging.bytes[..BLOCK_HEADER].copy_from_slice(&raw);
        let mut sum = FooterSum::new(&raw);
        let mut rest = &staging.bytes[BLOCK_HEADER..];
        while let Some(length) = rest.first_chunk() {
            sum.add(rest);
            rest = rest
                .get(u32::from_le_bytes(*length) as usize..)
                .unwrap_or_default();
        }
        staging.bytes.extend_from_slice(&sum.encode());
        staging
            .bytes
            .resize(span_of(staging.payload_bytes) as usize, 0);
        header
    }

    /// Makes everything written durable and publishes the durable mark. Does nothing if it is already.
    ///
    /// # Errors
    /// A failed sync fences; what became durable is unknown.
    pub fn sync(&mut self) -> Result<Position, LogError> {
        self.finish_sync()?;
        for at in 0..self.unsynced.len() {
            if let Err(e) = self.unsynced[at].file.sync_data() {
                return Err(self.fence(e));
            }
        }
        self.unsynced.clear();
        self.durable = self.written;
        self.shared.publish_durable(self.durable.position);
        Ok(self.durable.position)
    }

    /// What has to be synced to make everything durable that is written now; `None` if it is. The writer goes on meanwhile
    /// and hears of the outcome by [`LogWriter::finish_sync`].
    #[must_use]
    pub fn begin_sync(&mut self) -> Option<Arc<SyncJob>> {
        let is_behind = self.durable.position < self.written.position;
        if self.fenced.is_some() || self.syncing.is_some() || !is_behind {
            return None;
        }
        let job = Arc::new(SyncJob {
            segments: self.unsynced.clone(),
            mark: self.written,
            outcome: Mutex::default(),
        });
        self.syncing = Some(Arc::clone(&job));
        Some(job)
    }

    /// Takes over the outcome of the sync that was begun, waiting for it if need be.
    ///
    /// # Errors
    /// A failed sync fences.
    pub fn finish_sync(&mut self) -> Result<Position, LogError> {
        self.check()?;
        let Some(job) = self.syncing.take() else {
            return Ok(self.durable.position);
        };
        if let Err(e) = job.run() {
            return Err(self.fence(e));
        }
        if self.durable.position < job.mark.position {
            self.durable = job.mark;
            self.shared.publish_durable(self.durable.position);
        }
        // A segment that is written still may hold newer bytes.
        self.unsynced.retain(|s| s.end() > self.durable.position);
        Ok(self.durable.position)
    }

    /// True if a block of so many bytes of records needs neither another segment nor a sync.
    #[must_use]
    pub fn is_ready_for(&self, bytes: usize) -> bool {
        let span = span_of(bytes);
        let behind = self.next.position.0 - self.durable.position.0;
        self.fenced.is_none()
            && span <= self.room()
            && behind.saturating_add(span) <= self.config.unsynced_bytes_max
    }

    /// Most bytes that may be written and not synced.
    #[must_use]
    pub fn unsynced_bytes_max(&self) -> u64 {
        self.config.unsynced_bytes_max
    }

    /// Tells up to where the log is committed, for the next superblock.
    pub fn set_commit(&mut self, commit: Position) {
        self.commit = commit;
    }

    /// Records the durable mark as the place where recovery begins. Wanted at every roll, every 64 MiB or second, and
    /// with `clean` as the very last call: a clean log is opened without a scan.
    ///
    /// # Errors
    /// A failed write or sync fences. `clean` syncs first.
    pub fn write_superblock(&mut self, clean: bool) -> Result<(), LogError> {
        if clean {
            self.sync()?;
        }
        self.check()?;
        let state = &mut self.superblock.state;
        state.durable = self.durable;
        state.commit = self.commit.min(self.durable.position);
        state.is_clean = clean;
        state.start = self.shared.start();
        if let Err(e) = self.superblock.write() {
            return Err(self.fence(e));
        }
        Ok(())
    }

    /// Gives up whole segments that end at or below `before` and are durable, never the active one. They become spares,
    /// or are removed if somebody still reads them, if there are spares enough, or if their size is out of use.
    ///
    /// # Errors
    /// A failed superblock fences. A file that cannot be put away does not; the next start does it.
    pub fn trim(&mut self, before: Position) -> Result<Trimmed, LogError> {
        self.check()?;
        let active = self.active.as_ref().map_or(Position::ZERO, |s| s.base());
        let before = before.min(self.durable.position).min(active);
        let start = self.shared.start_after_trim(before);
        let mut trimmed = Trimmed {
            start,
            recycled: 0,
            removed: 0,
        };
        if start <= self.shared.start() {
            return Ok(Trimmed {
                start: self.shared.start(),
                ..trimmed
            });
        }
        let segments = self.shared.trim(start);
        // First the start, then the files: a crash in between leaves files that the next start puts away.
        self.superblock.state.holes = self.shared.holes();
        self.write_superblock(false)?;
        let mut failure = None;
        for segment in segments {
            let (name, bytes) = (segment.name(), segment.file.len());
            let file = Arc::into_inner(segment).and_then(Segment::into_unread_file);
            match self.pool.give(&name, bytes, file) {
                Ok(true) => trimmed.recycled += 1,
                Ok(false) => trimmed.removed += 1,
                Err(e) => failure = Some(e),
            }
        }
        match failure {
            Some(e) => Err(LogError::Io(e)),
            None => Ok(trimmed),
        }
    }

    /// See [`Prewriter::step`].
    ///
    /// # Errors
    /// As [`Prewriter::step`].
    pub fn prewrite_step(&self, budget: u64) -> Result<bool, LogError> {
        self.prewriter().step(budget)
    }

    /// A handle that fills segments ahead of this writer, for a thread of its own.
    #[must_use]
    pub fn prewriter(&self) -> Prewriter {
        Prewriter::of(&self.pool)
    }

    fn check(&self) -> Result<(), LogError> {
        self.fenced.clone().map_or(Ok(()), Err)
    }

    fn fence(&mut self, cause: IoError) -> LogError {
        let suspect = self.durable.position;
        let error = LogError::Fenced { suspect, cause };
        tracing::error!(%suspect, %error, "the log is fenced");
        self.fenced = Some(error.clone());
        self.staging.is_open = false;
        // A last word, if the disk takes one. The state on disk is sound without it.
        let state = &mut self.superblock.state;
        state.suspect = Some(suspect);
        state.durable = self.durable;
        state.is_clean = false;
        if let Err(e) = self.superblock.write() {
            tracing::error!(error = %e, "the suspect position could not be recorded");
        }
        error
    }

    fn note_unsynced(&mut self, segment: &Arc<Segment>) {
        if !self.unsynced.iter().any(|s| Arc::ptr_eq(s, segment)) {
            self.unsynced.push(Arc::clone(segment));
        }
    }

    /// Bytes from the next position to the end of the active segment.
    fn room(&self) -> u64 {
        let end = self.active.as_ref().map_or(Position::ZERO, |s| s.end());
        end.0.saturating_sub(self.next.position.0)
    }

    /// Pads the active segment and goes on in the next. The next one's file is at hand before anything is written.
    fn roll(&mut self, needed: u64) -> Result<(), LogError> {
        let spare = match self.pool.take(needed + SEGMENT_HEADER) {
            Ok(spare) => spare,
            Err(LogError::Io(e)) => return Err(self.fence(e)),
            Err(e) => return Err(e),
        };
        if self.unsynced.len() >= UNSYNCED_SEGMENTS_MAX {
            self.sync()?;
        }
        self.pad()?;
        let header = SegmentHeader {
            log: self.shared.log,
            capacity: spare.file.len() - SEGMENT_HEADER,
            created_ms: self.clock.now_ms(),
            entry: self.next,
        };
        let segment = Arc::new(Segment::new(header, true, spare.file));
        // The header is durable before the name is, and the name before the first block.
        let placed = segment
            .file
            .write_at(0, &header.encode())
            .and_then(|()| segment.file.sync_data())
            .and_then(|()| self.disk.rename(&spare.name, &segment.name()))
            .and_then(|()| self.disk.sync_dir(FOLDER));
        if let Err(e) = placed {
            return Err(self.fence(e));
        }
        self.pool.size_after(segment.file.len());
        self.shared.add(Arc::clone(&segment));
        self.active = Some(segment);
        Ok(())
    }

    /// Fills the rest of the active segment with a pad block.
    fn pad(&mut self) -> Result<(), LogError> {
        let room = self.room();
        let Some(active) = self.active.clone().filter(|_| room > 0) else {
            return Ok(());
        };
        let header = BlockHeader {
            kind: BlockKind::Pad,
            position: self.next.position,
            index: self.next.index,
            epoch: self.epoch,
            payload_bytes: (room - BLOCK_HEADER as u64) as u32,
            records: 0,
            wall_ms: self.next.wall_ms,
            chain: self.next.chain,
            durable: self.durable.position,
        };
        let mut sector = [0; BLOCK_ALIGN];
        sector[..BLOCK_HEADER].copy_from_slice(&header.encode(self.shared.log));
        if let Err(e) = active
            .file
            .write_at(active.offset(header.position), &sector)
        {
            return Err(self.fence(e));
        }
        self.note_unsynced(&active);
        self.next = mark_after(&sector, &header, self.next.chain);
        Ok(())
    }
}

/// The log behind a block whose encoded bytes begin with its header.
pub(super) fn mark_after(encoded: &[u8], header: &BlockHeader, chain: u32) -> Mark {
    Mark {
        position: header.next(),
        chain: encoded.first_chunk().map_or(chain, chain_of),
        index: header.index + 1,
        epoch: header.epoch,
        wall_ms: header.wall_ms,
    }
}
