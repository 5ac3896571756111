//! What must be readable after a crash, and what must not.
//!
//! The oracle hears of every submission and every acknowledgement. Before each recovery it is told how far the log was
//! durable; what lay beyond becomes doubtful when power was lost, and is dropped from the books if it is gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crossdock_store::record::UNDECIDED;
use crossdock_store::types::{GroupId, Position, QueueId};

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Seed of the run.
    pub seed: u64,
    /// Life in which it was seen, from 1.
    pub life: u32,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} life {}: {}", self.seed, self.life, self.what)
    }
}

/// An acknowledged message.
#[derive(Clone, Copy, Debug)]
struct Acked {
    queue: QueueId,
    offset: u64,
    position: Position,
    end: Position,
}

/// An acknowledged scheduled message.
#[derive(Clone, Copy, Debug)]
struct Timer {
    target: QueueId,
    position: Position,
    end: Position,
    cancelled: bool,
}

/// A value that is overwritten: the last one known to be kept, and those submitted since.
#[derive(Clone, Debug, Default)]
struct Register {
    kept: Option<u64>,
    since: Vec<Write>,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    value: u64,
    /// End of its record, if it was acknowledged.
    acked: Option<Position>,
}

/// One entry of a queue as a reader found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) offset: u64,
    pub(crate) id: u64,
    pub(crate) stored_ms: i64,
    /// The record that delivered a timer.
    pub(crate) fired: bool,
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    submitted: HashMap<u64, QueueId>,
    scheduled: HashMap<u64, (QueueId, i64)>,
    /// Prepared messages that somebody tried to commit.
    committing: HashSet<u64>,
    /// Offsets a group has settled, and the end of the first acknowledged record that says so.
    settled: HashMap<(QueueId, u64), Position>,
    acked: BTreeMap<u64, Acked>,
    timers: BTreeMap<u64, Timer>,
    positions: HashMap<(GroupId, QueueId), Register>,
    rows: HashMap<u64, Register>,
}

impl Oracle {
    pub(crate) fn submit(&mut self, id: u64, queue: QueueId) {
        self.submitted.insert(id, queue);
    }

    pub(crate) fn schedule(&mut self, id: u64, target: QueueId, due_ms: i64) {
        self.scheduled.insert(id, (target, due_ms));
    }

    pub(crate) fn acked(
        &mut self,
        id: u64,
        queue: QueueId,
        offset: u64,
        position: Position,
        bytes: u32,
    ) {
        let end = position.plus(u64::from(bytes));
        self.acked.insert(
            id,
            Acked {
                queue,
                offset,
                position,
                end,
            },
        );
    }

    pub(crate) fn timer_acked(&mut self, id: u64, position: Position, bytes: u32) {
        if let Some((target, _)) = self.scheduled.get(&id).copied() {
            let end = position.plus(u64::from(bytes));
            self.timers.insert(
                id,
                Timer {
                    target,
                    position,
                    end,
                    cancelled: false,
                },
            );
        }
    }

    /// From now on the prepared message may be delivered, or has been.
    pub(crate) fn committing(&mut self, id: u64) {
        self.committing.insert(id);
        self.cancelling(id);
    }

    /// Acknowledged records say that a group has settled these offsets of a queue.
    pub(crate) fn settled(
        &mut self,
        queue: QueueId,
        offsets: impl IntoIterator<Item = u64>,
        end: Position,
    ) {
        for offset in offsets {
            self.settled.entry((queue, offset)).or_insert(end);
        }
    }

