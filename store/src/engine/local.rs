//! The log with one member: a thread that turns what gathers in the inbox into blocks.
//!
//! The thread owns the [`Core`]. Everything else that happens to the log (syncs of merely written bytes, trims,
//! superblocks) is asked of this thread, so that the log has one owner. Committing is writing or syncing, whichever the
//! block's strictest append asks for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::api::{AppendError, Batch, Refused};
use crate::io::Clock;
use crate::types::Position;

use super::core::Core;
use super::inbox::{Inbox, refuse};
use super::{LogEngine, Marks, Role};

/// Longest sleep of the log's thread when nothing happens.
const IDLE: Duration = Duration::from_secs(5);

/// Longest pause between two blocks while the views are behind: so many times so long.
const THROTTLE_STEPS: u32 = 100;
const THROTTLE_STEP: Duration = Duration::from_millis(5);

/// What other threads ask of the log's thread between blocks.
#[derive(Debug, Default)]
struct Asked {
    trim: Option<Position>,
    superblock: bool,
}

/// What the log's thread shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) blocks: Arc<AtomicU64>,
    /// The disk is low: records for queues are refused, state changes are not.
    pub(crate) refusing: AtomicBool,
    asked: Mutex<Asked>,
    marks: watch::Sender<Marks>,
    role: watch::Sender<Role>,
}

/// A log with one member.
#[derive(Debug)]
pub struct LocalLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the log's thread is started with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) core: Core,
    pub(crate) epoch: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) inbox_bytes: usize,
    pub(crate) flush_interval: Duration,
    /// Called after each block; tells the timer thread and the keeper that there is news.
    pub(crate) after_block: Box<dyn AfterBlock>,
}

/// Hears of every committed block, on the log's thread.
pub(crate) trait AfterBlock: Send + std::fmt::Debug {
    /// A block was committed and applied.
    fn committed(&self, marks: Marks);

    /// True while more of the views waits for a checkpoint than memory should hold.
    fn is_behind(&self) -> bool;
}

impl LocalLog {
    /// Starts the log's thread.
    pub(crate) fn start(start: Start) -> std::io::Result<Self> {
        let marks = start.core.marks();
        let shared = Arc::new(Shared {
            inbox: Inbox::new(start.inbox_bytes),
            committed: start.core.committed(),
            blocks: start.core.blocks(),
            refusing: AtomicBool::new(false),
            asked: Mutex::default(),
            marks: watch::Sender::new(marks),
            role: watch::Sender::new(Role::Leader { epoch: start.epoch }),
        });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("store-log".into())
                .spawn(move || {
                    Worker {
                        shared,
                        start,
                        last_sync: Duration::ZERO,
                    }
                    .run();
                })?
        };
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Refuses or takes records for queues.
    pub(crate) fn refuse_records(&self, refuse: bool) {
        if self.shared.refusing.swap(refuse, Ordering::Relaxed) != refuse {
            tracing::warn!(
                refuse,
                "the disk is low; whether records are refused has changed"
            );
        }
    }

    /// Asks for a superblock to be written soon.
    pub(crate) fn write_superblock(&self) {
        self.shared.asked.lock().superblock = true;
        self.shared.inbox.wake();
    }

    /// Refuses further batches, finishes what waits, syncs, marks the log as cleanly closed and joins the thread.
    pub(crate) fn close(&self) {
        self.shared.inbox.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log's thread panicked");
        }
    }
}

impl LogEngine for LocalLog {
    fn propose(&self, batch: Batch) -> Result<(), Box<Refused>> {
        if self.shared.refusing.load(Ordering::Relaxed)
            && batch.records.iter().any(|record| !record.target.is_none())
        {
            return Err(refuse(AppendError::Full, batch));
        }
        self.shared.inbox.submit(batch)
    }

    fn marks(&self) -> watch::Receiver<Marks> {
        self.shared.marks.subscribe()
    }

    fn role(&self) -> watch::Receiver<Role> {
        self.shared.role.subscribe()
    }

    fn trim(&self, before: Position) {
        self.shared.asked.lock().trim = Some(before);
        self.shared.inbox.wake();
    }
}

struct Worker {
    shared: Arc<Shared>,
    start: Start,
    last_sync: Duration,
}

impl Worker {
    fn run(mut self) {
        let mut batches = VecDeque::new();
        loop {
            let patience = self.patience();
            let open = self.shared.inbox.drain(&mut batches, patience);
            while !batches.is_empty() {
                self.start
                    .core
                    .step(&mut batches, self.start.clock.now_ms());
                self.publish();
                self.throttle();
                // What arrived meanwhile joins the next block.
                self.shared.inbox.drain(&mut batches, Duration::ZERO);
            }
            self.serve_asked();
            self.sync_if_due();
            if !open {
                break;
            }
        }
        self.finish();
    }

    fn patience(&self) -> Duration {
        let marks = self.start.core.marks();
        if marks.written == marks.durable || self.start.core.is_fenced() {
            return IDLE;
        }
        let since = self.start.clock.monotonic().saturating_sub(self.last_sync);
        self.start.flush_interval.saturating_sub(since)
    }

    fn publish(&mut self) {
        let marks = self.start.core.marks();
        self.shared.marks.send_replace(marks);
        if self.start.core.is_fenced() {
            self.shared.role.send_replace(Role::Fenced);
        }
        self.start.after_block.committed(marks);
    }

    /// Waits for a checkpoint when the views hold too much, but not for ever: without one, memory is what is left.
    fn throttle(&mut self) {
        if !self.start.after_block.is_behind() || self.start.core.is_fenced() {
            return;
        }
        // Only what is durable can be checkpointed.
        self.start.core.sync();
        self.publish();
        for _ in 0..THROTTLE_STEPS {
            if !self.start.after_block.is_behind() {
                return;
            }
            std::thread::sleep(THROTTLE_STEP);
        }
    }

    fn serve_asked(&mut self) {
        let asked = std::mem::take(&mut *self.shared.asked.lock());
        if self.start.core.is_fenced() {
            return;
        }
        if let Some(before) = asked.trim {
            match self.start.core.writer().trim(before) {
                Ok(trimmed) => tracing::debug!(start = %trimmed.start, "the log was trimmed"),
                Err(error) => tracing::warn!(%error, "trimming the log failed"),
            }
        }
        if asked.superblock
            && let Err(error) = self.start.core.writer().write_superblock(false)
        {
            tracing::warn!(%error, "writing the superblock failed");
        }
    }

    /// Bytes that were only written are synced after a while, so that a loss of power takes little.
    fn sync_if_due(&mut self) {
        let marks = self.start.core.marks();
        if marks.written == marks.durable || self.start.core.is_fenced() {
            return;
        }
        let now = self.start.clock.monotonic();
        if now.saturating_sub(self.last_sync) < self.start.flush_interval {
            return;
        }
        self.last_sync = now;
        self.start.core.sync();
        self.publish();
    }

    fn finish(mut self) {
        if !self.start.core.is_fenced() {
            self.start.core.sync();
        }
        if !self.start.core.is_fenced()
            && let Err(error) = self.start.core.writer().write_superblock(true)
        {
            tracing::warn!(%error, "writing the last superblock failed");
        }
        self.publish();
        if !self.start.core.is_fenced() {
            self.shared.role.send_replace(Role::Closed);
        }
    }
}
