//! Torn, stale and rotten bytes: what is cut, what is refused, what is named, and what a repair leaves readable.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop where it stands"
)]

mod log_kit;

use crossdock_store::io::Disk;
use crossdock_store::io::sim::{CrashKind, Rng, SimDisk};
use crossdock_store::log::{
    BlockSpan, DamageKind, LogReader, OpenError, ReadError, repair, verify,
};
use crossdock_store::record::RECORD_HEADER;
use crossdock_store::types::{Position, QueueId};
use log_kit::{Entry, append, config, fill, open, open_with, place, records};
use proptest::prelude::*;

/// Ten durable blocks of one record in the first segment, then `torn` more that were only written.
fn ten_blocks(torn: u64) -> (SimDisk, LogReader, Vec<BlockSpan>) {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let mut spans = fill(&mut log, 0, 8, 400);
    for offset in 8..8 + torn {
        spans.push(append(&mut log, &[(1, offset, 400)]).unwrap());
    }
    (disk, reader, spans)
}

fn corrupt(disk: &SimDisk, reader: &LogReader, position: Position) {
    let (name, at) = place(reader, position);
    assert!(disk.flip_bit(&name, at, 3));
}

fn refused(disk: &SimDisk) -> (Position, Vec<crossdock_store::log::Damage>) {
    match open(disk) {
        Err(OpenError::Damaged { durable, damage }) => (durable, damage),
        other => panic!("opened over damage: {other:?}"),
    }
}

#[test]
fn a_torn_block_above_the_durable_mark_is_cut_even_if_whole_blocks_follow() {
    let (disk, reader, spans) = ten_blocks(3);
    corrupt(&disk, &reader, spans[8].first_record.plus(200));
    let disk = disk.crash(CrashKind::Process);
    let (mut log, reader, recovery) = open(&disk).unwrap();
    let cut = recovery.cut.unwrap();
    assert_eq!(
        (cut.at, cut.durable),
        (spans[8].position, spans[8].position)
    );
    assert_eq!(records(&reader, Position::ZERO).unwrap().len(), 8);
    // The block behind the torn one stays on disk, whole, with a position that the new log will pass over.
    let again = append(&mut log, &[(1, 100, 400)]).unwrap();
    assert_eq!(again.position, spans[8].position.plus(512));
    let (_, reader, _) = open(&disk.crash(CrashKind::Process)).unwrap();
    let offsets: Vec<_> = records(&reader, Position::ZERO)
        .unwrap()
        .iter()
        .map(|r| r.1)
        .collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6, 7, 100]);
}

#[test]
fn a_torn_header_is_cut_as_well() {
    let (disk, reader, spans) = ten_blocks(1);
    corrupt(&disk, &reader, spans[8].position.plus(20));
    let (_, reader, recovery) = open(&disk.crash(CrashKind::Process)).unwrap();
    assert_eq!(reader.end(), spans[8].position);
    assert_eq!(
        recovery.cut, None,
        "there was nothing left that could pass for a block"
    );
}

#[test]
fn damage_that_a_later_block_saw_durable_is_refused_and_named() {
    // The superblock still says that nothing is durable: only the blocks themselves testify.
    let (disk, reader, spans) = ten_blocks(2);
    corrupt(&disk, &reader, spans[4].first_record.plus(200));
    let disk = disk.crash(CrashKind::Process);
    let before = disk.counters().writes;
    let (durable, damage) = refused(&disk);
    assert_eq!(durable, spans[8].position);
    assert_eq!(
        (damage[0].from, damage[0].to),
        (spans[4].position, spans[4].next)
    );
    let lost = damage[0].lost[0];
    assert_eq!((lost.queue, lost.offset, lost.count), (QueueId(1), 4, 1));
    assert_eq!(disk.counters().writes, before, "a refused log was changed");
    let text = OpenError::Damaged { durable, damage }.to_string();
    assert!(text.contains("queue:0x1 4..5"), "{text}");
}

