//! Firing timers: a scheduled record that is due is delivered by a record that names it.
//!
//! The delivering record takes its place in the target queue, borrows the scheduled record's tail by reference and, by
//! being applied, removes the timer: a timer fires once, whatever happens in between. If it is cancelled after it was seen
//! to be due, the log leaves its delivery out; see [`super::core`].
//!
//! A timer that would hold back what is expired otherwise is copied forward in the same way: the copy is a scheduled record
//! itself, fires the old timer and so takes its place, unless that was fired or cancelled meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use smallvec::{SmallVec, smallvec};

use crate::api::{AppendError, Batch, Done, Message, ReadError};
use crate::change::{self, Change};
use crate::record::{Draft, DraftError, Prepared};
use crate::types::{Durability, Position, QueueId};
use crate::view::Timer;

/// Timers fired in one batch.
pub const FIRE_RECORDS_MAX: usize = 256;
/// Bytes of records in one batch, by more than one timer.
const FIRE_BYTES_MAX: usize = 8 << 20;
/// Bytes of records copied forward in one batch, by more than one record. Small, because timers may become due meanwhile.
const COPY_BYTES_MAX: usize = 1 << 20;
/// Batches copied forward each time the keeper asks for it.
const COPY_BATCHES_MAX: usize = 64;
/// Longest sleep between looks at the timers.
const LOOK: Duration = Duration::from_secs(1);

/// Wakes the timer thread when an earlier timer appears.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    armed_ms: i64,
    /// There is something to look at before `armed_ms`.
    earlier: bool,
    /// What waits before it is to be copied forward.
    hold: Option<Position>,
    closed: bool,
}

impl Alarm {
    /// Tells of the earliest due time.
    pub(crate) fn due(&self, due_ms: i64) {
        let mut state = self.state.lock();
        if due_ms < state.armed_ms {
            state.armed_ms = due_ms;
            state.earlier = true;
            self.changed.notify_one();
        }
    }

    /// Asks for the timers before a position to be copied forward.
    pub(crate) fn copy_before(&self, end: Position) {
        let mut state = self.state.lock();
        state.hold = Some(end);
        state.earlier = true;
        self.changed.notify_one();
    }

    fn take_hold(&self) -> Option<Position> {
        self.state.lock().hold.take()
    }

    /// Sleeps until `next_ms` or an earlier timer. False once closed.
    pub(crate) fn sleep(&self, now_ms: i64, next_ms: Option<i64>) -> bool {
        let mut state = self.state.lock();
        state.armed_ms = next_ms.unwrap_or(i64::MAX);
        let wait = next_ms.map_or(LOOK, |next| {
            Duration::from_millis(u64::try_from(next - now_ms).unwrap_or(0)).min(LOOK)
        });
        if !state.closed && !state.earlier && !wait.is_zero() {
            self.changed.wait_for(&mut state, wait);
        }
        state.earlier = false;
        !state.closed
    }

    /// Ends the timer thread.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }
}

/// Makes the record that delivers a scheduled one.
///
/// Bytes are borrowed where `may_borrow` allows it and copied where not.
///
/// # Errors
/// The scheduled record cannot be delivered as it is.
pub fn delivery(
    timer: &Timer,
    scheduled: &Message,
    may_borrow: impl Fn(Position) -> bool,
) -> Result<Prepared, DraftError> {
    delivery_draft(timer, scheduled, may_borrow).prepare()
}

/// Makes the record that takes a scheduled one's place further on in the log. It borrows nothing.
///
/// # Errors
/// The scheduled record cannot be appended as it is.
pub fn copy(timer: &Timer, scheduled: &Message) -> Result<Prepared, DraftError> {
    let mut draft = delivery_draft(timer, scheduled, |_| false);
    draft.due_ms = Some(timer.due_ms);
    draft.decider = bytes::Bytes::copy_from_slice(scheduled.record.decider().unwrap_or_default());
    draft.prepare()
}

/// The scheduled record once more, firing its timer.
pub(crate) fn delivery_draft(
    timer: &Timer,
    scheduled: &Message,
    may_borrow: impl Fn(Position) -> bool,
) -> Draft {
    let record = &scheduled.record;
    // What the scheduled record itself borrowed is borrowed again; its own bytes are few then and are copied.
    let (borrowed, own) = match &scheduled.prefix {
        Some(prefix) => (prefix.clone(), record.tail.clone()),
        None => (record.tail.clone(), bytes::Bytes::new()),
    };
    let source = scheduled
        .source(0, borrowed.len())
        .filter(|source| may_borrow(source.position));
    let tail = if source.is_some() {
        smallvec![own]
    } else {
        smallvec![borrowed, own]
    };
    let mut draft = Draft::new(timer.target, record.flavour, tail);
    draft.source = source;
    draft.count = record.count;
    draft.attempt = record.attempt;
    draft.born_ms = record.born_ms;
    draft.tag_hash = record.tag_hash;
    draft.sys_flags = record.sys_flags;
    draft.user_flags = record.user_flags;
    draft.keys = record.keys().collect();
    draft.fires = Some(timer.position);
    draft.born_host = SmallVec::from_slice(record.born_host().unwrap_or_default());
    draft.body_crc = record.body_crc();
    draft
}

/// Makes the batch that fires timers. A timer whose record cannot be read any more is cancelled instead, and said so.
pub fn firing(
    due: &[Timer],
    may_borrow: impl Fn(Position) -> bool,
    read: impl FnMut(&Timer) -> Result<Message, ReadError>,
) -> SmallVec<[Prepared; 1]> {
    let make = |timer: &Timer, scheduled: &Message| delivery(timer, scheduled, &may_borrow);
    renewing(due, FIRE_BYTES_MAX, make, read)
}