    /// Everything that is settled for certain.
    pub(crate) fn settled_offsets(&self) -> impl Iterator<Item = (QueueId, u64)> + '_ {
        self.settled.keys().copied()
    }

    /// The prepared or scheduled message at a position.
    pub(crate) fn timer_at(&self, position: Position) -> Option<u64> {
        let mut timers = self.timers.iter();
        timers
            .find(|(_, timer)| timer.position == position)
            .map(|(id, _)| *id)
    }

    /// A random acknowledged timer, to be cancelled.
    pub(crate) fn some_timer(&self, pick: u64) -> Option<(u64, Position)> {
        let live: Vec<_> = self.timers.iter().filter(|(_, t)| !t.cancelled).collect();
        let index = usize::try_from(pick).unwrap_or(0).checked_rem(live.len())?;
        live.get(index).map(|(id, timer)| (**id, timer.position))
    }

    /// From now on the timer may or may not fire.
    pub(crate) fn cancelling(&mut self, id: u64) {
        if let Some(timer) = self.timers.get_mut(&id) {
            timer.cancelled = true;
        }
    }

    pub(crate) fn position_written(
        &mut self,
        group: GroupId,
        queue: QueueId,
        value: u64,
        acked: Option<Position>,
    ) {
        self.positions
            .entry((group, queue))
            .or_default()
            .since
            .push(Write { value, acked });
    }

    pub(crate) fn row_written(&mut self, key: u64, value: u64, acked: Option<Position>) {
        self.rows
            .entry(key)
            .or_default()
            .since
            .push(Write { value, acked });
    }

    /// Groups and queues with positions.
    pub(crate) fn position_keys(&self) -> Vec<(GroupId, QueueId)> {
        self.positions.keys().copied().collect()
    }

    /// Keys of rows.
    pub(crate) fn row_keys(&self) -> Vec<u64> {
        self.rows.keys().copied().collect()
    }

    /// Power was lost: what is not below `durable` may be gone. `found` says whether a message is still there.
    pub(crate) fn power_lost(&mut self, durable: Position) {
        self.acked.retain(|_, acked| acked.end <= durable);
        self.timers.retain(|_, timer| timer.end <= durable);
        self.settled.retain(|_, end| *end <= durable);
        for register in self.positions.values_mut().chain(self.rows.values_mut()) {
            for write in &mut register.since {
                write.acked = write.acked.filter(|end| *end <= durable);
            }
        }
    }

    /// Compares one queue with the books. `log_start` excuses what retention took.
    pub(crate) fn check_queue(
        &self,
        queue: QueueId,
        min: u64,
        max: u64,
        seen: &[Seen],
        log_start: Position,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expected = min;
        let mut ids = HashSet::new();
        let mut last_id = 0;
        for entry in seen {
            if entry.offset != expected {
                wrong.push(format!(
                    "{queue:?}: offset {} where {expected} was due",
                    entry.offset
                ));
            }
            expected = entry.offset + 1;
            if !ids.insert(entry.id) {
                wrong.push(format!(
                    "{queue:?}: message {} stands there twice",
                    entry.id
                ));
            }
            if entry.fired {
                match self.scheduled.get(&entry.id) {
                    Some((target, UNDECIDED))
                        if *target == queue && self.committing.contains(&entry.id) => {}
                    Some((target, due)) if *target == queue && entry.stored_ms >= *due => {}
                    Some((_, due)) => wrong.push(format!(
                        "{queue:?}: timer {} due {due} fired at {} or in a wrong queue",
                        entry.id, entry.stored_ms
                    )),
                    None => wrong.push(format!("{queue:?}: unknown timer {} fired", entry.id)),
                }
                continue;
            }
            match self.submitted.get(&entry.id) {
                Some(home) if *home == queue => {}
                other => wrong.push(format!(
                    "{queue:?}: message {} of {other:?} stands there",
                    entry.id
                )),
            }
            if entry.id < last_id {
                wrong.push(format!("{queue:?}: message {} after {last_id}", entry.id));
            }
            last_id = entry.id;
        }
        if expected != max {
            wrong.push(format!(
                "{queue:?}: entries end at {expected}, the queue at {max}"
            ));
        }
        let by_offset: HashMap<u64, u64> = seen.iter().map(|s| (s.offset, s.id)).collect();
        for (id, acked) in self.acked.iter().filter(|(_, acked)| acked.queue == queue) {
            if acked.offset < min {
                if acked.position >= log_start {
                    wrong.push(format!(
                        "{queue:?}: acknowledged message {id} at offset {} is below {min} but not expired",
                        acked.offset
                    ));
                }
            } else if by_offset.get(&acked.offset) != Some(id) {
                wrong.push(format!(
                    "{queue:?}: acknowledged message {id} is not at offset {} (found {:?}, bounds {min}..{max})",
                    acked.offset,
                    by_offset.get(&acked.offset)
                ));
            }
        }
        wrong
    }

    /// Compares timers: each kept one has fired, or is still pending.
    pub(crate) fn check_timers(
        &self,
        fired: &HashSet<u64>,
        is_pending: impl Fn(Position) -> bool,
        log_start: Position,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, timer) in &self.timers {
            let gone = !fired.contains(id) && !is_pending(timer.position);
            if gone && !timer.cancelled && timer.position >= log_start {
                wrong.push(format!(
                    "timer {id} at {} for {:?} neither fired nor pends",
                    timer.position, timer.target
                ));
            }
        }
        wrong
    }

    /// Compares a group's position and takes the found one as kept.
    pub(crate) fn check_position(
        &mut self,
        key: (GroupId, QueueId),
        found: Option<u64>,
    ) -> Option<String> {
        let register = self.positions.get_mut(&key)?;
        register
            .settle(found)
            .err()
            .map(|what| format!("position of {key:?}: {what}"))
    }

    /// Compares a row and takes the found value as kept.
    pub(crate) fn check_row(&mut self, key: u64, found: Option<u64>) -> Option<String> {
        let register = self.rows.get_mut(&key)?;
        register
            .settle(found)
            .err()
            .map(|what| format!("row {key}: {what}"))
    }
}

impl Register {
    fn settle(&mut self, found: Option<u64>) -> Result<(), String> {
        let last_acked = self.since.iter().rposition(|write| write.acked.is_some());
        let mut allowed: Vec<Option<u64>> = Vec::new();
        match last_acked {
            Some(at) => allowed.extend(self.since.iter().skip(at).map(|write| Some(write.value))),
            None => {
                allowed.push(self.kept);
                allowed.extend(self.since.iter().map(|write| Some(write.value)));
            }
        }
        let fine = allowed.contains(&found);
        let result = if fine {
            Ok(())
        } else {
            Err(format!("found {found:?}, allowed {allowed:?}"))
        };
        self.kept = found;
        self.since.clear();
        result
    }
}