#[test]
fn damage_below_the_superblocks_mark_is_found_by_a_full_check_and_by_replay() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let spans = fill(&mut log, 0, 8, 400);
    log.write_superblock(false).unwrap();
    corrupt(&disk, &reader, spans[7].first_record.plus(200));
    let disk = disk.crash(CrashKind::Process);
    let (_, reader, _) = open(&disk).unwrap();
    let damaged = records(&reader, Position::ZERO);
    assert!(
        matches!(damaged, Err(ReadError::Damaged { from, .. }) if from == spans[7].position),
        "{damaged:?}"
    );
    let disk = disk.crash(CrashKind::Process);
    let mut checked = config();
    checked.verify_on_open = true;
    assert!(matches!(
        open_with(&disk, checked),
        Err(OpenError::Damaged { .. })
    ));
    let report = verify(&disk).unwrap();
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].kind, DamageKind::Records);
    assert_eq!(
        report.records, 8,
        "seven whole records and one block that can be walked"
    );
}

#[test]
fn the_last_synced_block_without_a_witness_is_taken_for_a_torn_tail() {
    // Stated in the design, not hidden: nothing on one node tells this from a block that was never synced.
    let (disk, reader, spans) = ten_blocks(0);
    corrupt(&disk, &reader, spans[7].position);
    let (_, reader, _) = open(&disk.crash(CrashKind::Process)).unwrap();
    assert_eq!(reader.end(), spans[7].position);
}

#[test]
fn stale_blocks_of_a_recycled_file_are_the_end_of_the_log() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    fill(&mut log, 0, 100, 900);
    let third = reader.segments()[3].base;
    assert_eq!(log.trim(third).unwrap().recycled, 2);
    let active = reader.segments().last().unwrap().base;
    let mut offset = 100;
    while reader.segments().last().unwrap().base == active {
        fill(&mut log, offset, offset + 3, 900);
        offset += 3;
    }
    let end = reader.end();
    let count = records(&reader, reader.start()).unwrap().len();
    let (name, at) = place(&reader, end);
    let mut stale = vec![0; 512];
    let disk = disk.crash(CrashKind::Process);
    disk.open(&name).unwrap().read_at(at, &mut stale).unwrap();
    assert!(
        stale.iter().any(|b| *b != 0),
        "the file was not recycled over the end"
    );
    let (_, reader, recovery) = open(&disk).unwrap();
    assert_eq!((recovery.end, recovery.cut), (end, None));
    assert_eq!(records(&reader, reader.start()).unwrap().len(), count);
}

#[test]
fn records_of_a_cut_epoch_cannot_slip_into_a_torn_block_of_the_next() {
    // Two epochs write blocks of the same shape at the same place; the later one is torn so that the earlier one's
    // records, whole and for this very position, stand in it.
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    fill(&mut log, 0, 1, 400);
    let (name, _) = place(&reader, Position::ZERO);
    let shape = |first: u64| -> Vec<Entry> { (first..first + 3).map(|o| (1, o, 664)).collect() };
    let old = append(&mut log, &shape(10)).unwrap();
    let mut bytes = vec![0; (old.next.0 - old.position.0) as usize];
    let at = 4096 + old.position.0;
    disk.open(&name).unwrap().read_at(at, &mut bytes).unwrap();
    corrupt(&disk, &reader, old.position);
    let disk = disk.crash(CrashKind::Process);
    let (mut log, reader, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.end, old.position);
    let new = append(&mut log, &shape(20)).unwrap();
    assert_eq!((new.position, new.next), (old.position, old.next));
    drop(reader);
    let disk = disk.crash(CrashKind::Process);
    // All but the first sectors hold what the old epoch wrote; records begin at multiples of 768 bytes behind 64.
    let second = 64 + (RECORD_HEADER + 664).next_multiple_of(8);
    assert!(disk.scribble(&name, at + second as u64, &bytes[second..]));
    let (_, reader, _) = open(&disk).unwrap();
    assert_eq!(records(&reader, Position::ZERO).unwrap(), vec![(1, 0, 400)]);
}

