//! One step of the log: stage a block, write it, sync it, commit it, apply it, answer.
//!
//! The core owns the writing end of the log and is driven by exactly one caller: the log's thread in the real store, the
//! schedule of the simulation in tests. It starts no thread and reads no clock.
//!
//! It also decides between the firing and the cancel of one timer: whichever it stages first stands in the log, the other
//! is left out. Everything committed is applied before the next block begins, so the views, and what this block has staged,
//! say exactly which timers are pending.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::api::{AppendError, Batch, Completion, Done, Placed, Receipt};
use crate::log::{LogError, LogWriter, SyncJob};
use crate::record::{Prepared, RECORD_MAX, Record, Stamp};
use crate::types::{Durability, Position};
use crate::view::{ViewError, Views};

use super::Marks;

/// Bytes a batch takes in a block.
fn weight(batch: &Batch) -> usize {
    batch.records.iter().map(Prepared::bytes).sum()
}

/// The single-threaded heart of a log with one member.
#[derive(Debug)]
pub struct Core {
    writer: LogWriter,
    views: Arc<Views>,
    /// Moved before callers hear of their appends, so that they can read them at once.
    committed: Arc<AtomicU64>,
    last_ms: i64,
    fenced: bool,
    blocks: Arc<AtomicU64>,
    placed: Vec<Placed>,
    spans: Vec<(Batch, usize)>,
    sinks: Vec<Arc<dyn Completion>>,
    /// Timers that records of the block being made fire or cancel.
    settled: HashSet<Position>,
}

impl Core {
    /// A core over a recovered log whose committed prefix the views have already applied.
    #[must_use]
    pub fn new(writer: LogWriter, views: Arc<Views>, last_ms: i64) -> Self {
        let committed = Arc::new(AtomicU64::new(writer.written().0));
        Self {
            writer,
            views,
            committed,
            last_ms,
            fenced: false,
            blocks: Arc::default(),
            placed: Vec::new(),
            spans: Vec::new(),
            sinks: Vec::new(),
            settled: HashSet::new(),
        }
    }

    /// How far the log has come.
    #[must_use]
    pub fn marks(&self) -> Marks {
        Marks {
            written: self.writer.written(),
            durable: self.writer.durable(),
            committed: Position(self.committed.load(Ordering::Relaxed)),
        }
    }

    /// The end of what is visible, followed by readers.
    #[must_use]
    pub fn committed(&self) -> Arc<AtomicU64> {
        self.committed.clone()
    }

    /// Counts the blocks written.
    #[must_use]
    pub fn blocks(&self) -> Arc<AtomicU64> {
        self.blocks.clone()
    }

    /// True once a write or sync has failed; every later append fails with [`AppendError::Fenced`].
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// The writing end, for syncs, trims and superblocks between blocks.
    pub fn writer(&mut self) -> &mut LogWriter {
        &mut self.writer
    }

    /// Makes one block of the batches at the front of `batches`, commits it and answers their callers.
    ///
    /// `now_ms` is the wall clock; store times never run backwards whatever it says.
    pub fn step(&mut self, batches: &mut VecDeque<Batch>, now_ms: i64) {
        if self.fenced {
            self.refuse_all(batches, AppendError::Fenced);
            return;
        }
        let Some(first) = self.first_that_can_fit(batches) else {
            self.flush_sinks();
            return;
        };
        let stored_ms = match self.writer.begin(now_ms.max(self.last_ms), first) {
            Ok(stored_ms) => stored_ms,
            Err(error) => {
                let refusal = self.fault(&error);
                self.refuse_all(batches, refusal);
                return;
            }
        };
        self.settled.clear();
        let mut durability = Durability::Written;
        let mut staged = 0usize;
        while let Some(batch) = batches.front() {
            if !self.writer.fits(weight(batch)) {
                break;
            }
            let Some(mut batch) = batches.pop_front() else {
                break;
            };
            if self.borrows_too_far(&batch) {
                self.answer(batch.done, Err(AppendError::SourceTooOld));
                continue;
            }
            if let Err(error) = self.leave_out_settled(&mut batch) {
                tracing::warn!(%error, "whether a timer is pending is not known");
                self.answer(batch.done, Err(AppendError::Busy));
                continue;
            }
            durability = durability.max(batch.durability);
            staged += batch.records.len();
            if let Err(error) = self.stage(batch, stored_ms) {
                let refusal = self.fault(&error);
                self.take_back(refusal);
                self.refuse_all(batches, refusal);
                return;
            }
        }
        if staged == 0 {
            self.writer.abort();
            self.answer_placed();
            self.flush_sinks();
            return;
        }
        match self.commit(durability) {
            Ok(()) => {
                self.last_ms = stored_ms;
                self.answer_placed();
            }
            Err(error) => {
                let refusal = self.fault(&error);
                self.take_back(refusal);
            }
        }
        self.flush_sinks();
    }