/// Makes a record of each timer's scheduled record. A timer whose record cannot be read any more is cancelled instead.
fn renewing(
    timers: &[Timer],
    bytes_max: usize,
    make: impl Fn(&Timer, &Message) -> Result<Prepared, DraftError>,
    mut read: impl FnMut(&Timer) -> Result<Message, ReadError>,
) -> SmallVec<[Prepared; 1]> {
    let mut records = SmallVec::new();
    let mut lost = Vec::new();
    let mut bytes = 0;
    for timer in timers {
        if bytes >= bytes_max {
            break;
        }
        match read(timer) {
            Ok(scheduled) => match make(timer, &scheduled) {
                Ok(record) => {
                    bytes += record.bytes();
                    records.push(record);
                }
                Err(error) => {
                    tracing::error!(position = timer.position.0, %error, "a scheduled record cannot be delivered");
                    lost.push(Change::Cancel {
                        timer: timer.position,
                    });
                }
            },
            Err(ReadError::Io(error)) => {
                tracing::warn!(
                    position = timer.position.0,
                    error,
                    "a scheduled record cannot be read now"
                );
            }
            Err(error) => {
                tracing::error!(position = timer.position.0, %error, "a scheduled record is lost");
                lost.push(Change::Cancel {
                    timer: timer.position,
                });
            }
        }
    }
    if !lost.is_empty()
        && let Ok(record) = change::draft(&lost).prepare()
    {
        records.push(record);
    }
    records
}

/// What the timer thread works with.
pub(crate) struct Firing<'a> {
    pub(crate) reach_bytes: u64,
    pub(crate) alarm: &'a Alarm,
    pub(crate) views: &'a Arc<crate::view::Views>,
    pub(crate) reader: &'a crate::read::Reader,
    pub(crate) clock: &'a dyn crate::io::Clock,
    pub(crate) log: &'a dyn super::LogEngine,
}

impl Firing<'_> {
    /// Fires timers as they become due, until the alarm is closed or the log takes nothing more.
    pub(crate) fn run(&self) {
        while self.alarm.sleep(self.clock.now_ms(), self.next_due()) {
            if !self.fire_due() {
                return;
            }
            let Some(end) = self.alarm.take_hold() else {
                continue;
            };
            for _ in 0..COPY_BATCHES_MAX {
                if !self.copy_forward(end) {
                    break;
                }
                if !self.fire_due() {
                    return;
                }
            }
        }
    }

    /// Fires what is due. False if there is no more to be done, ever.
    fn fire_due(&self) -> bool {
        loop {
            let due = match self.views.due(self.clock.now_ms(), FIRE_RECORDS_MAX) {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "due timers cannot be listed");
                    return true;
                }
            };
            if due.is_empty() {
                return true;
            }
            let fired = match self.fire(&due, true) {
                Err(AppendError::SourceTooOld) => self.fire(&due, false),
                fired => fired,
            };
            match fired {
                Ok(()) => {}
                Err(AppendError::Full | AppendError::Busy) => {
                    if !self.alarm.sleep(0, Some(LOOK.as_millis() as i64)) {
                        return false;
                    }
                }
                Err(
                    AppendError::Fenced
                    | AppendError::Closed
                    | AppendError::TooLarge
                    | AppendError::SourceTooOld,
                ) => {
                    return false;
                }
            }
        }
    }

    /// Copies some of what waits before a position forward. False if nothing is left there, or it cannot be done now.
    fn copy_forward(&self, end: Position) -> bool {
        let timers = match self.views.timers_before(end, FIRE_RECORDS_MAX) {
            Ok(timers) => timers,
            Err(error) => {
                tracing::warn!(%error, "timers that hold the log back cannot be listed");
                return false;
            }
        };
        let records = renewing(&timers, COPY_BYTES_MAX, copy, |timer| self.read(timer));
        if records.is_empty() {
            return false;
        }
        // What it replaces may be trimmed once it is committed.
        match self.append(records, Durability::Durable) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "timers that hold the log back are not copied now");
                false
            }
        }
    }

    fn read(&self, timer: &Timer) -> Result<Message, ReadError> {
        let (position, bytes) = (timer.position, Some(timer.bytes));
        self.reader
            .message(QueueId::NONE, 0, position, bytes, crate::read::Access::Disk)
            .unwrap_or(Err(ReadError::NotFound(position)))
    }

    fn next_due(&self) -> Option<i64> {
        // After an error the alarm looks again a second later.
        self.views.next_due().unwrap_or_default()
    }

    fn fire(&self, due: &[Timer], borrow: bool) -> Result<(), AppendError> {
        let end = self.reader.committed.load(Ordering::Acquire);
        let may_borrow = |at: Position| borrow && end.saturating_sub(at.0) <= self.reach_bytes / 2;
        let records = firing(due, may_borrow, |timer| self.read(timer));
        if records.is_empty() {
            return Err(AppendError::Busy);
        }
        // Should power fail before the delivery is synced, the timer is pending again and fires again.
        self.append(records, Durability::Written)
    }

    fn append(
        &self,
        records: SmallVec<[Prepared; 1]>,
        durability: Durability,
    ) -> Result<(), AppendError> {
        let (sender, outcome) = tokio::sync::oneshot::channel();
        let batch = Batch {
            records,
            durability,
            done: Done::Once(sender),
        };
        self.log.propose(batch).map_err(|refused| refused.error)?;
        outcome
            .blocking_recv()
            .map_err(|_| AppendError::Closed)?
            .map(|_| ())
    }
}
