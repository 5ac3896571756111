//! The log with one member: what gathers in the inbox becomes blocks.
//!
//! The [`Pen`] is the right to write: it holds the [`Core`] and is passed between threads by one lock. The log's thread takes it for
//! whatever waits. A caller with little to write takes it itself when it is free and spares two changes of thread; what
//! is much, or needs a sync, is left to the log's thread. Whoever gives the pen back looks into the inbox once more.
//! Bytes that were merely written are synced by a third thread, beside the writing. Committing is writing or syncing,
//! whichever the block's strictest append asks for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::api::{Batch, Refused};
use crate::io::Clock;
use crate::types::Position;

use super::core::Core;
use super::inbox::{Inbox, Taken};
use super::sync::SyncBell;
use super::{LogEngine, Marks, Role};

/// Longest sleep of the log's thread when nothing happens.
const IDLE: Duration = Duration::from_secs(5);

/// Most batches, and bytes of them, that a caller writes itself.
const FEW_BATCHES: usize = 16;
const FEW_BYTES: usize = 64 << 10;
/// Times a caller takes the pen before it leaves what others add to the log's thread.
const DRIVES: usize = 4;

/// Longest pause between two blocks while the views are behind: so many times so long.
const THROTTLE_STEPS: u32 = 100;
const THROTTLE_STEP: Duration = Duration::from_millis(5);

/// Hears of every committed block, on the thread that wrote it.
pub(crate) trait AfterBlock: Send + std::fmt::Debug {
    /// A block was committed and applied.
    fn committed(&self, marks: Marks);

    /// True while more of the views waits for a checkpoint than memory should hold.
    fn is_behind(&self) -> bool;
}

/// The right to write.
#[derive(Debug)]
struct Pen {
    core: Core,
    batches: VecDeque<Batch>,
    clock: Arc<dyn Clock>,
    after_block: Box<dyn AfterBlock>,
}

/// What the log's threads and its callers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) blocks: Arc<AtomicU64>,
    pen: Mutex<Pen>,
    syncs: SyncBell,
    marks: watch::Sender<Marks>,
    role: watch::Sender<Role>,
}

/// A log with one member.
#[derive(Debug)]
pub struct LocalLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the log's threads are started with.
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