    /// Takes out of a batch what would fire or cancel a timer that is not pending any more.
    fn leave_out_settled(&mut self, batch: &mut Batch) -> Result<(), ViewError> {
        let records = &mut batch.records;
        if records.iter().all(|record| record.settles().is_none()) {
            return Ok(());
        }
        let mut pending = Vec::with_capacity(records.len());
        for record in records.iter() {
            let timer = record.settles();
            pending.push(timer.map_or(Ok(true), |timer| self.views.is_pending(timer))?);
        }
        let mut pending = pending.into_iter();
        records.retain(|record| {
            let is_pending = pending.next().unwrap_or(true);
            is_pending && record.settles().is_none_or(|at| self.settled.insert(at))
        });
        Ok(())
    }

    /// True if a record of the batch would borrow from further back than retention allows for.
    fn borrows_too_far(&self, batch: &Batch) -> bool {
        let end = self.writer.next_position().0 + weight(batch) as u64;
        let mut sources = batch.records.iter().filter_map(|record| record.source);
        sources.any(|source| end.saturating_sub(source.0) > self.writer.reach_bytes())
    }

    /// Bytes of the first batch, once those no block can hold have been refused.
    fn first_that_can_fit(&mut self, batches: &mut VecDeque<Batch>) -> Option<usize> {
        loop {
            let bytes = weight(batches.front()?);
            if bytes <= RECORD_MAX {
                return Some(bytes);
            }
            if let Some(batch) = batches.pop_front() {
                self.answer(batch.done, Err(AppendError::TooLarge));
            }
        }
    }

    /// Undoes what was staged and not committed: offsets are handed out again, callers hear of it.
    fn take_back(&mut self, refusal: AppendError) {
        self.writer.abort();
        self.views.reset_assigned();
        for (batch, _) in std::mem::take(&mut self.spans) {
            self.answer(batch.done, Err(refusal));
        }
        self.placed.clear();
    }

    /// Ends the log after a fault of the program: what was being written is unknown, and nothing more is.
    pub fn give_up(&mut self) {
        tracing::error!("the log is fenced after a panic");
        self.fenced = true;
        self.take_back(AppendError::Fenced);
        self.flush_sinks();
    }

    /// Begins a sync of what is written that runs beside further steps; `None` if everything is durable.
    #[must_use]
    pub fn begin_sync(&mut self) -> Option<Arc<SyncJob>> {
        self.writer.begin_sync()
    }

    /// Takes over the outcome of the sync that was begun, waiting for it if need be. A failure fences the log.
    pub fn finish_sync(&mut self) {
        if self.fenced {
            return;
        }
        if let Err(error) = self.writer.finish_sync() {
            self.fault(&error);
        }
    }

    /// True if a block of so many bytes of records needs neither another segment nor a sync.
    #[must_use]
    pub fn is_ready_for(&self, bytes: usize) -> bool {
        !self.fenced && self.writer.is_ready_for(bytes)
    }

