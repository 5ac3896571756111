//! Housekeeping: segments written ahead, superblocks, checkpoints, retention.
//!
//! One thread does it all, so that background work never competes with itself for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use smallvec::smallvec;

use crate::api::{Batch, Done};
use crate::change;
use crate::io::{Clock, Disk, Space};
use crate::log::{LogError, LogReader, Prewriter, SegmentView};
use crate::options::Options;
use crate::recover::{beyond_reach, visible_start};
use crate::store::{SPARE_MAX, spare};
use crate::types::{Durability, Position};
use crate::view::Views;

use super::local::LocalLog;
use super::timer::Alarm;
use super::{LogEngine, Marks};

/// Bytes of the next segment zeroed between looks at other work.
const PREWRITE_SLICE: u64 = 4 << 20;
/// Time between superblocks while the log grows.
const SUPERBLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// Sleep between looks when nothing grows.
const LOOK: Duration = Duration::from_millis(500);

/// Wakes and ends the keeper.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<(bool, bool)>,
    rung: Condvar,
}

impl Bell {
    /// Makes the keeper look now.
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        if !state.0 {
            state.0 = true;
            self.rung.notify_one();
        }
    }

    /// Ends the keeper.
    pub(crate) fn close(&self) {
        self.state.lock().1 = true;
        self.rung.notify_one();
    }

    /// Sleeps until rung or `patience` is over. False once closed.
    fn sleep(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.0 && !state.1 && !patience.is_zero() {
            self.rung.wait_for(&mut state, patience);
        }
        state.0 = false;
        !state.1
    }
}

/// What the keeper works with.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) bell: Arc<Bell>,
    pub(crate) log: Arc<LocalLog>,
    pub(crate) reader: LogReader,
    pub(crate) views: Arc<Views>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) prewriter: Prewriter,
    pub(crate) options: Options,
    /// How far back records of the log may borrow.
    pub(crate) reach_bytes: u64,
    /// The disk is low: records for queues are refused, state changes are not.
    pub(crate) refusing: Arc<AtomicBool>,
    /// There is no room for the next segment.
    pub(crate) is_full: bool,
    /// Segments go before their time, or records are refused: retention looks more often.
    pub(crate) is_low: bool,
}

impl Keeper {
    /// Works until the bell is closed.
    pub(crate) fn run(mut self) {
        let mut last_superblock = (Duration::ZERO, Position::ZERO);
        let mut last_checkpoint = (self.clock.monotonic(), self.marks().committed);
        let mut last_retention = Duration::ZERO;
        let mut patience = Duration::ZERO;
        let mut made_room = false;
        while self.bell.sleep(patience) {
            let has_more = self.prewrite();
            let now = self.clock.monotonic();
            let marks = self.marks();
            if marks.durable != last_superblock.1
                && now.saturating_sub(last_superblock.0) >= SUPERBLOCK_INTERVAL
            {
                last_superblock = (now, marks.durable);
                self.log.write_superblock();
            }
            let grown = marks.committed.0 - last_checkpoint.1.0;
            let waited = now.saturating_sub(last_checkpoint.0);
            if grown >= self.options.checkpoint_bytes
                || (grown > 0 && waited >= self.options.checkpoint_interval)
                || self.views.pending_bytes() >= PENDING_BYTES_MAX
            {
                // What is merely written waits for its sync; then the next look checkpoints it.
                if self.views.cut() <= marks.durable {
                    last_checkpoint = (now, marks.committed);
                    self.checkpoint();
                }
            }
            let pause = match (made_room, self.is_full || self.is_low) {
                (true, _) => Duration::ZERO,
                (false, true) => LOOK,
                (false, false) => self.options.retention_interval,
            };
            if now.saturating_sub(last_retention) >= pause {
                last_retention = now;
                made_room = self.retain();
            }
            patience = if has_more || made_room {
                Duration::ZERO
            } else {
                LOOK
            };
        }
        self.checkpoint();
    }

    fn marks(&self) -> Marks {
        *self.log.marks().borrow()
    }

    fn prewrite(&mut self) -> bool {
        let stepped = self.prewriter.step(PREWRITE_SLICE);
        self.is_full = matches!(stepped, Err(LogError::Full));
        match stepped {
            Ok(more) => more,
            Err(LogError::Full) => false,
            Err(error) => {
                tracing::warn!(%error, "writing the next segment ahead failed");
                false
            }
        }
    }

    fn checkpoint(&self) {
        if let Err(error) = self.views.checkpoint(self.marks().durable) {
            tracing::warn!(%error, "a checkpoint of the index failed; the log is not affected");
        }
    }

