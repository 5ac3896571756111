//! Firing timers: a scheduled record that is due is delivered by a record that names it.
//!
//! The delivering record takes its place in the target queue, borrows the scheduled record's tail by reference and, by
//! being applied, removes the timer: a timer fires once, whatever happens in between.

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
    earlier: bool,
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

/// As [`delivery`], before it is encoded.
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
    mut read: impl FnMut(&Timer) -> Result<Message, ReadError>,
) -> SmallVec<[Prepared; 1]> {
    let mut records = SmallVec::new();
    let mut lost = Vec::new();
    let mut bytes = 0;
    for timer in due {
        if bytes >= FIRE_BYTES_MAX {
            break;
        }
        match read(timer) {
            Ok(scheduled) => match delivery(timer, &scheduled, &may_borrow) {
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
            loop {
                let due = match self.views.due(self.clock.now_ms(), FIRE_RECORDS_MAX) {
                    Ok(due) => due,
                    Err(error) => {
                        tracing::warn!(%error, "due timers cannot be listed");
                        break;
                    }
                };
                if due.is_empty() {
                    break;
                }
                let fired = match self.fire(&due, true) {
                    Err(AppendError::SourceTooOld) => self.fire(&due, false),
                    fired => fired,
                };
                match fired {
                    Ok(()) => {}
                    Err(AppendError::Full | AppendError::Busy) => {
                        if !self.alarm.sleep(0, Some(LOOK.as_millis() as i64)) {
                            return;
                        }
                    }
                    Err(
                        AppendError::Fenced
                        | AppendError::Closed
                        | AppendError::TooLarge
                        | AppendError::SourceTooOld,
                    ) => {
                        return;
                    }
                }
            }
        }
    }

    fn next_due(&self) -> Option<i64> {
        // After an error the alarm looks again a second later.
        self.views.next_due().unwrap_or_default()
    }

    fn fire(&self, due: &[Timer], borrow: bool) -> Result<(), AppendError> {
        let end = self.reader.committed.load(Ordering::Acquire);
        let may_borrow = |at: Position| borrow && end.saturating_sub(at.0) <= self.reach_bytes / 2;
        let records = firing(due, may_borrow, |timer| {
            self.reader
                .message(
                    QueueId::NONE,
                    0,
                    timer.position,
                    Some(timer.bytes),
                    crate::read::Access::Disk,
                )
                .unwrap_or(Err(ReadError::NotFound(timer.position)))
        });
        if records.is_empty() {
            return Err(AppendError::Busy);
        }
        let (sender, outcome) = tokio::sync::oneshot::channel();
        // Should power fail before the delivery is synced, the timer is pending again and fires again.
        let batch = Batch {
            records,
            durability: Durability::Written,
            done: Done::Once(sender),
        };
        self.log.propose(batch).map_err(|refused| refused.error)?;
        outcome
            .blocking_recv()
            .map_err(|_| AppendError::Closed)?
            .map(|_| ())
    }
}