    /// True if so much is written and not synced that a sync should begin now.
    #[must_use]
    pub fn wants_sync(&self) -> bool {
        let unsynced = self.writer.written().0 - self.writer.durable().0;
        unsynced > self.writer.unsynced_bytes_max() / 4
    }

    /// Syncs what is written. A failure fences the log.
    pub fn sync(&mut self) {
        if self.fenced {
            return;
        }
        if let Err(error) = self.writer.sync() {
            self.fault(&error);
        }
    }

    fn stage(&mut self, batch: Batch, stored_ms: i64) -> Result<(), LogError> {
        for record in &batch.records {
            let mut offset = 0;
            if !record.queue.is_none() {
                offset = self.views.assign(record.queue, record.count);
            }
            let mut dispatch_offsets = SmallVec::<[u64; 8]>::new();
            for queue in &record.dispatch {
                dispatch_offsets.push(self.views.assign(*queue, record.count));
            }
            let position = self.writer.next_position();
            let stamp = Stamp {
                position,
                offset,
                dispatch_offsets: &dispatch_offsets,
                stored_ms,
            };
            if let Err(error) = self.writer.push(record, &stamp) {
                self.spans.push((batch, 0));
                return Err(error);
            }
            self.placed.push(Placed {
                position,
                bytes: record.bytes() as u32,
                offset,
                stored_ms,
            });
        }
        let records = batch.records.len();
        self.spans.push((batch, records));
        Ok(())
    }

    fn commit(&mut self, durability: Durability) -> Result<(), LogError> {
        let span = self.writer.write()?;
        self.blocks.fetch_add(1, Ordering::Relaxed);
        if durability == Durability::Durable {
            self.writer.sync()?;
        }
        // Applying wakes readers: what they look at must count as committed by then.
        self.committed.store(span.next.0, Ordering::Release);
        let mut at = 0usize;
        let staged = self.writer.staged();
        let mut applier = self.views.applier();
        for placed in &self.placed {
            let end = at + placed.bytes as usize;
            let record = Record::view(&staged[at..end], placed.position, false)
                .map_err(|_| LogError::BlockFull)?;
            applier.apply(&record, &mut |_, _, _, _| {});
            at = end;
        }
        applier.end_block(span.next);
        drop(applier);
        self.writer.set_commit(span.next);
        Ok(())
    }

    fn answer_placed(&mut self) {
        let mut from = 0;
        for (batch, records) in std::mem::take(&mut self.spans) {
            let receipt: Receipt = self.placed[from..from + records].iter().copied().collect();
            from += records;
            self.answer(batch.done, Ok(receipt));
        }
        self.placed.clear();
    }

    fn fault(&mut self, error: &LogError) -> AppendError {
        if matches!(error, LogError::Full) {
            return AppendError::Full;
        }
        if !self.fenced {
            tracing::error!(%error, "the log is fenced");
        }
        self.fenced = true;
        AppendError::Fenced
    }

    fn refuse_all(&mut self, batches: &mut VecDeque<Batch>, refusal: AppendError) {
        while let Some(batch) = batches.pop_front() {
            self.answer(batch.done, Err(refusal));
        }
        self.flush_sinks();
    }

    fn answer(&mut self, done: Done, outcome: Result<Receipt, AppendError>) {
        match done {
            Done::Ignore => {}
            Done::Once(sender) => {
                // A caller that no longer waits needs no answer.
                let _ = sender.send(outcome);
            }
            Done::Shared(sink, token) => {
                sink.complete(token, outcome.as_ref().map_err(|error| *error));
                if !self.sinks.iter().any(|known| Arc::ptr_eq(known, &sink)) {
                    self.sinks.push(sink);
                }
            }
        }
    }

    fn flush_sinks(&mut self) {
        for sink in self.sinks.drain(..) {
            sink.flush();
        }
    }
}
