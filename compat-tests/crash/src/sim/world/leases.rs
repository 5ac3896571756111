//! A group that consumes by lease: what it has settled, and was told is written, stays settled.

use std::collections::HashMap;
use std::time::Duration;

use crossdock_store::io::Clock;
use crossdock_store::lease::{Ledger, Term, prefix};
use crossdock_store::types::{GroupId, QueueId, TableId};
use crossdock_store::view::Views;

use super::{Alive, QUEUES, World};

/// Not one of those whose positions are written at random.
const GROUP: GroupId = GroupId(77);
const LEASES: TableId = TableId(8);
/// Records given out at a time.
const GIVEN: u64 = 40;

/// The ledgers as the views have them.
pub(super) fn load(views: &Views) -> HashMap<QueueId, Ledger> {
    let ledger = |queue| {
        let low = views.position(GROUP, queue).unwrap_or(0);
        let rows = views.scan(LEASES, &prefix(GROUP, queue), usize::MAX);
        let rows = rows.iter().map(|(k, v)| (k.as_ref(), v.as_ref()));
        (queue, Ledger::load(low, rows))
    };
    (1..=QUEUES).map(QueueId).map(ledger).collect()
}

impl World {
    /// Takes some records of a queue, new ones and old ones, and settles some.
    pub(super) fn lease(&mut self, alive: &mut Alive) {
        let queue = QueueId(self.rng.range(1, QUEUES + 1));
        let Ok(bounds) = alive.views.bounds(queue) else {
            return;
        };
        let now_ms = self.clock.now_ms();
        let Some(ledger) = alive.ledgers.get_mut(&queue) else {
            return;
        };
        if ledger.next() < bounds.min {
            ledger.jump(bounds.min);
        }
        let next = bounds.max.min(ledger.next() + self.rng.below(GIVEN));
        let wanted: Vec<u64> = (ledger.next()..next)
            .filter(|_| self.rng.chance(2, 3))
            .collect();
        let length = Duration::from_millis(self.rng.below(5_000));
        let term = Term::Until(now_ms + length.as_millis() as i64);
        ledger.give_new(next, wanted, term, now_ms);
        for lease in ledger.ready(now_ms, self.rng.below(10) as usize) {
            if ledger.give_again(lease, term, now_ms).is_err() {
                self.wrong(format!("{queue:?}: {lease:?} was ready and is not"));
                return;
            }
        }
        for offset in ledger.low()..ledger.next() {
            if self.rng.chance(1, 2) {
                // One that is settled already, or not given out, is refused.
                let _ = ledger.settle(offset, None);
            }
        }
    }

    /// Writes what changed, as a whole.
    pub(super) fn flush_ledgers(&mut self, alive: &mut Alive) {
        let now_ms = self.clock.now_ms();
        for number in 1..=QUEUES {
            let queue = QueueId(number);
            let Some(ledger) = alive.ledgers.get_mut(&queue) else {
                continue;
            };
            let flush = ledger.flush(GROUP, queue, LEASES, now_ms);
            let settled: Vec<u64> = (0..ledger.next())
                .filter(|offset| ledger.is_settled(*offset))
                .collect();
            if flush.changes.is_empty() {
                continue;
            }
            match self.changes(alive, &flush.changes) {
                Some(end) => self.oracle.settled(queue, settled, end),
                None => {
                    if let Some(ledger) = alive.ledgers.get_mut(&queue) {
                        ledger.unflushed();
                    }
                }
            }
        }
    }

    /// What was settled for certain is settled, and nothing is beyond the end of its queue.
    pub(super) fn compare_ledgers(&mut self, alive: &Alive) {
        let mut wrong = Vec::new();
        for (queue, offset) in self.oracle.settled_offsets() {
            let ledger = alive.ledgers.get(&queue);
            if !ledger.is_some_and(|ledger| ledger.is_settled(offset)) {
                wrong.push(format!("{queue:?}: offset {offset} was settled and is not"));
            }
        }
        for (queue, ledger) in &alive.ledgers {
            let max = alive
                .views
                .bounds(*queue)
                .map_or(u64::MAX, |bounds| bounds.max);
            if ledger.next() > max {
                let next = ledger.next();
                wrong.push(format!("{queue:?}: {next} is next and {max} the end"));
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }
}
