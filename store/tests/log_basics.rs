//! What a log does on a good day, and how it answers misuse: append, read, roll, trim, fill up, reopen.

mod log_kit;

use bytes::Bytes;
use crossdock_store::change::{self, Change};
use crossdock_store::io::Disk;
use crossdock_store::io::sim::{CrashKind, SimDisk};
use crossdock_store::log::block::BlockKind;
use crossdock_store::log::{LogConfig, LogError, ReadError};
use crossdock_store::record::{Record, Stamp};
use crossdock_store::types::{Position, TableId};
use log_kit::{append, check, config, fill, open, open_with, prepared, push, records};

#[test]
fn records_come_back_as_they_went_in() {
    let disk = SimDisk::new(1);
    let (mut log, reader, recovery) = open(&disk).unwrap();
    assert!(recovery.is_new);
    let span = append(&mut log, &[(1, 0, 100), (1, 1, 2000), (2, 0, 0)]).unwrap();
    assert_eq!((span.records, span.index), (3, 0));
    assert_eq!(reader.end(), span.next);
    assert_eq!(reader.durable(), Position::ZERO);
    log.sync().unwrap();
    assert_eq!(reader.durable(), span.next);
    let found = records(&reader, reader.start()).unwrap();
    assert_eq!(found, vec![(1, 0, 100), (1, 1, 2000), (2, 0, 0)]);
}

#[test]
fn a_record_is_read_by_position_hot_and_cold() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let size = prepared(1, 0, 300).bytes();
    let ms = log.begin(5, size).unwrap();
    let at = push(&mut log, (1, 0, 300), ms).unwrap();
    assert_eq!(
        reader.read(at, size),
        Err(ReadError::Beyond {
            end: Position::ZERO
        })
    );
    let staged = Bytes::copy_from_slice(log.staged());
    let span = log.write().unwrap();
    assert_eq!(span.first_record, at);
    for bytes in [
        reader.read(at, size),
        reader.read_cold(at, size),
        Ok(staged),
    ] {
        check(&Record::decode(&bytes.unwrap(), at, true).unwrap());
    }
    assert!(reader.is_hot(at, size));
    assert_eq!(reader.read(at, 1 << 40), Err(ReadError::Range));
    assert_eq!(reader.read(Position(u64::MAX), 1), Err(ReadError::Range));
}

#[test]
fn the_log_rolls_through_segments_of_growing_size_and_reads_across_them() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    fill(&mut log, 0, 100, 900);
    let sizes: Vec<_> = reader.segments().iter().map(|s| s.file_bytes).collect();
    assert!(sizes.len() > 3, "{sizes:?}");
    assert_eq!(sizes[..3], [16 << 10, 32 << 10, 32 << 10]);
    let all: Vec<_> = (0..100).map(|i| (1, i, 900)).collect();
    assert_eq!(records(&reader, Position::ZERO).unwrap(), all);
    let clean = open(&disk.crash(CrashKind::Process)).unwrap();
    assert_eq!(records(&clean.1, Position::ZERO).unwrap(), all);
}

#[test]
fn blocks_go_on_where_they_ended() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let mut blocks = reader.blocks(Position::ZERO);
    assert!(blocks.next().is_none());
    for round in 0..60 {
        let span = append(&mut log, &[(1, round, 700)]).unwrap();
        let block = blocks.next().unwrap().unwrap();
        assert_eq!(block.header.position, span.position);
        assert_eq!(block.next(), span.next);
        assert!(blocks.next().is_none());
    }
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    append(&mut log, &[(1, 0, 10)]).unwrap();
    append(&mut log, &[(1, 1, 200_000)]).unwrap();
    append(&mut log, &[(1, 2, 10)]).unwrap();
    let expected = vec![(1, 0, 10), (1, 1, 200_000), (1, 2, 10)];
    assert_eq!(records(&reader, Position::ZERO).unwrap(), expected);
}

