//! What a log does on a good day: append, read, roll, trim, reopen.

mod log_kit;

use crossdock_store::io::sim::{CrashKind, SimDisk};
use crossdock_store::log::{LogConfig, LogError, LogWriter, ReadError};
use crossdock_store::types::Position;
use log_kit::{append, clock, config, open, records};

#[test]
fn records_come_back_as_they_went_in() {
    let disk = SimDisk::new(1);
    let (mut log, reader, recovery) = open(&disk).unwrap();
    assert!(recovery.is_new);
    let span = append(&mut log, &[(1, 0, 100), (1, 1, 2000), (2, 0, 0)]).unwrap();
    assert_eq!(reader.end(), span.next);
    assert_eq!(reader.durable(), Position::ZERO);
    log.sync().unwrap();
    assert_eq!(reader.durable(), span.next);
    let found = records(&reader, reader.start()).unwrap();
    assert_eq!(found, vec![(1, 0, 100), (1, 1, 2000), (2, 0, 0)]);
}
