//! Thousands of short lives of a log on a disk that crashes, fails and fills up, judged by what was promised.
//!
//! The judge knows every record that was written, which of them were synced, and which must be gone. After each crash
//! the log must hold the promised records, a prefix of the rest, and nothing else. One seed is one run; a failing seed
//! replays exactly.

mod log_kit;

use crossdock_store::io::sim::{CrashKind, Rng, SimDisk};
use crossdock_store::log::{
    LogConfig, LogError, LogReader, LogWriter, OpenError, Recovery, verify,
};
use crossdock_store::types::Position;
use log_kit::{Entry, config, open_with, prepared, push, records};

/// A written record and where its block ended.
#[derive(Clone, Copy, Debug)]
struct Written {
    entry: Entry,
    block: Position,
    end: Position,
}

/// What was broken, in words.
type Violation = String;

struct Run {
    rng: Rng,
    disk: SimDisk,
    /// Everything that may be in the log, in order.
    model: Vec<Written>,
    start: Position,
    /// Where a failed trim wanted the log to start: after the crash it may, or may not.
    other_start: Option<Position>,
    durable: Position,
    written: Position,
    next_offset: u64,
    /// A call failed in this life: what was written and not synced may be lost even to the end of the process.
    met_fault: bool,
    ended_clean: bool,
    blocks_seen: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed ^ 0xABCD),
            disk: SimDisk::new(seed),
            model: Vec::new(),
            start: Position::ZERO,
            other_start: None,
            durable: Position::ZERO,
            written: Position::ZERO,
            next_offset: 0,
            met_fault: false,
            ended_clean: false,
            blocks_seen: 0,
        }
    }

    fn config(&mut self) -> LogConfig {
        LogConfig {
            disk_bytes_max: 160 << 10,
            unsynced_bytes_max: [8 << 10, 64 << 10][self.rng.below(2) as usize],
            verify_on_open: self.rng.chance(1, 4),
            ..config()
        }
    }

    fn lives(&mut self, count: u64) -> Result<(), Violation> {
        let mut kind = CrashKind::Process;
        for _ in 0..count {
            let opened = self.open(kind)?;
            if let Some((mut log, reader)) = opened {
                self.live(&mut log, &reader);
            }
            kind = if self.rng.chance(2, 3) {
                CrashKind::Power
            } else {
                CrashKind::Process
            };
            self.disk = self.disk.crash(kind);
        }
        self.open(kind).map(|_| ())
    }

    /// Opens, sometimes over a failing disk; `None` if that made it fail.
    fn open(&mut self, kind: CrashKind) -> Result<Option<(LogWriter, LogReader)>, Violation> {
        let config = self.config();
        if self.rng.chance(1, 8) {
            let skip = self.rng.below(12);
            match self.rng.below(3) {
                0 => self.disk.fail_sync(skip),
                1 => self.disk.short_write(skip),
                _ => self.disk.fail_read(skip),
            }
        }
        match open_with(&self.disk, config) {
            Ok((log, reader, recovery)) => {
                self.disk.heal();
                self.judge(kind, &log, &reader, &recovery)?;
                self.met_fault = false;
                self.ended_clean = false;
                Ok(Some((log, reader)))
            }
            Err(OpenError::Io(_)) => {
                self.met_fault = true;
                self.ended_clean = false;
                Ok(None)
            }
            Err(e) => Err(format!(
                "nothing but crashes and failing calls, and it refused: {e}"
            )),
        }
    }

    fn judge(
        &mut self,
        kind: CrashKind,
        log: &LogWriter,
        reader: &LogReader,
        recovery: &Recovery,
    ) -> Result<(), Violation> {
        let wrong = Err::<(), Violation>;
        if self.other_start.take() == Some(recovery.start) {
            self.start = recovery.start;
        }
        if recovery.start != self.start {
            return wrong(format!(
                "starts at {} and not at {}",
                recovery.start, self.start
            ));
        }
        if self.ended_clean && (!recovery.was_clean || recovery.cut.is_some()) {
            return wrong(format!("a clean end was not seen: {recovery:?}"));
        }
        self.model.retain(|w| w.block >= self.start);
        let keeps_written = kind == CrashKind::Process && !self.met_fault;
        let promised = if keeps_written {
            self.written
        } else {
            self.durable
        };
        let must = self.model.iter().filter(|w| w.end <= promised).count();
        let found = match records(reader, reader.start()) {
            Ok(found) => found,
            Err(e) => return wrong(format!("cannot be read: {e}")),
        };
        let expected: Vec<Entry> = self.model.iter().map(|w| w.entry).collect();
        if found.len() < must || expected.get(..found.len()) != Some(&found[..]) {
            let tail = |v: &[Entry]| v.iter().rev().take(3).copied().collect::<Vec<_>>();
            return wrong(format!(
                "holds {} records ending in {:?}; {must} were promised of {} ending in {:?}",
                found.len(),
                tail(&found),
                expected.len(),
                tail(&expected),
            ));
        }
        self.model.truncate(found.len());
        if log.durable() != reader.end() || log.written() != reader.end() {
            return wrong("the accepted end is not durable".to_owned());
        }
        self.durable = log.durable();
        self.written = log.written();
        Ok(())
    }

    fn live(&mut self, log: &mut LogWriter, reader: &LogReader) {
        match self.rng.below(8) {
            0 => self.disk.fail_write(self.rng.below(20)),
            1 => self.disk.short_write(self.rng.below(20)),
            2 => self.disk.fail_sync(self.rng.below(20)),
            _ => {}
        }
        for _ in 0..self.rng.range(1, 30) {
            if let Err(LogError::Fenced { .. }) = self.step(log, reader) {
                self.met_fault = true;
                return;
            }
            self.blocks_seen += 1;
        }
        if self.rng.chance(1, 5) {
            self.ended_clean = log.write_superblock(true).is_ok();
            self.met_fault = !self.ended_clean;
            self.durable = log.durable();
        }
    }

    fn step(&mut self, log: &mut LogWriter, reader: &LogReader) -> Result<(), LogError> {
        match self.rng.below(20) {
            0..=10 => self.append(log),
            11..=14 => log.sync().map(|durable| self.durable = durable),
            15 => log.write_superblock(false),
            16 => {
                let before = Position(self.rng.range(self.start.0, log.durable().0 + 1));
                let trimmed = log.trim(before);
                // The start is durable before the files go; after a failure it may be either.
                match &trimmed {
                    Ok(trimmed) => self.start = trimmed.start,
                    Err(_) => self.other_start = Some(log.superblock().start),
                }
                trimmed.map(|_| ())
            }
            17 => log.prewrite_step(20_000).map(|_| ()).or(Ok(())),
            18 => {
                // Readers see what was written, at any time, if no call failed.
                let mut blocks = reader.blocks(self.start);
                assert!(blocks.by_ref().all(|block| block.is_ok()));
                assert_eq!(blocks.next_position(), log.written());
                Ok(())
            }
            _ => {
                let _ = log.begin(0, 500)?;
                log.abort();
                Ok(())
            }
        }
    }

    fn append(&mut self, log: &mut LogWriter) -> Result<(), LogError> {
        let mut entries = Vec::new();
        for _ in 0..self.rng.range(1, 6) {
            let bytes = if self.rng.chance(1, 60) {
                30_000
            } else {
                self.rng.below(1500)
            };
            entries.push((1 + self.rng.below(3), self.next_offset, bytes as usize));
            self.next_offset += 1;
        }
        let (queue, offset, bytes) = entries[0];
        let ms = log.begin(
            self.rng.below(1000) as i64,
            prepared(queue, offset, bytes).bytes(),
        )?;
        let mut pushed = Vec::new();
        for entry in entries {
            match push(log, entry, ms) {
                Ok(_) => pushed.push(entry),
                Err(LogError::BlockFull) => break,
                Err(e) => return Err(e),
            }
        }
        // The write may reach the disk although it reports a failure.
        let block = log.next_position();
        let result = log.write();
        let (block, end) = match &result {
            Ok(span) => (span.position, span.next),
            Err(_) => (block, Position(u64::MAX)),
        };
        self.model.extend(
            pushed
                .into_iter()
                .map(|entry| Written { entry, block, end }),
        );
        self.durable = self.durable.max(log.durable());
        self.written = log.written();
        result.map(|_| ())
    }
}

