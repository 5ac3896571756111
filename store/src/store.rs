//! The handle of the store: what everything above it calls.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::{oneshot, watch};

use crate::api::{
    AppendError, Batch, Boundary, Bounds, Done, Message, ReadError, ReadLimits, ReadOutcome,
    Receipt, Refused, TagFilter,
};
use crate::change::{self, Change};
use crate::cold::ColdPool;
use crate::engine::core::Core;
use crate::engine::inbox::refuse;
use crate::engine::keeper::{Bell, Keeper, PENDING_BYTES_MAX};
use crate::engine::local::{AfterBlock, LocalLog, Start};
use crate::engine::timer::{Alarm, Firing, delivery_draft};
use crate::engine::{LogEngine, Marks, Role};
use crate::error::OpenError;
use crate::io::{Clock, Disk, RealDisk, SystemClock};
use crate::kv::{FjallKv, KvStore};
use crate::options::Options;
use crate::read::{Access, Reader};
use crate::record::{Draft, Prepared, UNDECIDED};
use crate::recover::{Recovered, recover};
use crate::types::{Durability, GroupId, Position, QueueId, TableId};
use crate::view::{Arrival, Timer, Views};

/// Share of the disk that records may reach back over.
const REACH_SHARE: u64 = 16;
/// What is kept free of a large disk, where a share of it would be more than anything needs.
pub(crate) const SPARE_MAX: u64 = 4 << 30;

/// An open store. Cheap to clone; the last clone does not close it: [`Store::close`] does.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Arc<LocalLog>,
    reader: Reader,
    views: Arc<Views>,
    clock: Arc<dyn Clock>,
    cold: ColdPool,
    alarm: Arc<Alarm>,
    bell: Arc<Bell>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    reach_bytes: u64,
    /// The disk is low: records for queues are refused, state changes are not.
    refusing: Arc<AtomicBool>,
}

#[derive(Debug)]
struct News {
    alarm: Arc<Alarm>,
    bell: Arc<Bell>,
    views: Arc<Views>,
}

impl AfterBlock for News {
    fn committed(&self, _marks: Marks) {
        if let Ok(Some(due)) = self.views.next_due() {
            self.alarm.due(due);
        }
        if self.views.pending_bytes() >= PENDING_BYTES_MAX {
            self.bell.ring();
        }
    }

    fn is_behind(&self) -> bool {
        self.views.pending_bytes() >= 4 * PENDING_BYTES_MAX
    }
}

impl Inner {
    fn admit(&self, batch: Batch) -> Result<Batch, Box<Refused>> {
        let is_refused = self.refusing.load(Ordering::Relaxed)
            && batch.records.iter().any(|record| !record.target.is_none());
        if is_refused {
            return Err(refuse(AppendError::Full, batch));
        }
        Ok(batch)
    }
}

/// Bytes of a disk to be kept free when `percent` of it may be used, up to `most`.
pub(crate) fn spare(total: u64, percent: u8, most: u64) -> u64 {
    let share = total / 100 * u64::from(100u8.saturating_sub(percent));
    share.min(most)
}