#[test]
fn a_missing_or_headless_segment_below_the_mark_is_refused_and_named() {
    for kind in [DamageKind::Segment, DamageKind::Header] {
        let disk = SimDisk::new(1);
        let (mut log, reader, _) = open(&disk).unwrap();
        fill(&mut log, 0, 80, 900);
        log.write_superblock(true).unwrap();
        let segment = reader.segments()[1];
        let (name, _) = place(&reader, segment.base);
        assert!(match kind {
            DamageKind::Segment => disk.lose(&name),
            _ => disk.flip_bit(&name, 100, 0),
        });
        let disk = disk.crash(CrashKind::Process);
        let (_, damage) = refused(&disk);
        assert_eq!((damage[0].kind, damage[0].from), (kind, segment.base));
        assert_eq!(damage[0].to, segment.end);
        assert_eq!(damage[0].lost.is_empty(), kind == DamageKind::Segment);
    }
}

#[test]
fn a_lost_superblock_is_refused_and_one_bad_slot_is_not() {
    let (disk, _, _) = ten_blocks(0);
    let disk = disk.crash(CrashKind::Process);
    let one = disk.fork();
    assert!(one.flip_bit("superblock", 50, 1));
    assert_eq!(
        records(&open(&one).unwrap().1, Position::ZERO)
            .unwrap()
            .len(),
        8
    );
    assert!(disk.flip_bit("superblock", 50, 1) && disk.flip_bit("superblock", 4096 + 50, 1));
    assert_eq!(open(&disk).unwrap_err(), OpenError::Superblock);
    assert!(disk.lose("superblock"));
    assert_eq!(open(&disk).unwrap_err(), OpenError::Superblock);
}

#[test]
fn a_read_error_refuses_to_open_and_changes_nothing() {
    let (disk, _, _) = ten_blocks(0);
    let mut disk = disk.crash(CrashKind::Process);
    for skip in 0..20 {
        disk.fail_read(skip);
        match open(&disk) {
            Err(OpenError::Io(_)) => disk = disk.crash(CrashKind::Power),
            Err(e) => panic!("{e}"),
            Ok((_, reader, _)) => {
                disk.heal();
                assert_eq!(records(&reader, Position::ZERO).unwrap().len(), 8);
                return;
            }
        }
    }
    panic!("reads never ended");
}

/// Repairs a log and returns what its records say: offsets, or the range set aside.
fn repaired(disk: &SimDisk) -> Vec<Result<u64, (Position, Position)>> {
    let report = repair(disk).unwrap();
    assert!(!report.damage.is_empty());
    assert!(verify(disk).unwrap().damage.is_empty());
    let (mut log, reader, _) = open(disk).unwrap();
    append(&mut log, &[(1, 1000, 10)]).unwrap();
    log.write_superblock(true).unwrap();
    let mut seen = Vec::new();
    let mut note = |e: ReadError| match e {
        ReadError::Damaged {
            from,
            to,
            isolated: true,
        } => Err((from, to)),
        e => panic!("{e}"),
    };
    for block in reader.blocks(reader.start()) {
        match block {
            Err(e) => seen.push(note(e)),
            Ok(block) => {
                for record in block.records() {
                    seen.push(record.map_or_else(&mut note, |r| Ok(log_kit::check(&r).1)));
                }
            }
        }
    }
    for (from, to) in seen.iter().filter_map(|s| s.err()) {
        let read = reader.read(from, 8);
        assert_eq!(
            read,
            Err(ReadError::Damaged {
                from,
                to,
                isolated: true
            })
        );
    }
    let mut checked = config();
    checked.verify_on_open = true;
    open_with(&disk.crash(CrashKind::Power), checked).unwrap();
    seen
}

