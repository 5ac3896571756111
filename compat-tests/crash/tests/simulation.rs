//! A short run of the simulation, and the proof that it sees a loss when there is one.

use crossdock_crash::sim::{SimOptions, SimReport, run};

/// Enough for every kind of fault to be met many times, in seconds. The long run is `cargo xtask crash`.
const SEEDS: u64 = 400;

fn runs(seeds: u64, options: &SimOptions) -> SimReport {
    let first = std::env::var("CROSSDOCK_SIM_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let (from, to) = first.map_or((0, seeds), |seed| (seed, seed + 1));
    let mut report = SimReport::default();
    for seed in from..to {
        report.add(run(seed, options));
    }
    report
}

fn assert_sound(report: &SimReport) {
    let shown: Vec<_> = report
        .violations
        .iter()
        .take(10)
        .map(ToString::to_string)
        .collect();
    assert!(
        shown.is_empty(),
        "{} violations:\n{}",
        report.violations.len(),
        shown.join("\n")
    );
}

#[test]
fn nothing_acknowledged_is_lost_by_power_loss_kills_and_failing_disks() {
    let report = runs(SEEDS, &SimOptions::default());
    assert_sound(&report);
    assert!(report.acked > 10_000 && report.power_losses > 100 && report.kills > 100);
    assert!(report.fenced > 0 && report.fired > 100);
}

#[test]
fn flipped_bits_are_reported_and_never_read_as_data() {
    let options = SimOptions {
        flip_bits: true,
        ..SimOptions::default()
    };
    let report = runs(SEEDS, &options);
    assert_sound(&report);
    assert!(report.refused > 0);
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let options = SimOptions {
        lie_about_sync: true,
        ..SimOptions::default()
    };
    let report = runs(50, &options);
    assert!(
        !report.violations.is_empty(),
        "the harness did not notice that syncs did nothing"
    );
}