#[test]
fn a_block_takes_records_up_to_its_limit_and_refuses_misuse() {
    let disk = SimDisk::new(1);
    let (mut log, _, _) = open(&disk).unwrap();
    assert_eq!(push(&mut log, (1, 0, 1), 0), Err(LogError::NoBlock));
    assert_eq!(log.write(), Err(LogError::NoBlock));
    let ms = log.begin(7, 100).unwrap();
    assert_eq!(log.write(), Err(LogError::NoBlock));
    let elsewhere = Stamp {
        position: Position(8),
        offset: 0,
        dispatch_offsets: &[],
        stored_ms: ms,
    };
    let misplaced = log.push(&prepared(1, 0, 1), &elsewhere);
    assert!(
        matches!(misplaced, Err(LogError::Misplaced { .. })),
        "{misplaced:?}"
    );
    let mut pushed = 0;
    while log.fits(prepared(1, pushed, 1000).bytes()) {
        push(&mut log, (1, pushed, 1000), ms).unwrap();
        pushed += 1;
    }
    assert_eq!(pushed, 3);
    assert_eq!(
        push(&mut log, (1, pushed, 1000), ms),
        Err(LogError::BlockFull)
    );
    log.write().unwrap();
    let too_large = log.begin(7, usize::MAX);
    assert_eq!(too_large, Err(LogError::TooLarge(usize::MAX)));
}

#[test]
fn an_aborted_block_leaves_no_trace() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let ms = log.begin(7, 100).unwrap();
    push(&mut log, (1, 0, 10), ms).unwrap();
    log.abort();
    assert_eq!(log.write(), Err(LogError::NoBlock));
    let span = append(&mut log, &[(1, 1, 10)]).unwrap();
    assert_eq!(span.position, Position::ZERO);
    assert_eq!(records(&reader, Position::ZERO).unwrap(), vec![(1, 1, 10)]);
}

#[test]
fn store_time_never_goes_back() {
    let disk = SimDisk::new(1);
    let (mut log, _, _) = open(&disk).unwrap();
    for (given, expected) in [(50, 50), (40, 50), (60, 60)] {
        assert_eq!(log.begin(given, 200).unwrap(), expected);
        push(&mut log, (1, 0, 10), expected).unwrap();
        assert_eq!(log.write().unwrap().stored_ms, expected);
    }
    log.write_superblock(true).unwrap();
    let (mut log, _, recovery) = open(&disk.crash(CrashKind::Power)).unwrap();
    assert_eq!(recovery.last_ms, 60);
    assert_eq!(log.begin(1, 200).unwrap(), 60);
}

#[test]
fn the_kind_of_a_block_tells_what_is_in_it() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let change = Change::Delete {
        table: TableId(1),
        key: Bytes::from_static(b"k"),
    };
    let system = change::draft(&[change]).prepare().unwrap();
    for pattern in ["s", "d", "sd"] {
        let ms = log.begin(1, system.bytes()).unwrap();
        for kind in pattern.chars() {
            let position = log.next_position();
            let stamp = Stamp {
                position,
                offset: 0,
                dispatch_offsets: &[],
                stored_ms: ms,
            };
            match kind {
                's' => log.push(&system, &stamp).unwrap(),
                _ => log.push(&prepared(1, 0, 8), &stamp).unwrap(),
            }
        }
        log.write().unwrap();
    }
    let kinds: Vec<_> = reader
        .blocks(Position::ZERO)
        .map(|b| b.unwrap().header.kind)
        .collect();
    assert_eq!(
        kinds,
        [BlockKind::System, BlockKind::Data, BlockKind::Mixed]
    );
}

#[test]
fn trim_gives_up_whole_durable_segments_and_reuses_their_files() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    fill(&mut log, 0, 100, 900);
    let before = log.disk_bytes();
    let segments = reader.segments();
    let trimmed = log.trim(segments[3].base.plus(1)).unwrap();
    assert_eq!(trimmed.start, segments[3].base);
    // The first is of an old size, one more than is kept ready is removed as well.
    assert_eq!((trimmed.recycled, trimmed.removed), (2, 1));
    assert_eq!(log.disk_bytes(), before - (16 << 10));
    let start = trimmed.start;
    assert_eq!(reader.start(), start);
    assert_eq!(
        reader.read(Position(64), 8),
        Err(ReadError::TooOld { start })
    );
    assert_eq!(
        reader.blocks(Position::ZERO).next().unwrap().unwrap_err(),
        ReadError::TooOld { start }
    );
    let used = log.disk_bytes();
    fill(&mut log, 100, 140, 900);
    assert_eq!(log.disk_bytes(), used, "the spares were not used");
    let kept = records(&reader, start).unwrap();
    assert_eq!(kept.last(), Some(&(1, 139, 900)));
    let (_, reader, recovery) = open(&disk.crash(CrashKind::Power)).unwrap();
    assert_eq!(recovery.start, start);
    assert_eq!(records(&reader, start).unwrap(), kept);
}

