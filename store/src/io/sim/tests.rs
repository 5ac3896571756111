use super::*;
use crate::io::{Disk, File};

fn synced(disk: &SimDisk, name: &str, len: u64) -> Arc<dyn File> {
    let file = disk.create(name, len).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir("").unwrap();
    file
}

fn read(disk: &SimDisk, name: &str, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    disk.open(name).unwrap().read_at(0, &mut out).unwrap();
    out
}

#[test]
fn synced_bytes_survive_power_loss_and_unsynced_ones_sometimes_do_not() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = synced(&disk, "f", 4096);
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync_data().unwrap();
        file.write_at(1024, &[2; 1024]).unwrap();
        let disk = disk.crash(CrashKind::Power);
        let bytes = read(&disk, "f", 4096);
        assert_eq!(bytes[..1024], [1; 1024]);
        kept += usize::from(bytes[1024..2048] == [2; 1024]);
        lost += usize::from(bytes[1024..2048] == [0; 1024]);
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost of 50");
}

#[test]
fn the_end_of_the_process_keeps_everything_and_ends_old_handles() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "f", 512);
    file.write_at(0, &[7; 512]).unwrap();
    let next = disk.crash(CrashKind::Process);
    assert_eq!(read(&next, "f", 512), [7; 512]);
    assert_eq!(file.sync_data(), Err(IoError::Stale));
    assert_eq!(disk.list(""), Err(IoError::Stale));
}

#[test]
fn names_need_a_synced_folder() {
    let mut undone = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        synced(&disk, "a", 512);
        disk.rename("a", "b").unwrap();
        let disk = disk.crash(CrashKind::Power);
        undone += usize::from(disk.open("a").is_ok());
        assert_ne!(disk.open("a").is_ok(), disk.open("b").is_ok());
    }
    assert!((1..50).contains(&undone), "{undone}");
}

#[test]
fn a_failed_sync_may_lose_bytes_that_a_later_sync_claims() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = synced(&disk, "f", 512);
        file.write_at(0, &[7; 512]).unwrap();
        disk.fail_sync(0);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let disk = disk.crash(CrashKind::Power);
        lost += usize::from(read(&disk, "f", 512) != [7; 512]);
    }
    assert!(lost > 0);
}

#[test]
fn a_lying_disk_loses_what_it_called_synced() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = synced(&disk, "f", 512);
        disk.lie_about_sync(true);
        file.write_at(0, &[7; 512]).unwrap();
        file.sync_data().unwrap();
        let disk = disk.crash(CrashKind::Power);
        lost += usize::from(read(&disk, "f", 512) != [7; 512]);
    }
    assert!(lost > 0);
}

#[test]
fn a_full_disk_refuses_creation_and_changes_nothing() {
    let disk = SimDisk::new(1);
    disk.set_capacity(1000);
    disk.create("a", 600).unwrap();
    assert_eq!(disk.create("b", 600).unwrap_err(), IoError::Full);
    assert_eq!(disk.space().unwrap().free, 400);
    disk.remove("a").unwrap();
    disk.create("b", 600).unwrap();
}

#[test]
fn equal_seeds_lose_equal_sectors() {
    let run = || {
        let disk = SimDisk::new(42);
        let file = synced(&disk, "f", 64 * 512);
        file.write_at(0, &[9; 64 * 512]).unwrap();
        read(&disk.crash(CrashKind::Power), "f", 64 * 512)
    };
    assert_eq!(run(), run());
}
