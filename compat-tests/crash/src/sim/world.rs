//! One run: a store that lives, dies and recovers on simulated files.

mod leases;
mod prepared;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use crossdock_store::api::{AppendError, Batch, Done, ReadError, ReadLimits, Receipt, TagFilter};
use crossdock_store::change::{self, Change};
use crossdock_store::engine::core::Core;
use crossdock_store::engine::keeper::trim_point;
use crossdock_store::engine::timer::{FIRE_RECORDS_MAX, firing};
use crossdock_store::io::sim::{CrashKind, Rng, SimClock, SimDisk};
use crossdock_store::io::{Clock, Disk};
use crossdock_store::kv::MemKv;
use crossdock_store::lease::Ledger;
use crossdock_store::log::{LogConfig, Prewriter};
use crossdock_store::options::Options;
use crossdock_store::read::{Access, Reader};
use crossdock_store::record::{Draft, Prepared};
use crossdock_store::recover::{Recovered, recover, visible_start};
use crossdock_store::types::{Durability, Flavour, GroupId, Position, QueueId, TableId};
use crossdock_store::view::Views;
use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use super::oracle::{Oracle, Seen, Violation};
use super::{SimOptions, SimReport};

const QUEUES: u64 = 6;
const GROUPS: u64 = 2;
const ROWS: u64 = 5;
const TABLE: TableId = TableId(9);
/// Index databases kept to be restored later.
const KV_VERSIONS: usize = 4;

/// A store, its simulated surroundings, and the books about it.
#[derive(Debug)]
pub struct World {
    seed: u64,
    rng: Rng,
    disk: SimDisk,
    kv: MemKv,
    clock: SimClock,
    store: Options,
    sim: SimOptions,
    oracle: Oracle,
    report: SimReport,
    life: u32,
    next_id: u64,
    flipped: bool,
    /// Below it damage must be noticed.
    witnessed: Position,
    /// Messages seen fired, over all lives.
    fired: HashSet<u64>,
}

/// The store of one life.
struct Alive {
    core: Core,
    reach_bytes: u64,
    ledgers: HashMap<QueueId, Ledger>,
    reader: Reader,
    views: Arc<Views>,
    prewriter: Prewriter,
}

impl World {
    /// A run that has not begun.
    #[must_use]
    pub fn new(seed: u64, sim: SimOptions) -> Self {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        if sim.lie_about_sync {
            disk.lie_about_sync(true);
        }
        let first_segment_bytes = [16 << 10, 64 << 10, 256 << 10][rng.below(3) as usize];
        let store = Options {
            log: LogConfig {
                first_segment_bytes,
                segment_bytes_max: first_segment_bytes * [1, 4][rng.below(2) as usize],
                block_bytes: [4 << 10, 64 << 10][rng.below(2) as usize],
                unsynced_bytes_max: 1 << 20,
                disk_bytes_max: first_segment_bytes * 64,
                new_reach_bytes: first_segment_bytes,
                ..LogConfig::default()
            },
            ..Options::default()
        };
        Self {
            seed,
            rng,
            disk,
            kv: MemKv::with_history(KV_VERSIONS),
            clock: SimClock::at(1_700_000_000_000),
            store,
            sim,
            oracle: Oracle::default(),
            report: SimReport {
                runs: 1,
                ..SimReport::default()
            },
            life: 0,
            next_id: 1,
            flipped: false,
            witnessed: Position::ZERO,
            fired: HashSet::new(),
        }
    }

    fn wrong(&mut self, what: impl Into<String>) {
        let violation = Violation {
            seed: self.seed,
            life: self.life,
            what: what.into(),
        };
        self.report.violations.push(violation);
    }

    /// One life: recover, compare, work, die. False when the run is over.
    pub fn live(&mut self) -> bool {
        self.life += 1;
        let Some(mut alive) = self.open() else {
            return false;
        };
        self.compare(&alive);
        if !self.report.violations.is_empty() {
            return false;
        }
        for _ in 0..self.sim.steps {
            self.step(&mut alive);
            if alive.core.is_fenced() {
                self.report.fenced += 1;
                break;
            }
        }
        self.die(alive);
        true
    }

