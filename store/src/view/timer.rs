//! Timers: scheduled records in the order they are due.
//!
//! Timers below a *horizon* are all in memory; when there are too many, those beyond it live in the database only and
//! are read back, a portion at a time, before the ones in memory run out. Reading begins at the horizon, never at the
//! beginning, so the remains of fired timers are not walked over. The applier adds and removes; a checkpoint writes and
//! evicts; whoever fires timers asks for the ones that are due.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ViewError;
use super::queue::Map;
use super::queue::chunk::{u32_at, u64_at};
use crate::kv::{Batch, KvStore, Order, Space};
use crate::record::UNDECIDED;
use crate::types::{Position, QueueId};

/// Times a portion is read again because a checkpoint changed what was read.
const READ_AGAIN_MAX: usize = 16;
const ROW_BYTES: usize = 12;

/// A scheduled record that has not been fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it is due.
    pub due_ms: i64,
    /// Where the scheduled record stands.
    pub position: Position,
    /// Length of that record in the log.
    pub bytes: u32,
    /// The queue it goes to.
    pub target: QueueId,
}

impl Timer {
    fn key(&self) -> Key {
        (self.due_ms, self.position.0)
    }
}

/// Due time and position.
type Key = (i64, u64);

/// Key after every timer: the horizon when all timers are in memory.
const END: Key = (i64::MAX, u64::MAX);

fn timer_key((due_ms, position): Key) -> [u8; 16] {
    let mut key = [0; 16];
    // Flipping the sign makes negative times sort before positive ones.
    key[..8].copy_from_slice(&((due_ms as u64) ^ (1 << 63)).to_be_bytes());
    key[8..].copy_from_slice(&position.to_be_bytes());
    key
}

/// The timer of a stored row.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Timer> {
    let due = u64::from_be_bytes(key.get(..8)?.try_into().ok()?) ^ (1 << 63);
    let position = u64::from_be_bytes(key.get(8..16)?.try_into().ok()?);
    if value.len() != ROW_BYTES {
        return None;
    }
    Some(Timer {
        due_ms: due as i64,
        position: Position(position),
        bytes: u32_at(value, 0)?,
        target: QueueId(u64_at(value, 4)?),
    })
}

/// What happened to a timer since the last cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimerChange {
    Added(Timer),
    /// Fired or cancelled; the due time is not known of a timer that is not in memory.
    Removed(Option<i64>),
}

/// Changes of timers since the last cut, by position.
pub(crate) type TimerChanges = Map<u64, TimerChange>;

#[derive(Debug)]
struct State {
    near: BTreeMap<Key, (u32, QueueId)>,
    due: BTreeMap<u64, i64>,
    /// Every pending timer below it is in `near`.
    horizon: Key,
    /// Timers that are in the database only.
    far: u64,
    /// Removed, but the database still has them; true for those counted in `far`, if they exist.
    gone: Map<u64, bool>,
    /// Changes whenever something read from the database before may not be right any more.
    epoch: u64,
    /// No pending timer stands before it.
    pin_floor: u64,
    /// Timers in the database.
    stored: u64,
}

/// All timers.
#[derive(Debug)]
pub(crate) struct Timers {
    state: Mutex<State>,
    kv: Arc<dyn KvStore>,
    memory_max: usize,
}

/// What a checkpoint did to the timers in the database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimersWritten {
    pub(crate) stored: u64,
    /// Removed timers that were not in memory and did exist.
    far_removed: u64,
}