impl Store {
    /// Opens or creates the store in `folder`: recovers the log and the views, then starts the store's threads.
    ///
    /// # Errors
    /// The folder is in use or unreadable, or the log is damaged below its durable position.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder)?);
        let kv = Box::new(FjallKv::open(folder.join("index"))?);
        Self::open_on(disk, kv, Arc::new(SystemClock::new()), options)
    }

    /// As [`Store::open`], on a given disk, database and clock.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        kv: Box<dyn KvStore>,
        clock: Arc<dyn Clock>,
        mut options: Options,
    ) -> Result<Self, OpenError> {
        // What is kept for borrowers must leave a small disk room for retention to work in.
        let total = disk.space()?.total;
        options.log.new_reach_bytes = options.log.new_reach_bytes.min(total / REACH_SHARE);
        options.log.disk_spare_bytes = spare(total, options.disk_full_percent, SPARE_MAX);
        let opened = recover(disk.clone(), kv, clock.clone(), &options)?;
        let Recovered {
            writer,
            log: log_reader,
            views,
            prewriter,
            epoch,
            last_ms,
        } = opened;
        let reach_bytes = writer.reach_bytes();
        let alarm = Arc::new(Alarm::default());
        let bell = Arc::new(Bell::default());
        let refusing = Arc::new(AtomicBool::new(false));
        let news = News {
            alarm: alarm.clone(),
            bell: bell.clone(),
            views: views.clone(),
        };
        let log = Arc::new(LocalLog::start(Start {
            core: Core::new(writer, views.clone(), last_ms),
            epoch,
            clock: clock.clone(),
            inbox_bytes: options.inbox_bytes,
            flush_interval: options.flush_interval,
            after_block: Box::new(news),
        })?);
        let committed = log.shared().committed.clone();
        let reader = Reader::new(log_reader, views.clone(), options.hot_bytes, committed);
        let keeper = Keeper {
            bell: bell.clone(),
            log: log.clone(),
            reader: reader.log.clone(),
            views: views.clone(),
            alarm: alarm.clone(),
            disk,
            clock: clock.clone(),
            prewriter,
            reach_bytes,
            options: options.clone(),
            refusing: refusing.clone(),
            is_full: false,
            is_low: false,
        };
        let keeper = std::thread::Builder::new()
            .name("store-keeper".into())
            .spawn(move || keeper.run())?;
        let timers = {
            let (alarm, views, reader) = (alarm.clone(), views.clone(), reader.clone());
            let (clock, log) = (clock.clone(), log.clone());
            std::thread::Builder::new()
                .name("store-timers".into())
                .spawn(move || {
                    Firing {
                        reach_bytes,
                        alarm: &alarm,
                        views: &views,
                        reader: &reader,
                        clock: clock.as_ref(),
                        log: log.as_ref(),
                    }
                    .run();
                })?
        };
        let cold = ColdPool::start(options.cold_threads)?;
        Ok(Self {
            inner: Arc::new(Inner {
                log,
                reader,
                views,
                clock,
                cold,
                alarm,
                bell,
                threads: Mutex::new(vec![keeper, timers]),
                reach_bytes,
                refusing,
            }),
        })
    }

    /// Hands a batch to the log. Its outcome goes to `batch.done`.
    ///
    /// # Errors
    /// Refused at once; `batch.done` hears nothing. After [`AppendError::Busy`] wait for [`Store::room`].
    pub fn submit(&self, batch: Batch) -> Result<(), Box<Refused>> {
        let batch = self.inner.admit(batch)?;
        self.inner.log.propose(batch)
    }

    /// As [`Store::submit`], for a caller that calls [`Store::drive`] as soon as it has nothing more to add.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub fn add(&self, batch: Batch) -> Result<(), Box<Refused>> {
        let batch = self.inner.admit(batch)?;
        self.inner.log.add(batch)
    }

    /// Begins with what was added: on this thread if it is little and needs no sync, so that a lone caller waits for no
    /// other thread.
    pub fn drive(&self) {
        self.inner.log.drive();
    }

    /// Waits until `bytes` more may be submitted.
    pub async fn room(&self, bytes: usize) {
        self.inner.log.shared().inbox.room(bytes).await;
    }

    /// Appends records and waits for the outcome, and before that for room.
    ///
    /// # Errors
    /// The append was refused or failed; see [`AppendError`] for whether it may have happened.
    pub async fn append(
        &self,
        records: SmallVec<[Prepared; 1]>,
        durability: Durability,
    ) -> Result<Receipt, AppendError> {
        let bytes = records.iter().map(Prepared::bytes).sum();
        let (sender, outcome) = oneshot::channel();
        let mut batch = Batch {
            records,
            durability,
            done: Done::Once(sender),
        };
        loop {
            match self.add(batch) {
                Ok(()) => {
                    // Whoever else is ready to append joins the block.
                    tokio::task::yield_now().await;
                    self.drive();
                    // Without an answer nobody knows.
                    return outcome.await.unwrap_or(Err(AppendError::Fenced));
                }
                Err(refused) if refused.error == AppendError::Busy => {
                    batch = refused.batch;
                    self.room(bytes).await;
                }
                Err(refused) => return Err(refused.error),
            }
        }
    }

    /// Appends state changes as one system record and waits for the outcome.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn change(
        &self,
        changes: &[Change],
        durability: Durability,
    ) -> Result<Receipt, AppendError> {
        let record = change::draft(changes)
            .prepare()
            .map_err(|_| AppendError::TooLarge)?;
        self.append(SmallVec::from_iter([record]), durability).await
    }

    /// Cancels the timer of a scheduled record. True: it was pending, and its record will not be delivered. False: nothing
    /// was changed, because it was delivered or cancelled before, or there is no such timer.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn cancel(
        &self,
        timer: Position,
        durability: Durability,
    ) -> Result<bool, AppendError> {
        // The log decides. Looking first keeps idle cancels out of it, and its thread from waiting for the database.
        let views = self.inner.views.clone();
        let looked = self.inner.cold.run(move || views.is_pending(timer)).await;
        if let Some(Ok(false)) = looked {
            return Ok(false);
        }
        let record = change::cancel(timer).map_err(|_| AppendError::TooLarge)?;
        let receipt = self.append(SmallVec::from_iter([record]), durability);
        Ok(!receipt.await?.is_empty())
    }

    /// Bounds of a queue; an unknown queue is empty and starts at 0.
    ///
    /// # Errors
    /// The index cannot answer.
    pub fn bounds(&self, queue: QueueId) -> Result<Bounds, ReadError> {
        self.inner.views.bounds(queue).map_err(ReadError::Index)
    }

    /// Reads a queue if no disk has to be asked. `None`: use [`Store::read`].
    #[must_use]
    pub fn try_read(
        &self,
        queue: QueueId,
        from: u64,
        limits: ReadLimits,
        filter: &TagFilter,
    ) -> Option<Result<ReadOutcome, ReadError>> {
        self.inner
            .reader
            .read(queue, from, limits, filter, Access::Memory)
    }

    /// Reads a queue.
    ///
    /// # Errors
    /// The first record in question cannot be read.
    pub async fn read(
        &self,
        queue: QueueId,
        from: u64,
        limits: ReadLimits,
        filter: &TagFilter,
    ) -> Result<ReadOutcome, ReadError> {
        if let Some(outcome) = self.try_read(queue, from, limits, filter) {
            return outcome;
        }
        let filter = filter.clone();
        self.on_disk(move |reader| reader.read(queue, from, limits, &filter, Access::Disk))
            .await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Option<Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = self.inner.reader.clone();
        let done = self.inner.cold.run(move || work(&reader)).await.flatten();
        done.unwrap_or_else(|| Err(ReadError::Io("the store is closed".into())))
    }

    /// A future that ends when an entry at or after `from` that matches may be readable. Dropping it cancels the wait.
    ///
    /// # Errors
    /// As many readers wait as may.
    pub fn arrival(
        &self,
        queue: QueueId,
        from: u64,
        filter: TagFilter,
    ) -> Result<Arrival, ReadError> {
        self.inner
            .views
            .arrival(queue, from, filter)
            .map_err(ReadError::Index)
    }

    /// The offset a search by store time ends at, within the queue's bounds.
    ///
    /// # Errors
    /// The index cannot answer.
    pub fn offset_by_time(
        &self,
        queue: QueueId,
        ms: i64,
        boundary: Boundary,
    ) -> Result<u64, ReadError> {
        self.inner
            .views
            .offset_by_time(queue, ms, boundary)
            .map_err(ReadError::Index)
    }

    /// Store time of the first readable record.
    ///
    /// # Errors
    /// The index cannot answer.
    pub fn earliest_ms(&self, queue: QueueId) -> Result<Option<i64>, ReadError> {
        self.stored_ms_at(queue, self.bounds(queue)?.min)
    }

    /// Store time of the first record at or after an offset.
    ///
    /// # Errors
    /// The index cannot answer.
    pub fn stored_ms_at(&self, queue: QueueId, offset: u64) -> Result<Option<i64>, ReadError> {
        let mut entries = Vec::with_capacity(1);
        let views = &self.inner.views;
        views
            .entries(queue, offset, 1, &mut entries)
            .map_err(ReadError::Index)?;
        Ok(entries.first().map(|entry| entry.stored_ms))
    }

    /// Store time of the last record.
    #[must_use]
    pub fn latest_ms(&self, queue: QueueId) -> Option<i64> {
        self.inner.views.last_stored_ms(queue)
    }

    /// Reads the record at a position.
    ///
    /// # Errors
    /// There is none, or it has expired or is damaged.
    pub async fn read_at(&self, position: Position) -> Result<Message, ReadError> {
        match self.inner.reader.standing(position, Access::Memory) {
            Some(outcome) => outcome,
            None => {
                self.on_disk(move |reader| reader.standing(position, Access::Disk))
                    .await
            }
        }
    }

    /// Messages found under a key hash and stored within `[from_ms, to_ms]`, newest first.
    ///
    /// Different keys may share a hash: the caller compares. Records that wait for a timer are not found.
    ///
    /// # Errors
    /// A record cannot be read.
    pub async fn by_key(
        &self,
        key: u64,
        from_ms: i64,
        to_ms: i64,
        max: usize,
    ) -> Result<Vec<Message>, ReadError> {
        self.on_disk(move |reader| Some(reader.by_key(key, from_ms, to_ms, max)))
            .await
    }

    /// Messages with a key hash that wait for their timer, newest first.
    ///
    /// Different keys may share a hash: the caller compares.
    ///
    /// # Errors
    /// A record cannot be read.
    pub async fn pending_by_key(&self, key: u64, max: usize) -> Result<Vec<Message>, ReadError> {
        self.on_disk(move |reader| Some(reader.pending_by_key(key, max)))
            .await
    }

    /// A row of a table.
    #[must_use]
    pub fn row(&self, table: TableId, key: &[u8]) -> Option<Bytes> {
        self.inner.views.get(table, key)
    }

    /// The rows of a table whose keys begin with `prefix`, in key order.
    #[must_use]
    pub fn rows(&self, table: TableId, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.inner.views.scan(table, prefix, usize::MAX)
    }

    /// Where a group stands in a queue.
    #[must_use]
    pub fn group_position(&self, group: GroupId, queue: QueueId) -> Option<u64> {
        self.inner.views.position(group, queue)
    }

    /// Everywhere a group stands.
    #[must_use]
    pub fn group_positions(&self, group: GroupId) -> Vec<(QueueId, u64)> {
        self.inner.views.positions_of(group)
    }

    /// Up to `max` prepared records after `after`, oldest first.
    ///
    /// # Errors
    /// The index cannot answer.
    pub fn undecided(&self, after: Option<Position>, max: usize) -> Result<Vec<Timer>, ReadError> {
        let views = &self.inner.views;
        views.undecided(after, max).map_err(ReadError::Index)
    }

    /// True if the record at a position is scheduled or prepared and neither delivered nor cancelled.
    ///
    /// # Errors
    /// The index cannot answer.
    pub fn is_pending(&self, position: Position) -> Result<bool, ReadError> {
        let views = &self.inner.views;
        views.is_pending(position).map_err(ReadError::Index)
    }

    /// The draft of the record that delivers a scheduled or prepared one: by reference if `borrow`, as a copy if not.
    ///
    /// Appending it is the delivery. Of several that deliver or cancel one record the log takes the first; an append that comes later
    /// has an empty receipt.
    #[must_use]
    pub fn delivery(&self, message: &Message, target: QueueId, borrow: bool) -> Draft {
        let timer = Timer {
            due_ms: message.record.due_ms().unwrap_or(UNDECIDED),
            position: message.record.position,
            bytes: message.record.bytes,
            target,
        };
        delivery_draft(&timer, message, |at| borrow && self.may_borrow(at))
    }

    /// Scheduled records that are not yet due.
    #[must_use]
    pub fn pending_timers(&self) -> u64 {
        self.inner.views.pending_count()
    }

    /// True if a record appended soon may borrow bytes of the record at `position`; [`AppendError::SourceTooOld`] has the
    /// last word.
    #[must_use]
    pub fn may_borrow(&self, position: Position) -> bool {
        let (_, end) = self.log_bounds();
        end.0.saturating_sub(position.0) <= self.inner.reach_bytes / 2
    }

    /// First readable position of the log, and the end of what is committed.
    #[must_use]
    pub fn log_bounds(&self) -> (Position, Position) {
        let end = self.inner.log.shared().committed.load(Ordering::Acquire);
        (self.inner.reader.log.start(), Position(end))
    }

    /// Follows how far the log has come.
    #[must_use]
    pub fn marks(&self) -> watch::Receiver<Marks> {
        self.inner.log.marks()
    }

    /// Follows whether the log takes appends.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<Role> {
        self.inner.log.role()
    }

    /// Blocks written since the store was opened: what group commit made of the appends.
    #[must_use]
    pub fn blocks_written(&self) -> u64 {
        self.inner.log.shared().blocks.load(Ordering::Relaxed)
    }

    /// Bytes that wait to be appended.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.inner.log.shared().inbox.bytes()
    }

    /// Wall clock of the store, milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.inner.clock.now_ms()
    }

    /// Finishes what waits, syncs, writes a checkpoint, marks the log as cleanly closed and ends the threads.
    ///
    /// Blocks its thread for as long as the disk takes.
    pub fn close(&self) {
        self.inner.alarm.close();
        self.inner.log.close();
        self.inner.bell.close();
        self.inner.cold.close();
        for thread in self.inner.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}