fn run(seed: u64, lie: bool) -> (Run, Result<(), Violation>) {
    let mut run = Run::new(seed);
    run.disk.lie_about_sync(lie);
    let lives = 2 + run.rng.below(4);
    let result = run.lives(lives);
    (run, result)
}

fn seeds() -> u64 {
    std::env::var("CROSSDOCK_SIM_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(2500)
}

#[test]
fn nothing_promised_is_lost_and_nothing_else_appears() {
    let mut steps = 0;
    let mut kept = 0;
    for seed in 0..seeds() {
        let (run, result) = run(seed, false);
        if let Err(violation) = result {
            panic!("seed {seed}: {violation}");
        }
        steps += run.blocks_seen;
        kept += run.model.len();
        if let Ok(report) = verify(&run.disk) {
            assert!(report.damage.is_empty(), "seed {seed}: {report:?}");
        }
    }
    // A harness that does nothing would find nothing.
    assert!(
        steps > 10 * seeds() && kept > 5 * seeds() as usize,
        "{steps} steps, {kept} records"
    );
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let caught = (0..100).filter(|seed| run(*seed, true).1.is_err()).count();
    assert!(
        caught > 20,
        "only {caught} of 100 runs on a lying disk were found out"
    );
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 77, 1234] {
        let (first, second) = (run(seed, false).0, run(seed, false).0);
        assert_eq!(format!("{:?}", first.model), format!("{:?}", second.model));
        assert_eq!(first.disk.counters(), second.disk.counters());
    }
}
