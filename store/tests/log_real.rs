//! The log on real files: what only the operating system can show.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop where it stands"
)]

mod log_kit;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bytes::Bytes;
use crossdock_store::io::{Clock, Disk, IoError, RealDisk, SystemClock};
use crossdock_store::log::{LogConfig, LogReader, LogWriter, Recovery, verify};
use crossdock_store::types::Position;
use log_kit::{append, config, fill, records};
use tempfile::TempDir;

fn open(root: &TempDir, config: LogConfig) -> (LogWriter, LogReader, Recovery) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(root.path().join("data")).unwrap());
    LogWriter::open(disk, Arc::new(SystemClock::new()), config).unwrap()
}

#[test]
fn a_log_survives_its_writer_and_comes_back_with_everything() {
    let root = TempDir::new().unwrap();
    let (mut log, reader, recovery) = open(&root, config());
    assert!(recovery.is_new);
    fill(&mut log, 0, 100, 900);
    while log.prewrite_step(1 << 20).unwrap() {}
    let expected = records(&reader, Position::ZERO).unwrap();
    assert_eq!(expected.len(), 100);
    drop((log, reader));
    let (mut log, reader, recovery) = open(&root, config());
    assert!(!recovery.was_clean && recovery.cut.is_none());
    assert_eq!(records(&reader, Position::ZERO).unwrap(), expected);
    log.write_superblock(true).unwrap();
    drop((log, reader));
    let (log, reader, recovery) = open(&root, config());
    assert!(recovery.was_clean);
    drop((log, reader));
    let disk = RealDisk::open(root.path().join("data")).unwrap();
    let report = verify(&disk).unwrap();
    assert_eq!((report.records, report.damage.len()), (100, 0));
}

#[test]
fn a_second_opening_of_the_folder_is_refused() {
    let root = TempDir::new().unwrap();
    let first = RealDisk::open(root.path()).unwrap();
    assert_eq!(RealDisk::open(root.path()).unwrap_err(), IoError::Locked);
    drop(first);
    RealDisk::open(root.path()).unwrap();
}

#[test]
fn folders_and_files_are_for_their_user_only() {
    let root = TempDir::new().unwrap();
    let (mut log, _, _) = open(&root, config());
    append(&mut log, &[(1, 0, 10)]).unwrap();
    let mode = |path: &str| {
        let metadata = std::fs::metadata(root.path().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("data"), mode("data/log")), (0o700, 0o700));
    assert_eq!(mode("data/superblock"), 0o600);
}

#[test]
fn mapped_bytes_outlive_trim_recycling_and_the_log_itself() {
    let root = TempDir::new().unwrap();
    let (mut log, reader, _) = open(&root, config());
    fill(&mut log, 0, 100, 900);
    let segments = reader.segments();
    let held: Vec<Bytes> = segments[..3]
        .iter()
        .map(|s| reader.read(s.base.plus(64), 900).unwrap())
        .collect();
    let copies: Vec<_> = held.iter().map(|b| b.to_vec()).collect();
    let trimmed = log.trim(segments[3].base).unwrap();
    assert_eq!((trimmed.recycled, trimmed.removed), (0, 3));
    fill(&mut log, 100, 200, 900);
    drop((log, reader));
    assert_eq!(held, copies);
}

#[test]
fn recycled_files_serve_their_new_segment() {
    let root = TempDir::new().unwrap();
    let (mut log, reader, _) = open(&root, config());
    fill(&mut log, 0, 100, 900);
    // Mapped, read and let go: the mapping must not be in the way.
    records(&reader, Position::ZERO).unwrap();
    reader.read(reader.segments()[1].base, 512).unwrap();
    let third = reader.segments()[3].base;
    assert_eq!(log.trim(third).unwrap().recycled, 2);
    fill(&mut log, 100, 180, 900);
    let offsets: Vec<_> = records(&reader, reader.start())
        .unwrap()
        .iter()
        .map(|r| r.1)
        .collect();
    assert!(offsets.windows(2).all(|w| w[0] + 1 == w[1]));
    assert_eq!(offsets.last(), Some(&179));
    for segment in reader.segments() {
        let len = 512.min(segment.written_bytes) as usize;
        let hot = reader.read(segment.base, len).unwrap();
        assert_eq!(hot, reader.read_cold(segment.base, len).unwrap());
    }
}

#[test]
fn a_first_start_takes_one_small_segment_and_is_ready_at_once() {
    let root = TempDir::new().unwrap();
    let (mut log, _, _) = open(&root, LogConfig::default());
    append(&mut log, &[(1, 0, 10)]).unwrap();
    log.sync().unwrap();
    assert!(log.disk_bytes() <= 17 << 20, "{}", log.disk_bytes());
}

#[test]
fn bytes_just_written_are_hot() {
    let root = TempDir::new().unwrap();
    let (mut log, reader, _) = open(&root, config());
    let span = append(&mut log, &[(1, 0, 100)]).unwrap();
    assert!(reader.is_hot(span.position, 512));
    assert!(!reader.is_hot(span.next, 512), "nothing was written there");
}

#[test]
fn real_files_answer_with_typed_errors() {
    let root = TempDir::new().unwrap();
    let disk = RealDisk::open(root.path()).unwrap();
    let file = disk.create("a/b", 1000).unwrap();
    assert_eq!(
        disk.create("a/b", 1).unwrap_err(),
        IoError::Exists("a/b".into())
    );
    assert_eq!(
        disk.open("a/c").unwrap_err(),
        IoError::NotFound("a/c".into())
    );
    assert!(matches!(
        file.write_at(999, &[1, 2]),
        Err(IoError::Bounds { .. })
    ));
    assert!(matches!(
        file.map().unwrap().slice(999, 2),
        Err(IoError::Bounds { .. })
    ));
    assert!(matches!(disk.open("../x"), Err(IoError::Name(_))));
    let space = disk.space().unwrap();
    assert_eq!(
        disk.create("huge", space.free * 2).unwrap_err(),
        IoError::Full
    );
    assert_eq!(
        disk.list("").unwrap(),
        vec![],
        "the refused file was left behind"
    );
    disk.rename("a/b", "a/d").unwrap();
    disk.sync_dir("a").unwrap();
    assert_eq!(disk.list("a").unwrap()[0].name, "a/d");
    disk.remove("a/d").unwrap();
    let mut out = [1; 4];
    file.read_at(0, &mut out).unwrap();
    assert_eq!(out, [0; 4], "an open handle reads a removed file");
}

#[test]
fn clocks_tick() {
    let clock = SystemClock::new();
    let (wall, start) = (clock.now_ms(), clock.monotonic());
    assert!(wall > 1_600_000_000_000);
    while clock.monotonic() == start {}
    assert!(clock.now_ms() >= wall);
}