    /// One step of retention; true if it got further, so that another may as well.
    fn retain(&mut self) -> bool {
        // A full log refuses by itself; a full disk has to be looked at.
        let (refuse, is_disk_low) = self.look_at_disk();
        if self.refusing.swap(refuse, Ordering::Relaxed) != refuse {
            tracing::warn!(
                refuse,
                "the room on the disk decides; whether records are refused has changed"
            );
        }
        let of_log = percent(self.prewriter.disk_bytes(), self.options.log.disk_bytes_max);
        self.is_low = self.is_full || is_disk_low || of_log >= self.options.disk_clean_percent;
        let segments = self.reader.segments();
        let reach = self.reach_bytes;
        let mut goal = expired(&segments, self.clock.now_ms(), &self.options);
        if self.is_low
            && let Some(second) = segments.get(1)
        {
            // One segment at a time goes before its time.
            goal = goal.max(beyond_reach(&segments, second.base, reach).unwrap_or(goal));
        }
        self.release(goal);
        let before = self.trim_point(&segments, goal);
        if before > self.reader.start() {
            // First the index, then the files: what a reader is told of can be read.
            let visible = visible_start(&segments, before, reach);
            if let Err(error) = self.views.trim(visible) {
                tracing::warn!(%error, "the index keeps expired entries for now");
            }
            let start = self.reader.start();
            self.log.trim(before);
            return self.reader.start() > start;
        }
        let floor = self.views.trim_floor();
        if goal > floor {
            // What is expired is held only because the snapshots are older: make newer ones.
            self.checkpoint();
            if let Err(error) = self.views.snapshot() {
                tracing::warn!(%error, "a snapshot could not be written");
            }
            if self.views.trim_floor() == floor {
                self.advance();
            }
        }
        self.views.trim_floor() > floor
    }

    /// Has timers copied forward that wait in what is to go. Those further on hold back no more than their reach.
    fn release(&self, goal: Position) {
        if let Ok(Some(pin)) = self.views.oldest_pin()
            && pin < goal
        {
            self.alarm.copy_before(goal);
        }
    }

    /// Appends a record that changes nothing. While records are refused the log may stand still, and two snapshots cannot
    /// stand at one position.
    fn advance(&self) {
        let Ok(record) = change::draft(&[]).prepare() else {
            return;
        };
        let batch = Batch {
            records: smallvec![record],
            durability: Durability::Durable,
            done: Done::Ignore,
        };
        if let Err(refused) = self.log.propose(batch) {
            tracing::debug!(error = %refused.error, "the log cannot be advanced now");
        }
    }

    /// Whether so little of the disk is free, whoever uses it, that records are refused, and that segments go early.
    fn look_at_disk(&self) -> (bool, bool) {
        match self.disk.space() {
            Ok(Space { total, free }) => {
                let full = spare(total, self.options.disk_full_percent, SPARE_MAX);
                let clean = spare(total, self.options.disk_clean_percent, 2 * SPARE_MAX);
                (free <= full, free <= clean)
            }
            Err(error) => {
                tracing::warn!(%error, "the free space of the disk is not known");
                (false, false)
            }
        }
    }

    /// How far the log may be cut so that what is visible begins at `goal` at the latest.
    fn trim_point(&self, segments: &[SegmentView], goal: Position) -> Position {
        match self.views.oldest_pin() {
            Ok(pin) => {
                let reach = self.reach_bytes;
                let durable = self.marks().durable;
                // What a pending timer's record borrows is needed as well.
                let most = pin.map_or(durable, |pin| Position(pin.0.saturating_sub(reach)));
                let visible = goal.min(self.views.trim_floor());
                trim_point(segments, most.min(durable), visible, reach)
            }
            // Without an answer nothing may go.
            Err(error) => {
                tracing::warn!(%error, "what pending timers need is not known");
                Position::ZERO
            }
        }
    }
}

/// The last segment boundary up to `most` at which the log may be cut so that what stays visible begins at `visible` at
/// the latest: where retention, and the oldest snapshot, allow it.
#[must_use]
pub fn trim_point(
    segments: &[SegmentView],
    most: Position,
    visible: Position,
    reach_bytes: u64,
) -> Position {
    let boundaries = segments
        .iter()
        .map(|segment| segment.base)
        .filter(|base| *base <= most);
    boundaries
        .filter(|base| beyond_reach(segments, *base, reach_bytes).is_some_and(|at| at <= visible))
        .max()
        .unwrap_or(Position::ZERO)
}

fn percent(part: u64, whole: u64) -> u8 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1)))
        .map_or(100, |p| p.min(100) as u8)
}

/// Chunks of the index that may wait for a checkpoint, in bytes.
pub(crate) const PENDING_BYTES_MAX: usize = 64 << 20;

/// The position before which everything is to go by age or by total size.
fn expired(segments: &[SegmentView], now_ms: i64, options: &Options) -> Position {
    let sealed = segments.len().saturating_sub(1);
    let mut before = segments.first().map_or(Position::ZERO, |first| first.base);
    let mut kept: u64 = segments.iter().map(|segment| segment.file_bytes).sum();
    for segment in segments.iter().take(sealed) {
        let old = options
            .retain_for
            .is_some_and(|keep| now_ms.saturating_sub(segment.last_ms) > keep.as_millis() as i64);
        let large = options.retain_bytes.is_some_and(|keep| kept > keep);
        if !(old || large) {
            break;
        }
        kept -= segment.file_bytes;
        before = segment.end;
    }
    before
}