    /// The last life: everything that was due must have fired.
    pub fn finish(mut self) -> SimReport {
        if !self.report.violations.is_empty() || self.report.refused > 0 {
            return self.report;
        }
        self.life += 1;
        if let Some(mut alive) = self.open() {
            self.compare(&alive);
            self.clock.advance(Duration::from_secs(3600));
            self.fire(&mut alive);
            self.roll_back_all(&mut alive);
            self.compare(&alive);
            if alive.views.pending_count() != 0 && !self.flipped {
                self.wrong("timers are pending though all were due");
            }
        }
        self.report
    }

    fn open(&mut self) -> Option<Alive> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        // A log keeps the reach it was created with, whatever later settings say.
        let mut options = self.store.clone();
        options.log.new_reach_bytes *= 1 + self.rng.below(3);
        match recover(
            disk,
            Box::new(self.kv.clone()),
            Arc::new(self.clock.clone()),
            &options,
        ) {
            Ok(Recovered {
                writer,
                log,
                views,
                prewriter,
                last_ms,
                ..
            }) => {
                let reach_bytes = writer.reach_bytes();
                let core = Core::new(writer, views.clone(), last_ms);
                let reader = Reader::new(log, views.clone(), 1 << 16, core.committed());
                Some(Alive {
                    ledgers: leases::load(&views),
                    core,
                    reach_bytes,
                    reader,
                    views,
                    prewriter,
                })
            }
            Err(error) => {
                if self.flipped {
                    self.report.refused += 1;
                } else {
                    self.wrong(format!("refused to open: {error}"));
                }
                None
            }
        }
    }

    fn compare(&mut self, alive: &Alive) {
        let segments = alive.reader.segments();
        let log_start = visible_start(&segments, alive.reader.log_start(), alive.reach_bytes);
        let mut fired = HashSet::new();
        for number in 1..=QUEUES {
            let queue = QueueId(number);
            let Ok(bounds) = alive.views.bounds(queue) else {
                self.wrong(format!("{queue:?}: no bounds"));
                continue;
            };
            let Some(seen) = self.read_queue(alive, queue) else {
                continue;
            };
            fired.extend(seen.iter().filter(|s| s.fired).map(|s| s.id));
            let wrong = self
                .oracle
                .check_queue(queue, bounds.min, bounds.max, &seen, log_start);
            wrong.into_iter().for_each(|what| self.wrong(what));
        }
        let views = alive.views.clone();
        self.fired.extend(&fired);
        let is_pending = |at| views.is_pending(at).unwrap_or(false);
        // A scheduled record that was damaged cannot fire; its loss is logged when it is due.
        if !self.flipped {
            let wrong = self.oracle.check_timers(&self.fired, is_pending, log_start);
            wrong.into_iter().for_each(|what| self.wrong(what));
        }
        for (group, queue) in self.oracle.position_keys() {
            let found = views.position(group, queue);
            if let Some(what) = self.oracle.check_position((group, queue), found) {
                self.wrong(what);
            }
        }
        self.compare_ledgers(alive);
        for key in self.oracle.row_keys() {
            let found = views.get(TABLE, &key.to_le_bytes());
            let found =
                found.map(|v| u64::from_le_bytes(v.as_ref().try_into().unwrap_or_default()));
            if let Some(what) = self.oracle.check_row(key, found) {
                self.wrong(what);
            }
        }
    }

    /// Everything readable in a queue. `None` after an error that flipped bits excuse.
    fn read_queue(&mut self, alive: &Alive, queue: QueueId) -> Option<Vec<Seen>> {
        let limits = ReadLimits {
            records: 7,
            bytes: 1 << 14,
            scanned: 64,
        };
        let bounds = alive.views.bounds(queue).unwrap_or_default();
        let mut next = bounds.min;
        let mut seen = Vec::new();
        while next < bounds.max {
            let outcome = alive
                .reader
                .read(queue, next, limits, &TagFilter::All, Access::Disk);
            let outcome = match outcome {
                Some(Ok(outcome)) => outcome,
                Some(Err(ReadError::Damaged(_))) if self.flipped => return None,
                other => {
                    self.wrong(format!("{queue:?}: reading {next} gave {other:?}"));
                    return None;
                }
            };
            if outcome.next <= next {
                self.wrong(format!("{queue:?}: reading {next} made no progress"));
                return None;
            }
            for message in &outcome.messages {
                let mut body = message.prefix.as_deref().unwrap_or_default().to_vec();
                body.extend_from_slice(&message.record.tail);
                let Some(id) = check_body(&body) else {
                    self.wrong(format!(
                        "{queue:?}: wrong bytes at offset {}",
                        message.offset
                    ));
                    return None;
                };
                seen.push(Seen {
                    offset: message.offset,
                    id,
                    stored_ms: message.record.stored_ms,
                    fired: message.record.fires().is_some(),
                });
            }
            next = outcome.next;
        }
        Some(seen)
    }

    fn step(&mut self, alive: &mut Alive) {
        self.clock
            .advance(Duration::from_millis(self.rng.below(40)));
        match self.rng.below(100) {
            0..38 => self.append(alive),
            38..41 => self.prepare(alive),
            41..44 => self.decide(alive),
            44..49 => self.lease(alive),
            49..51 => self.flush_ledgers(alive),
            51..56 => self.commit_position(alive),
            56..62 => self.put_row(alive),
            62..70 => self.schedule(alive),
            70..72 => self.cancel(alive),
            72..79 => self.fire(alive),
            79..83 => self.checkpoint(alive),
            83..88 => self.superblock(alive),
            88..92 => {
                let budget = 1 << self.rng.range(9, 16);
                // A failure here is felt when the next segment is needed.
                let _ = alive.prewriter.step(budget);
            }
            92..95 => self.retain(alive),
            95..96 => alive.core.sync(),
            96..97 => self.sync_beside(alive),
            97..98 => self.clock.set_wall(self.clock.now_ms() - 5_000),
            98..99 => self.plan_fault(),
            _ => {
                let queue = QueueId(self.rng.range(1, QUEUES + 1));
                self.read_queue(alive, queue);
            }
        }
    }

    /// A sync that runs while the log is written.
    fn sync_beside(&mut self, alive: &mut Alive) {
        if let Some(job) = alive.core.begin_sync() {
            for _ in 0..self.rng.below(3) {
                self.append(alive);
            }
            let _ = job.run();
            for _ in 0..self.rng.below(2) {
                self.append(alive);
            }
            alive.core.finish_sync();
        }
    }

    fn plan_fault(&mut self) {
        let skip = self.rng.below(6);
        match self.rng.below(3) {
            0 => self.disk.fail_write(skip),
            1 => self.disk.short_write(skip),
            _ => self.disk.fail_sync(skip),
        }
    }

    fn durability(&mut self) -> Durability {
        if self.rng.chance(1, 2) {
            Durability::Durable
        } else {
            Durability::Written
        }
    }

    fn propose(
        &mut self,
        alive: &mut Alive,
        groups: Vec<(SmallVec<[Prepared; 1]>, Durability)>,
    ) -> Vec<Result<Receipt, AppendError>> {
        let mut batches = VecDeque::new();
        let mut outcomes = Vec::new();
        for (records, durability) in groups {
            let (sender, outcome) = oneshot::channel();
            batches.push_back(Batch {
                records,
                durability,
                done: Done::Once(sender),
            });
            outcomes.push(outcome);
        }
        while !batches.is_empty() {
            alive.core.step(&mut batches, self.clock.now_ms());
        }
        outcomes
            .into_iter()
            .map(|mut outcome| outcome.try_recv().unwrap_or(Err(AppendError::Closed)))
            .collect()
    }

    fn append(&mut self, alive: &mut Alive) {
        let mut groups = Vec::new();
        let mut planned = Vec::new();
        for _ in 0..self.rng.range(1, 5) {
            let mut records = SmallVec::new();
            let mut ids = Vec::new();
            for _ in 0..self.rng.range(1, 4) {
                let queue = QueueId(self.rng.range(1, QUEUES + 1));
                let id = self.new_id();
                self.oracle.submit(id, queue);
                let mut draft = Draft::new(queue, Flavour::Neutral, smallvec![self.body(id)]);
                draft.keys = smallvec![id];
                draft.tag_hash = (id % 3) as i64;
                if let Ok(record) = draft.prepare() {
                    records.push(record);
                    ids.push((id, queue));
                }
            }
            groups.push((records, self.durability()));
            planned.push(ids);
        }
        for (outcome, ids) in self.propose(alive, groups).into_iter().zip(planned) {
            let Ok(receipt) = outcome else { continue };
            for (placed, (id, queue)) in receipt.iter().zip(ids) {
                self.report.acked += 1;
                self.oracle
                    .acked(id, queue, placed.offset, placed.position, placed.bytes);
            }
        }
    }

    fn changes(&mut self, alive: &mut Alive, changes: &[Change]) -> Option<Position> {
        let durability = self.durability();
        let record = change::draft(changes).prepare().ok()?;
        let outcome = self
            .propose(alive, vec![(smallvec![record], durability)])
            .pop()?;
        let placed = outcome.ok()?.first().copied()?;
        Some(placed.position.plus(u64::from(placed.bytes)))
    }

    fn commit_position(&mut self, alive: &mut Alive) {
        let group = GroupId(self.rng.below(GROUPS) as u32);
        let queue = QueueId(self.rng.range(1, QUEUES + 1));
        let offset = self.rng.below(1000);
        let acked = self.changes(
            alive,
            &[Change::Commit {
                group,
                queue,
                offset,
            }],
        );
        self.oracle.position_written(group, queue, offset, acked);
    }

    fn put_row(&mut self, alive: &mut Alive) {
        let key = self.rng.below(ROWS);
        let value = self.rng.next_u64();
        let put = Change::Put {
            table: TABLE,
            key: Bytes::copy_from_slice(&key.to_le_bytes()),
            value: Bytes::copy_from_slice(&value.to_le_bytes()),
        };
        let acked = self.changes(alive, &[put]);
        self.oracle.row_written(key, value, acked);
    }

    fn schedule(&mut self, alive: &mut Alive) {
        let target = QueueId(self.rng.range(1, QUEUES + 1));
        let due_ms = self.clock.now_ms() + self.rng.below(600) as i64;
        let id = self.new_id();
        self.oracle.schedule(id, target, due_ms);
        let mut draft = Draft::new(target, Flavour::Neutral, smallvec![self.body(id)]);
        draft.due_ms = Some(due_ms);
        let durability = self.durability();
        let Ok(record) = draft.prepare() else { return };
        let outcome = self
            .propose(alive, vec![(smallvec![record], durability)])
            .pop();
        if let Some(Ok(receipt)) = outcome
            && let Some(placed) = receipt.first()
        {
            self.report.acked += 1;
            self.oracle.timer_acked(id, placed.position, placed.bytes);
        }
    }

    fn cancel(&mut self, alive: &mut Alive) {
        let pick = self.rng.next_u64();
        if let Some((id, timer)) = self.oracle.some_timer(pick) {
            self.oracle.cancelling(id);
            self.changes(alive, &[Change::Cancel { timer }]);
        }
    }

    fn fire(&mut self, alive: &mut Alive) {
        let mut borrow = true;
        loop {
            let due = alive
                .views
                .due(self.clock.now_ms(), FIRE_RECORDS_MAX.min(8));
            let due = due.unwrap_or_default();
            if due.is_empty() {
                return;
            }
            let reader = &alive.reader;
            let (end, reach) = (alive.core.marks().committed, alive.reach_bytes);
            let may_borrow = |at: Position| borrow && end.0 - at.0 <= reach / 2;
            let records = firing(&due, may_borrow, |timer| {
                reader
                    .message(
                        QueueId::NONE,
                        0,
                        timer.position,
                        Some(timer.bytes),
                        Access::Disk,
                    )
                    .unwrap_or(Err(ReadError::NotFound(timer.position)))
            });
            if records.is_empty() {
                return;
            }
            let count = records.len() as u64;
            match self
                .propose(alive, vec![(records, Durability::Written)])
                .pop()
            {
                Some(Ok(_)) => self.report.fired += count,
                // The log went on in another segment, further away: as in the store, copies are made then.
                Some(Err(AppendError::SourceTooOld)) => borrow = false,
                _ => return,
            }
        }
    }

    fn checkpoint(&mut self, alive: &mut Alive) {
        // A failed checkpoint must cost nothing but time.
        let _ = alive.views.checkpoint(alive.core.marks().durable);
    }

    fn superblock(&mut self, alive: &mut Alive) {
        let durable = alive.core.marks().durable;
        if alive.core.writer().write_superblock(false).is_ok() {
            self.witnessed = self.witnessed.max(durable);
        }
    }

    fn retain(&mut self, alive: &mut Alive) {
        let durable = alive.core.marks().durable;
        let Ok(pin) = alive.views.oldest_pin() else {
            return;
        };
        let (floor, reach) = (alive.views.trim_floor(), alive.reach_bytes);
        let most = pin.map_or(durable, |pin| {
            durable.min(Position(pin.0.saturating_sub(reach)))
        });
        let before = trim_point(&alive.reader.segments(), most, floor, reach);
        let Ok(trimmed) = alive.core.writer().trim(before) else {
            return;
        };
        let visible = visible_start(&alive.reader.segments(), trimmed.start, reach);
        if let Err(error) = alive.views.trim(visible) {
            self.wrong(format!("trimming the index failed: {error}"));
        }
    }

    fn die(&mut self, mut alive: Alive) {
        let durable = alive.core.marks().durable;
        let fenced = alive.core.is_fenced();
        let choice = self.rng.below(10);
        if choice < 2 && !fenced {
            alive.core.sync();
            if alive.core.writer().write_superblock(true).is_ok() {
                self.witnessed = self.witnessed.max(alive.core.marks().durable);
            }
        }
        // The last sync may have failed as well.
        let fenced = alive.core.is_fenced();
        let kind = if choice < 5 && !fenced {
            CrashKind::Process
        } else {
            CrashKind::Power
        };
        // After a failed write or sync nobody knows what the system still holds: as if power had been lost.
        drop(alive);
        if kind == CrashKind::Power {
            self.report.power_losses += 1;
            self.oracle.power_lost(durable);
        } else {
            self.report.kills += 1;
        }
        self.disk = self.disk.crash(kind);
        self.kv = match self.rng.below(12) {
            0 => MemKv::with_history(KV_VERSIONS),
            1 | 2 => self.kv.restore(self.rng.below(KV_VERSIONS as u64) as usize),
            3 | 4 => self.kv.crash_keeping(self.rng.below(3) as usize),
            _ => self.kv.crash(),
        };
        self.report.databases_replaced += 1;
        if self.sim.flip_bits && self.rng.chance(1, 2) {
            self.flip();
        }
    }

    /// Flips a bit of the log below what superblocks attest.
    fn flip(&mut self) {
        let Ok(files) = self.disk.list("log") else {
            return;
        };
        let mut ends = HashMap::new();
        for file in &files {
            let base = file
                .name
                .rsplit('/')
                .next()
                .and_then(|name| name.parse::<u64>().ok());
            if let Some(base) = base.filter(|base| *base < self.witnessed.0) {
                ends.insert(file.name.clone(), (self.witnessed.0 - base).min(file.len));
            }
        }
        let mut names: Vec<_> = ends.keys().cloned().collect();
        names.sort();
        let Some(index) = (self.rng.next_u64() as usize).checked_rem(names.len()) else {
            return;
        };
        let name = &names[index];
        let at = self.rng.below(ends[name]);
        let bit = self.rng.below(8) as u8;
        self.flipped |= self.disk.flip_bit(name, at, bit);
    }

    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn body(&mut self, id: u64) -> Bytes {
        let length = match self.rng.below(20) {
            0 => self.rng.range(3_000, 9_000),
            1..5 => self.rng.range(0, 16),
            _ => self.rng.range(16, 700),
        };
        let mut body = BytesMut::new();
        body.put_u64_le(id);
        let mut fill = Rng::new(id);
        for _ in 0..length {
            body.put_u8(fill.next_u64() as u8);
        }
        body.freeze()
    }
}

/// The id in a body whose bytes follow from it.
fn check_body(body: &[u8]) -> Option<u64> {
    let (id, rest) = body.split_first_chunk::<8>()?;
    let id = u64::from_le_bytes(*id);
    let mut fill = Rng::new(id);
    rest.iter()
        .all(|byte| *byte == fill.next_u64() as u8)
        .then_some(id)
}