impl Timers {
    pub(crate) fn new(kv: Arc<dyn KvStore>, memory_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                near: BTreeMap::new(),
                due: BTreeMap::new(),
                horizon: END,
                far: 0,
                gone: Map::default(),
                epoch: 0,
                pin_floor: 0,
                stored: 0,
            }),
            kv,
            memory_max: memory_max.max(8),
        }
    }

    /// Takes over the database's `stored` timers, none of which is due before `floor_ms`.
    pub(crate) fn load(&self, stored: u64, floor_ms: i64) -> Result<(), ViewError> {
        {
            let mut state = self.state.lock();
            state.stored = stored;
            state.far = stored;
            state.horizon = if stored == 0 { END } else { (floor_ms, 0) };
        }
        self.read_portion()
    }

    pub(crate) fn add(&self, timer: Timer, changes: &mut TimerChanges) {
        let mut state = self.state.lock();
        state.near.insert(timer.key(), (timer.bytes, timer.target));
        state.due.insert(timer.position.0, timer.due_ms);
        changes.insert(timer.position.0, TimerChange::Added(timer));
    }

    /// Removes a timer that was fired or cancelled. One that does not exist is ignored.
    pub(crate) fn remove(&self, position: Position, changes: &mut TimerChanges) {
        let mut state = self.state.lock();
        let due = state.due.remove(&position.0);
        if let Some(due) = due {
            state.near.remove(&(due, position.0));
        } else if state.far == 0 || state.gone.contains_key(&position.0) {
            return;
        }
        if matches!(changes.get(&position.0), Some(TimerChange::Added(_))) {
            // The database has never seen it.
            changes.remove(&position.0);
            return;
        }
        state.gone.insert(position.0, due.is_none());
        changes.insert(position.0, TimerChange::Removed(due));
    }

    /// No pending timer is due before this.
    pub(crate) fn floor_ms(&self) -> i64 {
        let state = self.state.lock();
        let first = state.near.first_key_value().map_or(END, |(key, _)| *key);
        first.min(state.horizon).0
    }

    /// Writes changes.
    pub(crate) fn collect(
        &self,
        changes: &TimerChanges,
        batch: &mut Batch,
    ) -> Result<TimersWritten, ViewError> {
        let mut written = TimersWritten {
            stored: self.state.lock().stored,
            ..TimersWritten::default()
        };
        for (position, change) in changes {
            let at = position.to_be_bytes();
            let due = match change {
                TimerChange::Added(timer) => {
                    let mut row = Vec::with_capacity(ROW_BYTES);
                    row.extend_from_slice(&timer.bytes.to_le_bytes());
                    row.extend_from_slice(&timer.target.0.to_le_bytes());
                    batch.put(Space::Timers, timer_key(timer.key()), row);
                    batch.put(Space::TimerAt, at, timer.due_ms.to_le_bytes());
                    written.stored += 1;
                    continue;
                }
                TimerChange::Removed(Some(due)) => *due,
                TimerChange::Removed(None) => {
                    let Some(due) = self.kv.get(Space::TimerAt, &at)? else {
                        continue;
                    };
                    written.far_removed += 1;
                    u64_at(&due, 0).ok_or(ViewError::Damaged("due time"))? as i64
                }
            };
            batch.delete(Space::Timers, timer_key((due, *position)));
            batch.delete(Space::TimerAt, at);
            written.stored = written.stored.saturating_sub(1);
        }
        Ok(written)
    }

    /// Tells that changes up to `cut` are durable; puts what is too much for memory out of it.
    pub(crate) fn collected(&self, changes: &TimerChanges, written: &TimersWritten, cut: Position) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.epoch += 1;
        state.stored = written.stored;
        state.far = state.far.saturating_sub(written.far_removed);
        for (position, change) in changes {
            if matches!(change, TimerChange::Removed(_)) {
                state.gone.remove(position);
            }
        }
        if state.near.len() <= self.memory_max {
            return;
        }
        let Some(horizon) = state.near.keys().nth(self.memory_max / 2).copied() else {
            return;
        };
        state.horizon = state.horizon.min(horizon);
        let beyond = state.near.split_off(&state.horizon);
        for (key, value) in beyond {
            if key.1 >= cut.0 {
                state.near.insert(key, value);
            } else {
                state.due.remove(&key.1);
                state.far += 1;
            }
        }
    }

    /// Reads the next portion beyond the horizon into memory.
    fn read_portion(&self) -> Result<(), ViewError> {
        let portion = self.memory_max / 2;
        for _ in 0..READ_AGAIN_MAX {
            let (epoch, from) = {
                let state = self.state.lock();
                (state.epoch, state.horizon)
            };
            if from == END {
                return Ok(());
            }
            let mut read = Vec::new();
            let mut damaged = false;
            let from = timer_key(from);
            self.kv.range(
                Space::Timers,
                &from,
                None,
                Order::Ascending,
                &mut |key, value| {
                    match decode(key, value) {
                        Some(timer) => read.push(timer),
                        None => damaged = true,
                    }
                    !damaged && read.len() < portion
                },
            )?;
            if damaged {
                return Err(ViewError::Damaged("timer"));
            }
            let mut guard = self.state.lock();
            let state = &mut *guard;
            if state.epoch != epoch {
                continue;
            }
            state.epoch += 1;
            let is_end = read.len() < portion;
            state.horizon = match read.last() {
                Some(last) if !is_end => (last.due_ms, last.position.0 + 1),
                _ => END,
            };
            for timer in read {
                let key = timer.key();
                if state.gone.contains_key(&key.1) || state.due.contains_key(&key.1) {
                    continue;
                }
                state.near.insert(key, (timer.bytes, timer.target));
                state.due.insert(key.1, key.0);
                state.far = state.far.saturating_sub(1);
            }
            return Ok(());
        }
        Ok(())
    }

    /// Up to `max` timers due at `now_ms` or before, after `after`, soonest first. They stay until they are removed.
    pub(crate) fn due(
        &self,
        now_ms: i64,
        after: Option<(i64, Position)>,
        max: usize,
    ) -> Result<Vec<Timer>, ViewError> {
        let from = after.map_or((i64::MIN, 0), |(due, at)| (due, at.0.saturating_add(1)));
        loop {
            let (due, horizon) = {
                let state = self.state.lock();
                let ready = state.near.range(from..state.horizon.max(from));
                let due: Vec<_> = ready
                    .take_while(|(key, _)| key.0 <= now_ms)
                    .take(max)
                    .map(|(key, (bytes, target))| Timer {
                        due_ms: key.0,
                        position: Position(key.1),
                        bytes: *bytes,
                        target: *target,
                    })
                    .collect();
                let is_low = state.horizon != END && state.near.len() < self.memory_max / 4;
                let is_whole = due.len() == max || state.horizon.0 > now_ms;
                if is_whole && !is_low {
                    return Ok(due);
                }
                if is_whole {
                    drop(state);
                    self.read_portion()?;
                    return Ok(due);
                }
                if state.horizon == END {
                    return Ok(due);
                }
                (due, state.horizon)
            };
            self.read_portion()?;
            if self.state.lock().horizon <= horizon {
                // A checkpoint was in the way every time; what is missing comes with the next call.
                return Ok(due);
            }
        }
    }

    /// Up to `max` prepared records after `after`, oldest first.
    pub(crate) fn undecided(
        &self,
        after: Option<Position>,
        max: usize,
    ) -> Result<Vec<Timer>, ViewError> {
        let from = after.map_or(0, |at| at.0.saturating_add(1));
        let mut found = BTreeMap::new();
        let has_far = {
            let state = self.state.lock();
            let near = state.near.range((UNDECIDED, from)..).take(max);
            found.extend(near.map(|(key, value)| (key.1, *value)));
            state.far > 0
        };
        if has_far {
            let mut seen = 0;
            let first = timer_key((UNDECIDED, from));
            self.kv.range(
                Space::Timers,
                &first,
                None,
                Order::Ascending,
                &mut |key, value| {
                    let Some(timer) = decode(key, value) else {
                        return true;
                    };
                    if !self.state.lock().gone.contains_key(&timer.position.0) {
                        found.insert(timer.position.0, (timer.bytes, timer.target));
                        seen += 1;
                    }
                    seen < max
                },
            )?;
        }
        let timers = found.into_iter().take(max);
        Ok(timers
            .map(|(position, (bytes, target))| Timer {
                due_ms: UNDECIDED,
                position: Position(position),
                bytes,
                target,
            })
            .collect())
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Result<Option<i64>, ViewError> {
        loop {
            let before = {
                let state = self.state.lock();
                match state.near.first_key_value() {
                    Some((key, _)) if *key < state.horizon => return Ok(Some(key.0)),
                    first if state.horizon == END => return Ok(first.map(|(key, _)| key.0)),
                    _ => state.horizon,
                }
            };
            self.read_portion()?;
            if self.state.lock().horizon <= before {
                return Ok(Some(before.0));
            }
        }
    }

    /// Pending timers. Too low until the next checkpoint by the number of cancels for timers that had fired.
    pub(crate) fn pending(&self) -> u64 {
        let state = self.state.lock();
        let far_gone = state.gone.values().filter(|far| **far).count() as u64;
        state.due.len() as u64 + state.far.saturating_sub(far_gone)
    }

    /// True if the scheduled record at `position` waits to be fired.
    pub(crate) fn is_pending(&self, position: Position) -> Result<bool, ViewError> {
        {
            let state = self.state.lock();
            if state.due.contains_key(&position.0) {
                return Ok(true);
            }
            if state.far == 0 || state.gone.contains_key(&position.0) {
                return Ok(false);
            }
        }
        let stored = self
            .kv
            .get(Space::TimerAt, &position.0.to_be_bytes())?
            .is_some();
        let state = self.state.lock();
        Ok(stored && !state.gone.contains_key(&position.0) || state.due.contains_key(&position.0))
    }

    /// Position of the oldest record a pending timer needs.
    pub(crate) fn oldest_pin(&self) -> Result<Option<Position>, ViewError> {
        let (near, far, floor) = {
            let state = self.state.lock();
            let near = state.due.keys().next().copied();
            (near, state.far > 0, state.pin_floor)
        };
        let mut oldest = near;
        if far {
            let to = near.map(u64::to_be_bytes);
            let to = to.as_ref().map(<[u8; 8]>::as_slice);
            self.kv.range(
                Space::TimerAt,
                &floor.to_be_bytes(),
                to,
                Order::Ascending,
                &mut |key, _| {
                    let Ok(at) = key.try_into().map(u64::from_be_bytes) else {
                        return false;
                    };
                    let is_gone = self.state.lock().gone.contains_key(&at);
                    if !is_gone {
                        oldest = Some(at);
                    }
                    is_gone
                },
            )?;
        }
        if let Some(at) = oldest {
            let mut state = self.state.lock();
            state.pin_floor = state.pin_floor.max(at);
        }
        Ok(oldest.map(Position))
    }

    /// Up to `max` pending timers whose records stand before a position, in no order.
    pub(crate) fn before(&self, end: Position, max: usize) -> Result<Vec<Timer>, ViewError> {
        let (mut timers, has_far, floor) = {
            let state = self.state.lock();
            let near = state.due.range(..end.0).filter_map(|(position, due_ms)| {
                let (bytes, target) = state.near.get(&(*due_ms, *position))?;
                Some(Timer {
                    due_ms: *due_ms,
                    position: Position(*position),
                    bytes: *bytes,
                    target: *target,
                })
            });
            let near: Vec<_> = near.take(max).collect();
            (near, state.far > 0, state.pin_floor)
        };
        if !has_far || timers.len() >= max {
            return Ok(timers);
        }
        let mut far = Vec::new();
        let (from, to) = (floor.to_be_bytes(), end.0.to_be_bytes());
        self.kv.range(
            Space::TimerAt,
            &from,
            Some(&to),
            Order::Ascending,
            &mut |key, value| {
                let at = key.try_into().map(u64::from_be_bytes);
                let (Ok(at), Some(due)) = (at, u64_at(value, 0)) else {
                    return false;
                };
                let state = self.state.lock();
                if !state.gone.contains_key(&at) && !state.due.contains_key(&at) {
                    far.push((due as i64, at));
                }
                timers.len() + far.len() < max
            },
        )?;
        for key in far {
            let key = timer_key(key);
            // One that is gone by now is not missed.
            let row = self.kv.get(Space::Timers, &key)?;
            timers.extend(row.and_then(|row| decode(&key, &row)));
        }
        Ok(timers)
    }

    /// Visits every pending timer, in no order.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Timer)) -> Result<(), ViewError> {
        let (near, gone, has_far) = {
            let state = self.state.lock();
            (state.near.clone(), state.gone.clone(), state.far > 0)
        };
        if has_far {
            self.kv.range(
                Space::Timers,
                &[],
                None,
                Order::Ascending,
                &mut |key, value| {
                    if let Some(timer) = decode(key, value) {
                        let known = near.contains_key(&timer.key());
                        if !known && !gone.contains_key(&timer.position.0) {
                            visit(timer);
                        }
                    }
                    true
                },
            )?;
        }
        for ((due_ms, position), (bytes, target)) in near {
            visit(Timer {
                due_ms,
                position: Position(position),
                bytes,
                target,
            });
        }
        Ok(())
    }
}
