//! Suite `hostile`: traffic that nobody planned for. Whatever arrives gets the documented error or a closed connection,
//! memory stays below a stated bound, and a well-behaved neighbour goes on sending and receiving meanwhile.

mod crowd;
mod frames;
mod neighbour;
mod peer;
mod requests;
mod silent;

use std::time::Duration;
use std::{panic, thread};

use anyhow::{Result, anyhow, bail};

use crate::hub::{Hub, HubOptions};
use crate::options::{RunOptions, Target};
use crate::report::{Outcome, Report};
use neighbour::Neighbour;

/// How much the server's resident memory may ever grow beyond what it had before the hostile traffic: room for
/// 10 000 connections at some 20 KiB each, and far below what any announced length or unread answer adds up to.
const GROWTH_MAX_MIB: u64 = 256;
/// A Java server is only bounded by its heap and direct memory; the suite is tried on it for comparison.
const APACHE_GROWTH_MAX_MIB: u64 = 2_048;

/// How long a server may take to answer or close.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

type CaseBody = fn(&Hub) -> Result<()>;

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    crowd::raise_file_limit()?;
    let mut report = Report::new(options);
    // The crowd waits minutes for the server to hang up, so it gets a server of its own, at the same time.
    let (quick, crowd) = thread::scope(|scope| {
        let crowd = scope.spawn(|| run_on_own_hub(options, &crowd::CASES));
        let cases: Vec<(&str, CaseBody)> =
            [&frames::CASES[..], &requests::CASES[..], &silent::CASES[..]].concat();
        let quick = run_on_own_hub(options, &cases);
        (quick, crowd.join())
    });
    report.merge(quick);
    report.merge(crowd.map_err(|_| anyhow!("the crowd panicked"))?);
    Ok(report)
}

fn run_on_own_hub(options: &RunOptions, cases: &[(&str, CaseBody)]) -> Report {
    let mut report = Report::new(options);
    let selected: Vec<&(&str, CaseBody)> = cases
        .iter()
        .filter(|(name, _)| options.selects(name))
        .collect();
    if selected.is_empty() {
        return report;
    }
    let hub = match Hub::start(options.target, &HubOptions::default()) {
        Ok(hub) => hub,
        Err(error) => {
            report.add("servers", Outcome::Failed(format!("{error:#}")));
            return report;
        }
    };
    for (name, body) in selected {
        let outcome = match run_case(&hub, options.target, *body) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        report.add(name, outcome);
    }
    if !report.has_passed() {
        eprintln!("{}", hub.log());
    }
    report
}

/// Runs one case beside a neighbour and looks at the memory peak afterwards.
fn run_case(hub: &Hub, target: Target, body: CaseBody) -> Result<()> {
    let neighbour = Neighbour::start(hub)?;
    let before = hub.resident_bytes()?;
    let outcome =
        panic::catch_unwind(|| body(hub)).unwrap_or_else(|_| Err(anyhow!("the case panicked")));
    let rounds = neighbour.stop();
    outcome?;
    rounds?;
    let growth_mib = hub.peak_resident_bytes()?.saturating_sub(before) / (1024 * 1024);
    let bound_mib = match target {
        Target::Crossdock => GROWTH_MAX_MIB,
        Target::Apache => APACHE_GROWTH_MAX_MIB,
    };
    if growth_mib > bound_mib {
        bail!("the server grew by {growth_mib} MiB, more than {bound_mib}");
    }
    Ok(())
}
