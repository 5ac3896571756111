//! From files to a working store: recover the log, then bring the views up to its end.

use std::sync::Arc;

use crate::engine::keeper::PENDING_BYTES_MAX;
use crate::error::OpenError;
use crate::io::{Clock, Disk};
use crate::kv::KvStore;
use crate::log::{LogReader, LogWriter, Prewriter, ReadError, SegmentView};
use crate::options::Options;
use crate::types::Position;
use crate::view::{Limits, Views};

/// A recovered store whose threads have not been started.
#[derive(Debug)]
pub struct Recovered {
    /// The writing end of the log.
    pub writer: LogWriter,
    /// The reading end.
    pub log: LogReader,
    /// The views, applied up to the end of the log.
    pub views: Arc<Views>,
    /// Fills segments ahead of the writer.
    pub prewriter: Prewriter,
    /// Number of this life of the log.
    pub epoch: u64,
    /// Store time of the newest block.
    pub last_ms: i64,
}

/// Recovers a store. On one node everything readable is committed: it was acknowledged, or harms nobody.
///
/// # Errors
/// The folder cannot be used, or bytes that were durable are damaged.
pub fn recover(
    disk: Arc<dyn Disk>,
    kv: Box<dyn KvStore>,
    clock: Arc<dyn Clock>,
    options: &Options,
) -> Result<Recovered, OpenError> {
    let (writer, log, recovery) = LogWriter::open(disk.clone(), clock, options.log.clone())?;
    if let Some(cut) = recovery.cut {
        tracing::info!(at = %cut.at, durable = %cut.durable, "the torn end of the log was cut");
    }
    let visible = visible_start(&log.segments(), recovery.start, writer.reach_bytes());
    let (views, resume) = Views::open(kv, disk, visible, recovery.end, Limits::default())?;
    replay(&log, &views, resume)?;
    Ok(Recovered {
        prewriter: writer.prewriter(),
        writer,
        log,
        views: Arc::new(views),
        epoch: recovery.epoch,
        last_ms: recovery.last_ms,
    })
}

/// Where the log begins for the views. Once it was trimmed, records within reach of its first position are kept only for
/// those that borrow from them. Trimming sees to it that there is a boundary beyond reach; it stays the same until the
/// log is trimmed again.
#[must_use]
pub fn visible_start(segments: &[SegmentView], start: Position, reach_bytes: u64) -> Position {
    if start == Position::ZERO {
        return start;
    }
    beyond_reach(segments, start, reach_bytes).unwrap_or(start)
}

/// The first segment boundary that nothing before `start` can be borrowed from.
#[must_use]
pub fn beyond_reach(
    segments: &[SegmentView],
    start: Position,
    reach_bytes: u64,
) -> Option<Position> {
    let reached = start.plus(reach_bytes);
    segments
        .iter()
        .map(|segment| segment.base)
        .find(|base| *base >= reached)
}

fn replay(log: &LogReader, views: &Views, from: Position) -> Result<(), OpenError> {
    for block in log.blocks(from) {
        let block = match block {
            Ok(block) => block,
            // What a repair set aside stays unreadable; everything behind it is good.
            Err(ReadError::Damaged { isolated: true, .. }) => continue,
            Err(error) => return Err(OpenError::Replay(error)),
        };
        let mut applier = views.applier();
        for record in block.records() {
            match record {
                Ok(record) => applier.apply(&record.borrowed(), &mut |_, _, _, _| {}),
                Err(ReadError::Damaged { isolated: true, .. }) => {}
                Err(error) => return Err(OpenError::Replay(error)),
            }
        }
        applier.end_block(block.next());
        drop(applier);
        if views.pending_bytes() >= PENDING_BYTES_MAX {
            views.checkpoint(log.durable())?;
        }
    }
    Ok(())
}
