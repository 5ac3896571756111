//! Opening: from the database if it fits the log, else from a snapshot and all of the log there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use bytes::Bytes;
use parking_lot::Mutex;

use super::checkpoint::{State, Upkeep};
use super::fold::{Fold, Rebuild};
use super::keys::KeyIndex;
use super::position::Positions;
use super::queue::chunk::u64_at;
use super::queue::{Head, QueueTable};
use super::snapshot::Snapshots;
use super::table::Tables;
use super::timer::{self, Timers};
use super::{Limits, ViewError, Views};
use crate::io::Disk;
use crate::kv::{KvStore, Order, Space};
use crate::types::{GroupId, Position, QueueId, TableId};

/// Why a database without a state cannot be opened.
const EMPTY: &str = "it is empty";
const DAMAGED: ViewError = ViewError::Damaged("row");

impl Views {
    /// Opens the views of a log that has the committed records from `log_start` to `log_end`.
    ///
    /// Returns the position from which the caller has to apply the records of the log, in order, before anybody else may
    /// use the views. A database that is missing, damaged, or does not fit the log is wiped: then that is the log's start.
    /// Nothing may be appended to the log before this call has returned.
    ///
    /// # Errors
    /// [`ViewError::StateLost`] if neither the database nor a snapshot is of use and the log does not go back to its
    /// beginning; otherwise the database or the snapshots cannot be used at all.
    pub fn open(
        kv: Box<dyn KvStore>,
        disk: Arc<dyn Disk>,
        log_start: Position,
        log_end: Position,
        limits: Limits,
    ) -> Result<(Self, Position), ViewError> {
        let kv: Arc<dyn KvStore> = kv.into();
        let snapshots = Snapshots::open(disk, log_start, log_end)?;
        let snapshots = match resume(&kv, snapshots, log_start, log_end, limits) {
            Ok(views) => {
                let resume = views.applied();
                return Ok((views, resume));
            }
            // A log without records has an index without rows.
            Err((snapshots, ViewError::Damaged(EMPTY))) if log_end == Position::ZERO => {
                let views = rebuild(kv, snapshots, log_start, limits)?;
                return Ok((views, log_start));
            }
            Err((snapshots, reason)) => {
                tracing::warn!(reason = %reason, "index database is rebuilt from the log");
                snapshots
            }
        };
        kv.wipe()?;
        let views = rebuild(kv, snapshots, log_start, limits)?;
        Ok((views, log_start))
    }

    fn new(
        kv: &Arc<dyn KvStore>,
        snapshots: Snapshots,
        log_start: Position,
        limits: Limits,
        keys: KeyIndex,
    ) -> Self {
        let queues = QueueTable::new(Arc::clone(kv), log_start, limits.waiters_max);
        Self {
            fold: Mutex::new(Fold {
                // 0 means *never* to a queue.
                interval: 1,
                ..Fold::default()
            }),
            applied: AtomicU64::new(0),
            noted_bytes: AtomicUsize::new(0),
            queues: Arc::new(queues),
            keys,
            tables: Tables::default(),
            positions: Positions::default(),
            timers: Timers::new(Arc::clone(kv), limits.timers_in_memory),
            kv: Arc::clone(kv),
            snapshots,
            upkeep: Mutex::new(Upkeep::default()),
            condemned: AtomicBool::new(false),
            limits,
        }
    }

    /// Takes over one row of the database. False if it is malformed.
    fn load_row(&self, space: Space, key: &[u8], value: &[u8]) -> bool {
        match space {
            Space::Rows => row(key).is_some_and(|(table, key)| {
                self.tables
                    .set(table, &key, Some(Bytes::copy_from_slice(value)));
                true
            }),
            Space::Positions => position(key, value).is_some_and(|(group, queue, offset)| {
                self.positions.set(group, queue, Some(offset));
                true
            }),
            Space::Queues => queue_id(key).is_some_and(|queue| self.queues.load(queue, value)),
            Space::Floors => queue_number(key, value).is_some_and(|(queue, floor)| {
                self.queues.set_floor(queue, floor);
                true
            }),
            Space::Retired => queue_number(key, value).is_some_and(|(queue, at)| {
                self.queues.set_retired(queue, Position(at));
                true
            }),
            _ => true,
        }
    }

    /// Takes over one row of a snapshot and notes it for the database. False if it is malformed.
    fn adopt_row(&self, fold: &mut Fold, space: Space, key: &[u8], value: &[u8]) -> bool {
        let delta = &mut fold.delta;
        match space {
            Space::Rows => row(key).is_some_and(|(table, key)| {
                let value = Bytes::copy_from_slice(value);
                self.tables.set(table, &key, Some(value.clone()));
                delta.note_row(table, key, Some(value));
                true
            }),
            Space::Positions => position(key, value).is_some_and(|(group, queue, offset)| {
                self.positions.set(group, queue, Some(offset));
                delta.note_position(group, queue, Some(offset));
                true
            }),
            Space::Retired => queue_number(key, value).is_some_and(|(queue, at)| {
                self.queues.set_retired(queue, Position(at));
                delta.dropped.insert(queue, Position(at));
                true
            }),
            Space::Timers => timer::decode(key, value).is_some_and(|timer| {
                self.timers.add(timer, &mut delta.timers);
                true
            }),
            _ => true,
        }
    }

    /// Lets the queues of the snapshot in that the log had no record of. Called once, when the log has been read up to
    /// the snapshot.
    pub(super) fn finish_rebuild(&self, fold: &mut Fold) {
        let Some(rebuild) = fold.rebuild.take() else {
            return;
        };
        for (queue, head) in rebuild.heads {
            if self.queues.adopt(queue, &head) {
                fold.delta.heads.push((queue, head));
            } else if self.queues.next_offset(queue) != head.next {
                tracing::error!(?queue, "the log and the snapshot disagree about a queue");
            }
        }
        for (queue, floor) in rebuild.floors {
            if let Some(floor) = self.queues.trim(queue, floor) {
                fold.delta.note_floor(queue, floor);
            }
        }
    }
}

