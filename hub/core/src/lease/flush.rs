//! Writing ledgers: those that changed are listed and written together, by the task that writes positions and before it
//! does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossdock_store::change::Change;
use crossdock_store::types::Durability;
use parking_lot::Mutex;

use super::Seat;
use crate::error::HubError;
use crate::hub::Inner;
use crate::table;

/// Changes after which one record is full.
const CHANGES_AT: usize = 4096;
/// How long a ledger whose leases are too young to be written is left alone.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Seats to be written.
#[derive(Debug, Default)]
pub(super) struct Listed {
    now: Mutex<Vec<Arc<Seat>>>,
    later: Mutex<Vec<Arc<Seat>>>,
}

impl Inner {
    /// The seat's ledger changed.
    pub(super) fn changed(&self, seat: &Arc<Seat>) {
        if !seat.is_listed.swap(true, Ordering::AcqRel) {
            self.leases.listed.now.lock().push(Arc::clone(seat));
            self.positions.wake_writer();
        }
    }

    /// True if something has to be looked at again in a while.
    pub(crate) fn has_young_leases(&self) -> bool {
        !self.leases.listed.later.lock().is_empty()
    }

    /// Lists what was left alone.
    pub(crate) fn list_young_leases(&self) {
        let later = std::mem::take(&mut *self.leases.listed.later.lock());
        for seat in later {
            self.changed(&seat);
        }
    }

    /// Writes what is listed.
    pub(crate) async fn flush_leases(&self) -> Result<(), HubError> {
        let mut seats = std::mem::take(&mut *self.leases.listed.now.lock()).into_iter();
        let mut outcome = Ok(());
        while seats.len() > 0 {
            let mut changes = Vec::new();
            let mut part = Vec::new();
            for seat in seats.by_ref() {
                self.collect(&seat, &mut changes);
                part.push(seat);
                if changes.len() >= CHANGES_AT {
                    break;
                }
            }
            if changes.is_empty() {
                continue;
            }
            if let Err(error) = self.store.change(&changes, Durability::Written).await {
                for seat in &part {
                    seat.ledger.lock().unflushed();
                    self.changed(seat);
                }
                outcome = Err(error.into());
            }
        }
        outcome
    }

    fn collect(&self, seat: &Arc<Seat>, changes: &mut Vec<Change>) {
        // First unlisted, then read: what changes in between is listed again.
        seat.is_listed.store(false, Ordering::Release);
        let mut ledger = seat.ledger.lock();
        let flush = ledger.flush(seat.group, seat.queue, table::LEASES, self.store.now_ms());
        drop(ledger);
        changes.extend(flush.changes);
        if flush.again {
            self.leases.listed.later.lock().push(Arc::clone(seat));
        }
    }
}
