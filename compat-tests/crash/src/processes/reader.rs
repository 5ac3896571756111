//! Reads a whole queue after a restart, while nothing writes to it. Retention may still remove its
//! front meanwhile.

use anyhow::Result;

use super::client::{Client, Found, Queue};
use super::consumer::GROUP;

/// Pulls without progress before a queue counts as unreadable.
const STUCK_MAX: u32 = 100;

/// All that is in a queue.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Smallest offset when the reading ended; messages before it may be listed as well.
    pub(super) min: i64,
    /// The offset after the largest.
    pub(super) max: i64,
    pub(super) messages: Vec<Found>,
    /// What was wrong with the answers themselves.
    pub(super) faults: Vec<String>,
}

pub(super) fn read(client: &mut Client, queue: &Queue) -> Result<Contents> {
    let (start, max) = client.bounds(queue)?;
    let mut contents = Contents {
        min: start,
        max,
        ..Contents::default()
    };
    let faults = &mut contents.faults;
    let mut offset = start;
    let mut stuck = 0;
    while offset < max {
        let before = offset;
        let pulled = client.pull(GROUP, queue, offset)?;
        for found in &pulled.messages {
            if found.offset != offset {
                faults.push(format!("{} comes where {offset} should", found.offset));
            }
            offset = offset.max(found.offset + 1);
        }
        if pulled.messages.is_empty() && pulled.next > offset {
            // Retention may have moved the smallest offset past us; nothing else may leave a gap.
            let (min, _) = client.bounds(queue)?;
            if pulled.next > min {
                faults.push(format!("nothing between {offset} and {}", pulled.next));
            }
            offset = pulled.next;
        }
        contents.messages.extend(pulled.messages);
        stuck = if offset > before { 0 } else { stuck + 1 };
        if stuck > STUCK_MAX {
            faults.push(format!("nothing comes from {offset} on, below {max}"));
            break;
        }
    }
    let (min, after) = client.bounds(queue)?;
    if after != max {
        faults.push(format!("the end went from {max} to {after} by itself"));
    }
    contents.min = min;
    Ok(contents)
}
