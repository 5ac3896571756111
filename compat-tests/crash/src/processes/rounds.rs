//! The kill loop: load, an end at a random instant, a restart, and the judgement.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::actors::{Actors, Shape};
use super::report::Report;
use super::subject::Subject;

/// How to torture.
#[derive(Debug, Clone)]
pub struct Options {
    pub rounds: u32,
    /// Decides every choice; random when not given.
    pub seed: Option<u64>,
    pub shape: Shape,
    /// Milliseconds under load before the end.
    pub life_ms: Range<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 50,
            seed: None,
            shape: Shape::default(),
            life_ms: 20..1_500,
        }
    }
}

/// One end in so many is a clean one.
const CLEAN_ONE_IN: u32 = 10;
/// Chance that the restart is killed as well, and again.
const INTERRUPT: f64 = 0.25;
const INTERRUPT_MS: Range<u64> = 1..250;

/// Runs all rounds; what the server did wrong is in the report, and an error is a fault of the test.
pub fn run(subject: &mut dyn Subject, options: &Options) -> Result<Report> {
    let seed = options.seed.unwrap_or_else(rand::random);
    let mut random = StdRng::seed_from_u64(seed);
    let mut report = Report {
        title: format!("processes, seed {seed}"),
        ..Report::default()
    };
    let mut actors = Actors::new(subject.broker(), options.shape, subject.retention())?;
    for round in 1..=options.rounds {
        report.rounds = round;
        let life = Duration::from_millis(random.random_range(options.life_ms.clone()));
        let is_clean = random.random_range(0..CLEAN_ONE_IN) == 0;
        live(&mut actors, subject, life, is_clean, &mut report);
        while random.random_bool(INTERRUPT) {
            report.interrupted_starts += 1;
            let time = Duration::from_millis(random.random_range(INTERRUPT_MS));
            subject.interrupt_start(time)?;
        }
        let start = Instant::now();
        if let Err(error) = subject.restart() {
            report.violations.add(format!(
                "round {round}: the server does not start: {error:#}"
            ));
            break;
        }
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.slowest_restart_ms = report.slowest_restart_ms.max(took);
        if let Err(error) = actors.judge(subject.broker(), &mut report) {
            report.violations.add(format!(
                "round {round}: the server cannot be read after a restart: {error:#}\n{}",
                subject.log()
            ));
            break;
        }
    }
    Ok(report)
}

/// Clients at work until the server is ended.
fn live(
    actors: &mut Actors,
    subject: &mut dyn Subject,
    life: Duration,
    is_clean: bool,
    report: &mut Report,
) {
    let ended = actors.work(subject.broker(), report, |_| {
        // The instant is the test; there is no condition to wait for.
        thread::sleep(life);
        if is_clean {
            return subject.terminate();
        }
        subject.kill();
        Ok(())
    });
    let round = report.rounds;
    if let Err(error) = ended {
        report
            .violations
            .add(format!("round {round}: no clean end: {error:#}"));
        subject.kill();
    }
    // A server that is being shut down may refuse, a killed one has no time to.
    actors.complain(is_clean, report);
}