/// The part of a snapshot that waits until the log has been read up to it. False if it is malformed.
fn set_aside(rebuild: &mut Rebuild, space: Space, key: &[u8], value: &[u8]) -> bool {
    match space {
        Space::Queues => {
            let head = queue_id(key).and_then(|queue| Some((queue, Head::decode(queue, value)?)));
            rebuild.heads.extend(head);
            head.is_some()
        }
        Space::Floors => {
            let floor = queue_number(key, value);
            rebuild.floors.extend(floor);
            floor.is_some()
        }
        _ => true,
    }
}

/// Opens from the database.
fn resume(
    kv: &Arc<dyn KvStore>,
    snapshots: Snapshots,
    log_start: Position,
    log_end: Position,
    limits: Limits,
) -> Result<Views, (Snapshots, ViewError)> {
    let opened = stored_state(kv, log_start, log_end)
        .and_then(|state| Ok((state, KeyIndex::open(Arc::clone(kv), log_start)?)));
    let (state, keys) = match opened {
        Ok(opened) => opened,
        Err(e) => return Err((snapshots, e)),
    };
    let views = Views::new(kv, snapshots, log_start, limits, keys);
    match views.load(&state) {
        Ok(()) => Ok(views),
        Err(e) => Err((views.snapshots, e)),
    }
}

fn stored_state(
    kv: &Arc<dyn KvStore>,
    log_start: Position,
    log_end: Position,
) -> Result<State, ViewError> {
    let state = kv.get(Space::Meta, State::key())?;
    let state = state.ok_or(ViewError::Damaged(EMPTY))?;
    let state = State::decode(&state).ok_or(ViewError::Damaged("state"))?;
    if state.applied > log_end {
        return Err(ViewError::Damaged("it is from the future of the log"));
    }
    if state.applied < log_start {
        return Err(ViewError::Damaged("it is older than the log"));
    }
    Ok(state)
}

impl Views {
    fn load(&self, state: &State) -> Result<(), ViewError> {
        for space in [
            Space::Rows,
            Space::Positions,
            Space::Queues,
            Space::Floors,
            Space::Retired,
        ] {
            let mut whole = true;
            self.kv
                .range(space, &[], None, Order::Ascending, &mut |key, value| {
                    whole = self.load_row(space, key, value);
                    whole
                })?;
            if !whole {
                return Err(DAMAGED);
            }
        }
        self.timers.load(state.timers, state.timer_floor_ms)?;
        let mut fold = self.fold.lock();
        if state.applied < state.small_from {
            // A rebuild was interrupted: the rest of its snapshot is still needed.
            let mut rebuild = Rebuild::default();
            let whole = self.snapshots.read(state.small_from, |space, key, value| {
                set_aside(&mut rebuild, space, key, value)
            })?;
            if !whole {
                return Err(ViewError::Damaged("the snapshot of a rebuild is gone"));
            }
            fold.rebuild = Some(rebuild);
        }
        fold.applied = state.applied;
        fold.small_from = state.small_from;
        self.upkeep.lock().state = *state;
        self.set_applied(state.applied);
        Ok(())
    }
}

/// Opens with an empty database, from the newest snapshot that is whole.
fn rebuild(
    kv: Arc<dyn KvStore>,
    snapshots: Snapshots,
    log_start: Position,
    limits: Limits,
) -> Result<Views, ViewError> {
    let mut snapshots = snapshots;
    for position in snapshots.list()?.into_iter().rev() {
        let keys = KeyIndex::open(Arc::clone(&kv), log_start)?;
        let views = Views::new(&kv, snapshots, log_start, limits, keys);
        let mut fold = views.fold.lock();
        let mut rebuild = Rebuild::default();
        let read = views.snapshots.read(position, |space, key, value| {
            set_aside(&mut rebuild, space, key, value)
                && views.adopt_row(&mut fold, space, key, value)
        });
        if matches!(read, Ok(true)) {
            fold.applied = log_start;
            fold.small_from = position;
            fold.rebuild = Some(rebuild);
            if position <= log_start {
                views.finish_rebuild(&mut fold);
            }
            drop(fold);
            views.set_applied(log_start);
            return Ok(views);
        }
        drop(fold);
        tracing::error!(%position, "snapshot is damaged");
        snapshots = views.snapshots;
        snapshots.discard(position)?;
    }
    if log_start > Position::ZERO {
        return Err(ViewError::StateLost { log_start });
    }
    let keys = KeyIndex::open(Arc::clone(&kv), log_start)?;
    Ok(Views::new(&kv, snapshots, log_start, limits, keys))
}

fn row(key: &[u8]) -> Option<(TableId, Bytes)> {
    let (table, key) = key.split_at_checked(2)?;
    let table = TableId(u16::from_be_bytes(table.try_into().ok()?));
    Some((table, Bytes::copy_from_slice(key)))
}

fn queue_id(key: &[u8]) -> Option<QueueId> {
    Some(QueueId(u64::from_be_bytes(key.try_into().ok()?)))
}

fn queue_number(key: &[u8], value: &[u8]) -> Option<(QueueId, u64)> {
    Some((queue_id(key)?, u64_at(value, 0)?))
}

fn position(key: &[u8], value: &[u8]) -> Option<(GroupId, QueueId, u64)> {
    let (group, queue) = key.split_at_checked(4)?;
    let group = GroupId(u32::from_be_bytes(group.try_into().ok()?));
    Some((group, queue_id(queue)?, u64_at(value, 0)?))
}