#[test]
fn a_segment_somebody_reads_is_not_reused() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    fill(&mut log, 0, 100, 900);
    let segments = reader.segments();
    let held = reader.read(segments[1].base.plus(64), 500).unwrap();
    let copy = Bytes::copy_from_slice(&held);
    let trimmed = log.trim(segments[2].base).unwrap();
    assert_eq!((trimmed.recycled, trimmed.removed), (0, 2));
    fill(&mut log, 100, 200, 900);
    assert_eq!(held, copy);
}

#[test]
fn what_is_not_durable_is_not_trimmed() {
    let disk = SimDisk::new(1);
    let config = LogConfig {
        unsynced_bytes_max: 1 << 30,
        ..config()
    };
    let (mut log, _, _) = open_with(&disk, config).unwrap();
    for offset in 0..50 {
        append(&mut log, &[(1, offset, 900)]).unwrap();
    }
    let end = log.written();
    assert_eq!(log.trim(end).unwrap().start, Position::ZERO);
    log.sync().unwrap();
    assert!(log.trim(end).unwrap().start > Position::ZERO);
}

#[test]
fn a_full_log_refuses_appends_serves_reads_and_goes_on_after_a_trim() {
    for by_budget in [true, false] {
        let disk = SimDisk::new(1);
        let budget = if by_budget { 200 << 10 } else { 1 << 30 };
        let config = LogConfig {
            disk_bytes_max: budget,
            ..config()
        };
        if !by_budget {
            disk.set_capacity(200 << 10);
        }
        let (mut log, reader, _) = open_with(&disk, config).unwrap();
        let mut offset = 0;
        let full = loop {
            match append(&mut log, &[(1, offset, 900)]) {
                Ok(_) => offset += 1,
                Err(e) => break e,
            }
            log.sync().unwrap();
        };
        assert_eq!(full, LogError::Full);
        assert!(offset > 80, "{offset}");
        assert!(log.disk_bytes() <= 200 << 10);
        assert!(log.fenced().is_none());
        assert_eq!(append(&mut log, &[(1, offset, 900)]), Err(LogError::Full));
        assert_eq!(
            records(&reader, Position::ZERO).unwrap().len() as u64,
            offset
        );
        log.write_superblock(false).unwrap();
        let third = reader.segments()[2].base;
        log.trim(third).unwrap();
        for _ in 0..10 {
            append(&mut log, &[(1, offset, 900)]).unwrap();
            offset += 1;
        }
        let found = records(&reader, reader.start()).unwrap();
        assert_eq!(found.last(), Some(&(1, offset - 1, 900)));
    }
}

#[test]
fn prewriting_fills_the_next_segment_in_slices_and_within_the_budget() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    append(&mut log, &[(1, 0, 10)]).unwrap();
    let mut steps = 0;
    while log.prewrite_step(10_000).unwrap() {
        steps += 1;
    }
    assert_eq!(steps, 3, "32 KiB in slices of 10 000 bytes");
    assert!(!log.prewrite_step(10_000).unwrap());
    let spare = disk
        .list("log")
        .unwrap()
        .iter()
        .filter(|f| f.name.contains("free-"))
        .count();
    assert_eq!(spare, 1);
    let used = log.disk_bytes();
    fill(&mut log, 1, 20, 900);
    assert_eq!(reader.segments().len(), 2);
    assert_eq!(log.disk_bytes(), used);
    let config = LogConfig {
        disk_bytes_max: 48 << 10,
        ..config()
    };
    drop(log);
    let (log, _, _) = open_with(&disk.crash(CrashKind::Process), config).unwrap();
    assert!(
        matches!(log.prewrite_step(u64::MAX), Err(LogError::Full)),
        "prewriting went over the budget"
    );
}