impl LocalLog {
    /// Starts the log's threads.
    pub(crate) fn start(start: Start) -> std::io::Result<Self> {
        let marks = start.core.marks();
        let shared = Arc::new(Shared {
            inbox: Inbox::new(start.inbox_bytes),
            committed: start.core.committed(),
            blocks: start.core.blocks(),
            pen: Mutex::new(Pen {
                core: start.core,
                batches: VecDeque::new(),
                clock: start.clock,
                after_block: start.after_block,
            }),
            syncs: SyncBell::new(start.flush_interval),
            marks: watch::Sender::new(marks),
            role: watch::Sender::new(Role::Leader { epoch: start.epoch }),
        });
        let thread = |name: &str, run: fn(&Shared)| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(name.into())
                .spawn(move || run(&shared))
        };
        let threads = vec![
            thread("store-log", Shared::write)?,
            thread("store-sync", Shared::sync)?,
        ];
        Ok(Self {
            shared,
            threads: Mutex::new(threads),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Writes a superblock between two blocks.
    pub(crate) fn write_superblock(&self) {
        self.shared.with_pen(|pen| {
            if !pen.core.is_fenced()
                && let Err(error) = pen.core.writer().write_superblock(false)
            {
                tracing::warn!(%error, "writing the superblock failed");
            }
        });
    }

    /// Refuses further batches, finishes what waits, syncs, marks the log as cleanly closed and joins the threads.
    pub(crate) fn close(&self) {
        self.shared.inbox.close();
        self.shared.syncs.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }
}

impl LogEngine for LocalLog {
    fn propose(&self, batch: Batch) -> Result<(), Box<Refused>> {
        self.shared.inbox.submit(batch)
    }

    fn add(&self, batch: Batch) -> Result<(), Box<Refused>> {
        self.shared.inbox.add(batch)
    }

    fn drive(&self) {
        self.shared.drive();
    }

    fn marks(&self) -> watch::Receiver<Marks> {
        self.shared.marks.subscribe()
    }

    fn role(&self) -> watch::Receiver<Role> {
        self.shared.role.subscribe()
    }

    fn trim(&self, before: Position) {
        self.shared.with_pen(|pen| {
            if pen.core.is_fenced() {
                return;
            }
            match pen.core.writer().trim(before) {
                Ok(trimmed) => tracing::debug!(start = %trimmed.start, "the log was trimmed"),
                Err(error) => tracing::warn!(%error, "trimming the log failed"),
            }
        });
    }
}

impl Pen {
    fn write(&mut self, shared: &Shared) {
        while !self.batches.is_empty() {
            let now_ms = self.clock.now_ms();
            let step = AssertUnwindSafe(|| self.core.step(&mut self.batches, now_ms));
            if let Err(panic) = catch_unwind(step) {
                // Callers write as well, and a caught panic of theirs must not leave half a block to the next one.
                self.core.give_up();
                self.publish(shared);
                resume_unwind(panic);
            }
            self.publish(shared);
        }
    }

    fn publish(&self, shared: &Shared) {
        let marks = self.core.marks();
        shared.marks.send_replace(marks);
        if self.core.is_fenced() {
            shared.role.send_replace(Role::Fenced);
        } else if marks.written > marks.durable {
            shared.syncs.ring(self.core.wants_sync());
        }
        self.after_block.committed(marks);
    }

    fn finish(&mut self, shared: &Shared) {
        self.core.sync();
        if !self.core.is_fenced()
            && let Err(error) = self.core.writer().write_superblock(true)
        {
            tracing::warn!(%error, "writing the last superblock failed");
        }
        self.publish(shared);
        if !self.core.is_fenced() {
            shared.role.send_replace(Role::Closed);
        }
    }
}

impl Shared {
    /// The log's thread.
    fn write(&self) {
        loop {
            let open = self.inbox.wait(IDLE);
            // After a panic the log is fenced, and whoever asks is told so.
            while catch_unwind(AssertUnwindSafe(|| self.write_round())).unwrap_or(true) {
                self.throttle();
            }
            if !open {
                self.pen.lock().finish(self);
                return;
            }
        }
    }

    /// Writes what waits; false if nothing did.
    fn write_round(&self) -> bool {
        let mut pen = self.pen.lock();
        let Pen { batches, .. } = &mut *pen;
        self.inbox.drain(batches);
        let is_some = !batches.is_empty();
        pen.write(self);
        // Whoever waits for the pen has it between two rounds.
        MutexGuard::unlock_fair(pen);
        is_some
    }

    /// Waits for a checkpoint when the views hold too much, but not for ever: without one, memory is what is left.
    fn throttle(&self) {
        let is_behind = |pen: &Pen| pen.after_block.is_behind() && !pen.core.is_fenced();
        if !is_behind(&self.pen.lock()) {
            return;
        }
        // Only what is durable can be checkpointed.
        self.with_pen(|pen| {
            pen.core.sync();
            pen.publish(self);
        });
        for _ in 0..THROTTLE_STEPS {
            if !is_behind(&self.pen.lock()) {
                return;
            }
            std::thread::sleep(THROTTLE_STEP);
        }
    }

    /// Takes the pen as soon as it is free. Somebody may find it taken meanwhile and leave it at that.
    fn with_pen<T>(&self, work: impl FnOnce(&mut Pen) -> T) -> T {
        let done = work(&mut self.pen.lock());
        self.inbox.call();
        done
    }

    fn drive(&self) {
        for _ in 0..DRIVES {
            // Who holds the pen looks into the inbox when it is given back.
            let Some(mut pen) = self.pen.try_lock() else {
                return;
            };
            let Pen {
                core,
                batches,
                after_block,
                ..
            } = &mut *pen;
            let taken = self.inbox.drain_few(batches, |count, bytes| {
                count <= FEW_BATCHES
                    && bytes <= FEW_BYTES
                    && core.is_ready_for(bytes)
                    && !after_block.is_behind()
            });
            if taken == Taken::Some {
                pen.write(self);
            }
            drop(pen);
            if taken == Taken::TooMany {
                break;
            }
            if self.inbox.is_empty() {
                return;
            }
        }
        self.inbox.call();
    }

    /// The syncing thread.
    fn sync(&self) {
        while self.syncs.wait() {
            if let Some(job) = self.with_pen(|pen| pen.core.begin_sync()) {
                // The outcome stays with the job: whoever writes next takes it over.
                let _ = job.run();
                self.with_pen(|pen| {
                    pen.core.finish_sync();
                    pen.publish(self);
                });
            }
        }
    }
}
