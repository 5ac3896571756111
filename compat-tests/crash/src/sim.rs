//! Seeded simulation: the store's own code on a disk, a database and a clock that the test owns.
//!
//! A run is a few *lives* of one store. In each life random work is done (appends of every kind, positions, rows, timers,
//! checkpoints, superblocks, segments written ahead, retention), then the life ends: by a clean close, by the end of the
//! process, or by a loss of power that keeps, drops or tears each unsynced sector. Faults are thrown in: failing writes and
//! syncs, flipped bits, an older or missing index database. After each recovery the [`oracle`] compares what can be read
//! with what was acknowledged. Everything follows from the seed.

mod oracle;
mod world;

pub use oracle::Violation;
pub use world::World;

/// What a run does besides the ordinary.
#[derive(Clone, Copy, Debug)]
pub struct SimOptions {
    /// Lives of the store in one run.
    pub lives: u32,
    /// Steps of work in one life.
    pub steps: u32,
    /// Syncs do nothing and say they did: the harness must notice.
    pub lie_about_sync: bool,
    /// Bits of synced sectors are flipped between lives.
    pub flip_bits: bool,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            lives: 4,
            steps: 60,
            lie_about_sync: false,
            flip_bits: false,
        }
    }
}

/// What a run did, summed up over runs by [`SimReport::add`].
#[derive(Clone, Debug, Default)]
pub struct SimReport {
    /// Runs.
    pub runs: u64,
    /// Appends acknowledged.
    pub acked: u64,
    /// Lives that ended by loss of power.
    pub power_losses: u64,
    /// Lives that ended by the end of the process.
    pub kills: u64,
    /// Lives ended by a failed write or sync.
    pub fenced: u64,
    /// Times the store refused to open because bits had been flipped.
    pub refused: u64,
    /// Times a lost or outdated index database was replaced.
    pub databases_replaced: u64,
    /// Timers that fired.
    pub fired: u64,
    /// What must not be.
    pub violations: Vec<Violation>,
}

impl SimReport {
    /// Adds the figures of another report.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.acked += other.acked;
        self.power_losses += other.power_losses;
        self.kills += other.kills;
        self.fenced += other.fenced;
        self.refused += other.refused;
        self.databases_replaced += other.databases_replaced;
        self.fired += other.fired;
        self.violations.extend(other.violations);
    }
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: &SimOptions) -> SimReport {
    let mut world = World::new(seed, *options);
    for _ in 0..options.lives {
        if !world.live() {
            break;
        }
    }
    world.finish()
}