#[test]
fn a_failed_write_or_sync_fences_for_good() {
    for fail in [
        SimDisk::fail_write,
        SimDisk::short_write,
        SimDisk::fail_sync,
    ] {
        let disk = SimDisk::new(1);
        let (mut log, reader, _) = open(&disk).unwrap();
        let durable = fill(&mut log, 0, 3, 100).last().unwrap().next;
        fail(&disk, 0);
        let failed = append(&mut log, &[(1, 3, 5000)]).and_then(|_| log.sync());
        assert!(matches!(failed, Err(LogError::Fenced { suspect, .. }) if suspect == durable));
        let again = log.begin(1, 100).map(|_| ());
        assert_eq!(again, failed.map(|_| ()));
        assert!(log.sync().is_err() && log.write().is_err() && log.trim(durable).is_err());
        assert!(log.write_superblock(true).is_err());
        // What was not synced may be gone even for readers; what was durable is not.
        let durable_blocks = reader.blocks(Position::ZERO).take(3);
        assert!(durable_blocks.into_iter().all(|block| block.is_ok()));
        let (mut log, reader, recovery) = open(&disk.crash(CrashKind::Power)).unwrap();
        assert_eq!(recovery.suspect, Some(durable));
        assert!(!recovery.was_clean);
        append(&mut log, &[(1, 9, 10)]).unwrap();
        assert_eq!(
            records(&reader, Position::ZERO).unwrap().last(),
            Some(&(1, 9, 10))
        );
    }
}

#[test]
fn unsynced_bytes_are_bounded_by_a_sync() {
    let disk = SimDisk::new(1);
    let config = LogConfig {
        unsynced_bytes_max: 8 << 10,
        ..config()
    };
    let (mut log, _, _) = open_with(&disk, config).unwrap();
    for offset in 0..100 {
        append(&mut log, &[(1, offset, 900)]).unwrap();
        assert!(log.written().0 - log.durable().0 <= 8 << 10);
    }
}

#[test]
fn a_clean_log_opens_without_a_scan_and_in_a_new_epoch() {
    let disk = SimDisk::new(1);
    let (mut log, _, first) = open(&disk).unwrap();
    fill(&mut log, 0, 40, 900);
    log.write_superblock(true).unwrap();
    let disk = disk.crash(CrashKind::Power);
    let (_, reader, second) = open(&disk).unwrap();
    assert!(second.was_clean && second.cut.is_none());
    assert_eq!((second.scanned_bytes, second.epoch), (0, first.epoch + 1));
    assert_eq!(records(&reader, Position::ZERO).unwrap().len(), 40);
    let (_, _, third) = open(&disk.crash(CrashKind::Process)).unwrap();
    assert!(!third.was_clean);
    assert_eq!(third.epoch, first.epoch + 2);
}

#[test]
fn segments_tell_their_times() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    for offset in 0..60 {
        let ms = log.begin(offset as i64, 1000).unwrap();
        push(&mut log, (1, offset, 900), ms).unwrap();
        log.write().unwrap();
    }
    let live = reader.segments();
    assert!(
        live.windows(2)
            .all(|w| w[0].last_ms < w[1].last_ms && w[0].end == w[1].base)
    );
    assert_eq!((live[0].first_ms, live.last().unwrap().last_ms), (0, 59));
    log.write_superblock(true).unwrap();
    let (_, reader, _) = open(&disk.crash(CrashKind::Power)).unwrap();
    let last: Vec<_> = reader.segments().iter().map(|s| s.last_ms).collect();
    assert_eq!(last, live.iter().map(|s| s.last_ms).collect::<Vec<_>>());
}

#[test]
fn readers_are_shared_by_threads_while_the_writer_appends() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let reader = reader.clone();
            std::thread::spawn(move || {
                let mut blocks = reader.blocks(Position::ZERO);
                let mut expected = 0;
                while expected < 200 {
                    for block in blocks.by_ref() {
                        for record in block.unwrap().records() {
                            assert_eq!(check(&record.unwrap()).1, expected);
                            expected += 1;
                        }
                    }
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    fill(&mut log, 0, 200, 500);
    for reader in readers {
        reader.join().unwrap();
    }
}
