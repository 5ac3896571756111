//! A disk without room: a small memory file system that something else fills. Sends must be refused
//! in the protocol's words while reads go on, a kill and a restart must change nothing, and with
//! room again sends must be taken again, with everything acknowledged before still there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{Crossdock, Options, command};
use crossdock_proto_remoting::code::response::SERVICE_NOT_AVAILABLE;
use tempfile::TempDir;

use super::actors::{Actors, Progress, Shape};
use super::report::Report;
use super::subject::Durability;

const SMALL: &str = "96m";
const LARGE: &str = "256m";
/// Messages acknowledged before the disk is filled, about 7 MiB, and again after it has room.
const MESSAGES: u64 = 8_000;
/// Messages acknowledged in the marks' test, more than twice the disk.
const MESSAGES_BEYOND: u64 = 250_000;
const REFUSALS: u64 = 50;
/// What the server says of a checkpoint it could not write.
const INDEX_FAILED: &str = "a checkpoint of the index failed";
/// Without any progress; a server may look at its disk every few seconds only.
const PATIENCE: Duration = Duration::from_secs(40);
const MOUNT_LIMIT: Duration = Duration::from_secs(20);
/// With its disk full a server may remove messages of any age.
const ANY_AGE: Option<Duration> = Some(Duration::ZERO);

/// Something else fills the disk.
pub fn filled(binary: Option<PathBuf>, durability: Durability) -> Result<Report> {
    run(
        binary,
        durability,
        "filled disk",
        |disk, server, actors, report| {
            let broker = server.remoting();
            let worked = actors.work(broker, report, |progress| {
                Progress::await_growth(&progress.acknowledged, MESSAGES, PATIENCE)
            });
            demand(worked, "messages are not taken while there is room", report);

            report.rounds = 1;
            disk.fill()?;
            let refused = actors.work(broker, report, |progress| {
                let refused = Progress::await_growth(&progress.refused, REFUSALS, PATIENCE);
                server.kill9();
                refused
            });
            demand(
                refused,
                "sends are not refused while there is no room",
                report,
            );

            report.rounds = 2;
            server.restart().context("with no room")?;
            actors.judge(broker, report).context("with no room")?;
            let refused = actors.work(broker, report, |progress| {
                Progress::await_growth(&progress.refused, REFUSALS, PATIENCE)
            });
            demand(
                refused,
                "sends are not refused after a restart with no room",
                report,
            );

            report.rounds = 3;
            disk.grow()?;
            let resumed = actors.work(broker, report, |progress| {
                let resumed = Progress::await_growth(&progress.acknowledged, MESSAGES, PATIENCE);
                let failures = || server.log().matches(INDEX_FAILED).count();
                let known = failures();
                let goes_on = Progress::await_growth(&progress.acknowledged, MESSAGES, PATIENCE);
                let indexed = failures() == known;
                server.kill9();
                resumed && goes_on && indexed
            });
            demand(
                resumed,
                "sends are not taken, or not indexed, again when there is room",
                report,
            );
            server.restart()?;
            actors.judge(broker, report)
        },
    )
}

/// The server itself writes more than fits: it must make room at its marks and go on.
pub fn outgrown(binary: Option<PathBuf>, durability: Durability) -> Result<Report> {
    run(
        binary,
        durability,
        "outgrown disk",
        |_, server, actors, report| {
            report.rounds = 1;
            let broker = server.remoting();
            let worked = actors.work(broker, report, |progress| {
                let worked =
                    Progress::await_growth(&progress.acknowledged, MESSAGES_BEYOND, PATIENCE);
                server.kill9();
                worked
            });
            demand(
                worked,
                "writing stops although old messages could go",
                report,
            );
            server.restart()?;
            actors.judge(broker, report)
        },
    )
}

type Script = fn(&Disk, &mut Crossdock, &mut Actors, &mut Report) -> Result<()>;

fn run(
    binary: Option<PathBuf>,
    durability: Durability,
    title: &str,
    script: Script,
) -> Result<Report> {
    let mut report = Report {
        title: format!("{title}, {}", durability.name()),
        ..Report::default()
    };
    let disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(error) => {
            let reason = format!("no file system can be mounted here: {error:#}");
            report.skipped.push(reason);
            return Ok(report);
        }
    };
    let mut server = start(binary, durability, &disk)?;
    let mut actors = Actors::new(server.remoting(), Shape::default(), ANY_AGE)?;
    if let Err(error) = script(&disk, &mut server, &mut actors, &mut report) {
        let text = format!("round {}: {error:#}\n{}", report.rounds, server.log());
        report.violations.add(text);
    }
    if report.violations.count() > 0 {
        eprintln!("{}", server.log());
    }
    // A consumer that cannot commit for lack of room is refused as well.
    actors.complain(true, &mut report);
    for code in report.refused.keys().copied().collect::<Vec<_>>() {
        if code != i64::from(SERVICE_NOT_AVAILABLE) {
            let text = format!("sends were refused with code {code}");
            report.violations.add(text);
        }
    }
    Ok(report)
}

fn start(binary: Option<PathBuf>, durability: Durability, disk: &Disk) -> Result<Crossdock> {
    let mut args = vec!["--durability".into(), durability.name().into()];
    for setting in [
        "limits.message_size=64KiB",
        "store.first_segment_size=1MiB",
        "store.segment_size=4MiB",
        "store.checkpoint_bytes=4MiB",
        "store.checkpoint_interval=1s",
        "store.append_queue=4MiB",
        "retention.time=0",
    ] {
        args.extend(["--set".into(), setting.into()]);
    }
    Crossdock::start(Options {
        binary,
        data: Some(disk.path().join("data")),
        args,
        ..Options::default()
    })
}

fn demand(holds: bool, text: &str, report: &mut Report) {
    if !holds {
        let round = report.rounds;
        report.violations.add(format!("round {round}: {text}"));
    }
}

/// A mounted memory file system; unmounted when dropped.
#[derive(Debug)]
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn mount() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("crossdock-disk-")
            .tempdir()?;
        let size = format!("size={SMALL}");
        command::run(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                .arg(folder.path()),
            MOUNT_LIMIT,
        )?;
        Ok(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all room that is left.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        for size in [1 << 20, 4096] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    /// Makes the file system larger.
    fn grow(&self) -> Result<()> {
        let options = format!("remount,size={LARGE}");
        command::run(
            Command::new("mount")
                .args(["-o", &options])
                .arg(self.path()),
            MOUNT_LIMIT,
        )?;
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder cannot be removed while it is mounted. A lazy unmount works on a busy one, too.
        let mut command = Command::new("umount");
        if let Err(error) = command::run(command.arg("--lazy").arg(self.path()), MOUNT_LIMIT) {
            eprintln!("{} stays mounted: {error:#}", self.path().display());
        }
    }
}
