//! A short run of the kill loop and of the full disk against the real server.

use anyhow::Result;
use crossdock_crash::processes::subject::{Durability, Tortured};
use crossdock_crash::processes::{Options, full_disk, run};

const ROUNDS: u32 = 4;

fn kill(durability: Durability) -> Result<()> {
    let mut server = Tortured::start(None, durability)?;
    let options = Options {
        rounds: ROUNDS,
        ..Options::default()
    };
    let report = run(&mut server, &options)?;
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.rounds, ROUNDS);
    assert!(report.acknowledged > 0 && report.compared > 0, "{report}");
    Ok(())
}

#[test]
fn nothing_is_lost_when_a_written_server_is_killed() {
    kill(Durability::Written).unwrap();
}

#[test]
fn nothing_is_lost_when_a_durable_server_is_killed() {
    kill(Durability::Durable).unwrap();
}

#[test]
fn a_full_disk_refuses_sends_and_loses_nothing() {
    let report = full_disk::filled(None, Durability::Durable).unwrap();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(
        !report.skipped.is_empty() || report.acknowledged > 0,
        "{report}"
    );
}