#[test]
fn a_repair_sets_the_damaged_record_aside_and_keeps_its_neighbours() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let entries: Vec<Entry> = (0..5).map(|o| (1, o, 600)).collect();
    let span = append(&mut log, &entries).unwrap();
    fill(&mut log, 5, 8, 600);
    let size = (RECORD_HEADER + 600).next_multiple_of(8) as u64;
    let third = span.first_record.plus(2 * size);
    corrupt(&disk, &reader, third.plus(300));
    let disk = disk.crash(CrashKind::Process);
    let seen = repaired(&disk);
    let hole = Err((third, third.plus(size)));
    assert_eq!(
        seen,
        [
            Ok(0),
            Ok(1),
            hole,
            Ok(3),
            Ok(4),
            Ok(5),
            Ok(6),
            Ok(7),
            Ok(1000)
        ]
    );
}

#[test]
fn a_repair_finds_the_next_record_behind_a_damaged_record_header() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let entries: Vec<Entry> = (0..4).map(|o| (1, o, 600)).collect();
    let span = append(&mut log, &entries).unwrap();
    fill(&mut log, 4, 6, 600);
    let size = (RECORD_HEADER + 600).next_multiple_of(8) as u64;
    corrupt(&disk, &reader, span.first_record.plus(size));
    let seen = repaired(&disk.crash(CrashKind::Process));
    let hole = Err((
        span.first_record.plus(size),
        span.first_record.plus(2 * size),
    ));
    assert_eq!(seen, [Ok(0), hole, Ok(2), Ok(3), Ok(4), Ok(5), Ok(1000)]);
}

