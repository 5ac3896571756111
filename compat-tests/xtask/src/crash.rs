//! `cargo xtask crash`: the crash tests in their long form. It fails when the oracle finds a violation.

use anyhow::Result;
use clap::{Args, ValueEnum};
use crossdock_crash::processes::subject::{Durability, Tortured};
use crossdock_crash::processes::{self, Report, full_disk};
use crossdock_crash::sim::{self, SimOptions, SimReport};

use crate::Verdict;

/// Violations of the simulation that are printed.
const SHOWN_MAX: usize = 20;
/// Seeds in which a disk that lies about syncs must be found out.
const LYING_SEEDS: u64 = 50;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Rounds of the kill loop, for each durability
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Seeds of the simulation, of each kind
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// First seed; repeats the choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Only these parts; all when not given
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The store on a simulated disk
    Sim,
    /// Processes killed under load
    Kill,
    /// A disk without room
    Disk,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let includes = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut violations = 0;
    if includes(Part::Sim) {
        violations += simulate(arguments);
    }
    if includes(Part::Kill) || includes(Part::Disk) {
        let binary = crossdock_harness::binary::crossdock()?;
        println!("server: {}", binary.display());
        for durability in [Durability::Written, Durability::Durable] {
            if includes(Part::Kill) {
                let mut server = Tortured::start(Some(binary.clone()), durability)?;
                let options = processes::Options {
                    rounds: arguments.rounds,
                    seed: arguments.seed,
                    ..processes::Options::default()
                };
                violations += told(&processes::run(&mut server, &options)?);
            }
            if includes(Part::Disk) {
                violations += told(&full_disk::filled(Some(binary.clone()), durability)?);
                violations += told(&full_disk::outgrown(Some(binary.clone()), durability)?);
            }
        }
    }
    println!("crash: {violations} violations");
    Ok(if violations == 0 {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

fn told(report: &Report) -> u64 {
    print!("{report}");
    report.violations.count()
}

/// Runs the seeds with sound disks, with flipped bits, and with disks that lie: the last must be found out.
fn simulate(arguments: &Arguments) -> u64 {
    let first = arguments.seed.unwrap_or(0);
    let runs = |name: &str, seeds: u64, options: &SimOptions| {
        let mut report = SimReport::default();
        for seed in first..first + seeds {
            report.add(sim::run(seed, options));
        }
        println!(
            "simulation, {name}: {} runs from seed {first}, {} acknowledged, {} power losses, {} kills, {} fenced, {} \
             refused to open, {} timers fired, {} violations",
            report.runs,
            report.acked,
            report.power_losses,
            report.kills,
            report.fenced,
            report.refused,
            report.fired,
            report.violations.len(),
        );
        report
    };
    let mut violations = 0;
    for (name, flip_bits) in [("sound disk", false), ("flipped bits", true)] {
        let report = runs(
            name,
            arguments.seeds,
            &SimOptions {
                flip_bits,
                ..SimOptions::default()
            },
        );
        for violation in report.violations.iter().take(SHOWN_MAX) {
            println!("  {violation}");
        }
        violations += report.violations.len() as u64;
    }
    let lying = SimOptions {
        lie_about_sync: true,
        ..SimOptions::default()
    };
    if runs("syncs left out, to prove the harness", LYING_SEEDS, &lying)
        .violations
        .is_empty()
    {
        println!("  the harness did not notice that syncs did nothing");
        violations += 1;
    }
    violations
}
