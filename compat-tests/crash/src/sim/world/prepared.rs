//! Prepared messages: stored without a place, then committed or rolled back, or neither.

use crossdock_store::api::Message;
use crossdock_store::change::Change;
use crossdock_store::engine::timer::delivery;
use crossdock_store::read::Access;
use crossdock_store::record::{Draft, UNDECIDED};
use crossdock_store::types::{Flavour, Position, QueueId};
use crossdock_store::view::Timer;
use smallvec::smallvec;

use super::{Alive, QUEUES, World};

/// Undecided messages looked at.
const LISTED: usize = 64;

impl World {
    pub(super) fn prepare(&mut self, alive: &mut Alive) {
        let target = QueueId(self.rng.range(1, QUEUES + 1));
        let id = self.new_id();
        self.oracle.schedule(id, target, UNDECIDED);
        let mut draft = Draft::new(target, Flavour::Neutral, smallvec![self.body(id)]);
        draft.due_ms = Some(UNDECIDED);
        let durability = self.durability();
        let Ok(record) = draft.prepare() else { return };
        let outcome = self
            .propose(alive, vec![(smallvec![record], durability)])
            .pop();
        if let Some(Ok(receipt)) = outcome
            && let Some(placed) = receipt.first()
        {
            self.report.acked += 1;
            self.oracle.timer_acked(id, placed.position, placed.bytes);
        }
    }

    /// Commits or rolls back one of the undecided messages.
    pub(super) fn decide(&mut self, alive: &mut Alive) {
        let undecided = alive.views.undecided(None, LISTED).unwrap_or_default();
        let pick = (self.rng.next_u64() as usize).checked_rem(undecided.len());
        let Some(timer) = pick.and_then(|pick| undecided.get(pick)) else {
            return;
        };
        if self.rng.chance(1, 3) {
            self.roll_back(alive, timer);
            return;
        }
        let Some(message) = self.undecided_message(alive, timer) else {
            return;
        };
        let Some(id) = self.oracle.timer_at(timer.position) else {
            // Stored without being acknowledged, and kept by luck: nobody expects anything of it.
            self.roll_back(alive, timer);
            return;
        };
        let (end, reach) = (alive.core.marks().committed, alive.reach_bytes);
        let may_borrow = |at: Position| end.0 - at.0 <= reach / 2;
        let Ok(record) = delivery(timer, &message, may_borrow) else {
            return;
        };
        self.oracle.committing(id);
        let durability = self.durability();
        let outcome = self
            .propose(alive, vec![(smallvec![record], durability)])
            .pop();
        if let Some(Ok(receipt)) = outcome {
            match receipt.first() {
                Some(placed) => {
                    self.report.acked += 1;
                    let (queue, offset) = (timer.target, placed.offset);
                    self.oracle
                        .acked(id, queue, offset, placed.position, placed.bytes);
                }
                None => self.wrong(format!("{id} is listed as undecided and was decided")),
            }
        }
    }

    fn undecided_message(&mut self, alive: &Alive, timer: &Timer) -> Option<Message> {
        let read = alive.reader.message(
            QueueId::NONE,
            0,
            timer.position,
            Some(timer.bytes),
            Access::Disk,
        );
        match read {
            Some(Ok(message)) => Some(message),
            _ if self.flipped => None,
            other => {
                let at = timer.position;
                self.wrong(format!("the prepared message at {at} gave {other:?}"));
                None
            }
        }
    }

    fn roll_back(&mut self, alive: &mut Alive, timer: &Timer) {
        if let Some(id) = self.oracle.timer_at(timer.position) {
            self.oracle.cancelling(id);
        }
        let timer = timer.position;
        self.changes(alive, &[Change::Cancel { timer }]);
    }

    /// Leaves nothing undecided.
    pub(super) fn roll_back_all(&mut self, alive: &mut Alive) {
        loop {
            let undecided = alive.views.undecided(None, LISTED).unwrap_or_default();
            if undecided.is_empty() || alive.core.is_fenced() {
                return;
            }
            for timer in &undecided {
                self.roll_back(alive, timer);
            }
        }
    }
}