#[test]
fn a_repair_sets_blocks_with_damaged_headers_aside() {
    let (disk, reader, spans) = ten_blocks(2);
    corrupt(&disk, &reader, spans[3].position);
    corrupt(&disk, &reader, spans[4].position);
    let seen = repaired(&disk.crash(CrashKind::Process));
    let hole = Err((spans[3].position, spans[5].position));
    let expected = [
        Ok(0),
        Ok(1),
        Ok(2),
        hole,
        Ok(5),
        Ok(6),
        Ok(7),
        Ok(8),
        Ok(9),
        Ok(1000),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_repair_goes_on_at_the_durable_mark_if_everything_below_it_is_gone() {
    let disk = SimDisk::new(1);
    let (mut log, reader, _) = open(&disk).unwrap();
    let spans = fill(&mut log, 0, 8, 400);
    log.write_superblock(true).unwrap();
    corrupt(&disk, &reader, spans[7].position);
    let seen = repaired(&disk.crash(CrashKind::Process));
    assert_eq!(
        seen[7..],
        [Err((spans[7].position, spans[7].next)), Ok(1000)]
    );
}

#[test]
fn a_repair_rebuilds_segment_headers_and_skips_what_is_missing() {
    for what in ["header", "missing", "short", "last missing"] {
        let disk = SimDisk::new(1);
        let (mut log, reader, _) = open(&disk).unwrap();
        fill(&mut log, 0, 80, 900);
        log.write_superblock(true).unwrap();
        let segments = reader.segments();
        let (name, _) = place(&reader, segments[1].base);
        match what {
            "header" => assert!(disk.flip_bit(&name, 100, 0)),
            "missing" => assert!(disk.lose(&name)),
            "short" => assert!(disk.truncate(&name, 10_000)),
            _ => assert!(disk.lose(&place(&reader, segments.last().unwrap().base).0)),
        }
        let seen = repaired(&disk.crash(CrashKind::Process));
        let whole = seen.iter().filter(|s| s.is_ok()).count();
        let holes = seen.len() - whole;
        match what {
            "header" => assert_eq!((whole, holes), (81, 0)),
            _ => assert!(
                holes == 1 && (40..80).contains(&whole),
                "{what}: {whole} {holes}"
            ),
        }
        assert_eq!(seen.last(), Some(&Ok(1000)));
    }
}

#[test]
fn repairing_a_sound_log_changes_nothing() {
    let (disk, _, _) = ten_blocks(2);
    let disk = disk.crash(CrashKind::Process);
    let writes = disk.counters().writes;
    let report = repair(&disk).unwrap();
    assert!(report.damage.is_empty());
    assert_eq!((report.blocks, report.records), (10, 10));
    assert_eq!(disk.counters().writes, writes);
}

/// A log with every kind of block over several segments, ended without a word.
fn varied() -> (SimDisk, Vec<Entry>) {
    let disk = SimDisk::new(5);
    let (mut log, reader, _) = open(&disk).unwrap();
    let mut rng = Rng::new(9);
    let mut offset = 0;
    for round in 0..40 {
        let count = rng.range(1, 4);
        let entries: Vec<Entry> = (0..count)
            .map(|i| (i, offset + i, rng.below(900) as usize))
            .collect();
        append(&mut log, &entries).unwrap();
        offset += count;
        if round % 3 == 0 {
            log.sync().unwrap();
        }
        if round == 20 {
            log.write_superblock(false).unwrap();
        }
    }
    let all = records(&reader, Position::ZERO).unwrap();
    (disk.crash(CrashKind::Process), all)
}

fn prefix_or_refused(disk: &SimDisk, all: &[Entry]) -> Result<(), TestCaseError> {
    match open(disk) {
        Ok((_, reader, _)) => match records(&reader, reader.start()) {
            Ok(found) => prop_assert_eq!(&found[..], &all[..found.len()]),
            Err(e) => prop_assert!(matches!(e, ReadError::Damaged { .. }), "{}", e),
        },
        Err(OpenError::Damaged { .. } | OpenError::Superblock) => {}
        Err(e) => prop_assert!(false, "{}", e),
    }
    Ok(())
}

fn any_file(disk: &SimDisk, pick: usize) -> (String, u64) {
    let mut files = disk.list("log").unwrap();
    files.extend(disk.list("").unwrap());
    let file = &files[pick % files.len()];
    (file.name.clone(), file.len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flipped_bits_give_a_prefix_or_a_refusal(
        flips in proptest::collection::vec((any::<usize>(), any::<u64>(), 0..8u8), 1..4),
    ) {
        let (disk, all) = varied();
        for (pick, at, bit) in flips {
            let (name, len) = any_file(&disk, pick);
            disk.flip_bit(&name, at % len, bit);
        }
        prefix_or_refused(&disk, &all)?;
        if let Ok(report) = verify(&disk.crash(CrashKind::Process)) {
            prop_assert!(report.records as usize <= all.len() + 1);
        }
    }

    #[test]
    fn truncated_files_give_a_prefix_or_a_refusal(pick: usize, len: u64) {
        let (disk, all) = varied();
        let (name, whole) = any_file(&disk, pick);
        disk.truncate(&name, len % whole);
        prefix_or_refused(&disk, &all)?;
    }

    #[test]
    fn a_repair_after_any_damage_opens_and_serves_only_what_was_written(
        seed: u64,
        hits in 1..6u64,
    ) {
        let (disk, all) = varied();
        let mut rng = Rng::new(seed);
        for _ in 0..hits {
            let files = disk.list("log").unwrap();
            let file = &files[rng.below(files.len() as u64) as usize];
            let at = rng.below(file.len);
            let junk = vec![rng.next_u64() as u8; rng.range(1, 3000).min(file.len - at) as usize];
            disk.scribble(&file.name, at, &junk);
        }
        repair(&disk).unwrap();
        let (_, reader, _) = open(&disk).unwrap();
        let mut last = None;
        for block in reader.blocks(reader.start()) {
            let block = match block {
                Ok(block) => block,
                Err(ReadError::Damaged { isolated: true, .. }) => continue,
                Err(e) => return Err(TestCaseError::fail(e.to_string())),
            };
            for record in block.records().flatten() {
                let at = all.iter().position(|e| *e == log_kit::check(&record));
                prop_assert!(at.is_some() && at > last, "{:?} after {:?}", at, last);
                last = at;
            }
        }
    }
}
