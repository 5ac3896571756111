use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const GROUP: GroupId = GroupId(7);
const QUEUE: QueueId = QueueId(9);
const TABLE: TableId = TableId(1);

fn owner(number: u32) -> OwnerId {
    OwnerId(NonZeroU32::new(number).unwrap())
}

fn offsets(leases: &[Lease]) -> Vec<u64> {
    leases.iter().map(|lease| lease.offset).collect()
}

/// The rows of one ledger.
#[derive(Default)]
struct Rows {
    rows: BTreeMap<Bytes, Bytes>,
    position: Option<u64>,
}

impl Rows {
    fn write(&mut self, flush: Flush) {
        for change in flush.changes {
            match change {
                Change::Put { key, value, .. } => {
                    self.rows.insert(key, value);
                }
                Change::Delete { key, .. } => {
                    self.rows.remove(&key);
                }
                Change::Commit { offset, .. } => self.position = Some(offset),
                other => panic!("{other:?}"),
            }
        }
    }

    fn load(&self, low: u64) -> Ledger {
        let rows = self.rows.iter().map(|(k, v)| (k.as_ref(), v.as_ref()));
        Ledger::load(self.position.unwrap_or(low), rows)
    }
}

#[test]
fn what_is_given_out_is_given_again_when_its_time_is_up_and_first() {
    let mut ledger = Ledger::new(10);
    let given = ledger.give_new(15, [10, 12, 14], Term::Until(1000), 0);
    assert_eq!(offsets(&given), [10, 12, 14]);
    assert_eq!(
        (ledger.low(), ledger.next(), ledger.outstanding()),
        (10, 15, 3)
    );
    assert!(ledger.ready(999, 10).is_empty());
    assert_eq!(ledger.held_until(999), Some(1000));
    assert_eq!(ledger.ready_ms(), Some(1000));

    let ready = ledger.ready(1000, 2);
    assert_eq!(offsets(&ready), [10, 12]);
    let again = ledger
        .give_again(ready[0], Term::Until(2000), 1000)
        .unwrap();
    assert_eq!(again.attempt, 2);
    assert_eq!(offsets(&ledger.ready(1000, 10)), [12, 14]);
    assert_eq!(ledger.settle(10, Some(1)), Err(LeaseError::Stale));
    assert_eq!(ledger.settle(10, Some(2)), Ok(()));
    assert_eq!(ledger.settle(10, Some(2)), Err(LeaseError::Settled));
    assert_eq!(ledger.settle(15, None), Err(LeaseError::Unknown));
    assert_eq!(ledger.low(), 12, "what lay between was not wanted");
}

#[test]
fn a_late_answer_counts_as_long_as_nobody_else_has_the_record() {
    let mut ledger = Ledger::new(0);
    ledger.give_new(1, [0], Term::Until(10), 0);
    assert_eq!(ledger.settle(0, Some(1)), Ok(()));
    assert_eq!((ledger.low(), ledger.outstanding()), (1, 0));
}

#[test]
fn an_owner_keeps_what_it_has_until_it_goes() {
    let mut ledger = Ledger::new(0);
    ledger.give_new(2, [0, 1], Term::Owner(owner(1)), 0);
    ledger.give_new(3, [2], Term::Owner(owner(2)), 0);
    assert!(ledger.ready(i64::MAX, 10).is_empty());
    assert_eq!(ledger.ready_ms(), None);
    assert_eq!(ledger.drop_owner(owner(1), 5), 2);
    assert_eq!(offsets(&ledger.ready(5, 10)), [0, 1]);
    assert_eq!(ledger.drop_owner(owner(1), 5), 0);
    assert_eq!(ledger.held_until(5), Some(i64::MAX));
}

#[test]
fn a_release_and_an_extension_are_a_new_term() {
    let mut ledger = Ledger::new(0);
    ledger.give_new(1, [0], Term::Until(10), 0);
    ledger.renew(0, Some(1), Term::Until(100), 5).unwrap();
    assert!(ledger.ready(50, 1).is_empty());
    ledger.renew(0, Some(1), Term::Until(0), 60).unwrap();
    assert_eq!(offsets(&ledger.ready(60, 1)), [0]);
    assert_eq!(
        ledger.renew(0, Some(2), Term::Until(0), 60),
        Err(LeaseError::Stale)
    );
}

#[test]
fn a_delivery_that_did_not_happen_does_not_count() {
    let mut ledger = Ledger::new(0);
    let given = ledger.give_new(1, [0], Term::Until(10), 0);
    ledger.undo(given[0], 1).unwrap();
    let ready = ledger.ready(1, 1);
    assert_eq!(
        ready,
        [Lease {
            offset: 0,
            attempt: 0
        }]
    );
    let again = ledger.give_again(ready[0], Term::Until(10), 1).unwrap();
    assert_eq!(again.attempt, 1);
}

#[test]
fn what_is_set_aside_is_given_to_who_knows_of_it_only() {
    let mut ledger = Ledger::new(0);
    let given = ledger.give_new(3, [0, 1, 2], Term::Until(1000), 0);
    ledger.set_aside(given[1], 0, 0).unwrap();
    assert_eq!(ledger.settle(1, None), Err(LeaseError::Unknown));
    assert_eq!(offsets(&ledger.held(0)), [0, 2]);
    assert_eq!(offsets(&ledger.ready(5000, 10)), [0, 2]);
    ledger.settle(0, None).unwrap();
    ledger.settle(2, None).unwrap();
    assert_eq!((ledger.held_until(0), ledger.low()), (None, 1));
    let aside = Lease {
        offset: 1,
        attempt: 0,
    };
    let lease = ledger.give_again(aside, Term::Until(1000), 0).unwrap();
    assert_eq!(lease.attempt, 1);
    // It is held now, whatever somebody believes who was late.
    let late = ledger.give_again(lease, Term::Until(1000), 0);
    assert_eq!(late, Err(LeaseError::Stale));
}

#[test]
fn a_ledger_that_is_loaded_has_nothing_set_aside() {
    let mut rows = Rows::default();
    let mut ledger = Ledger::new(0);
    let given = ledger.give_new(2, [0, 1], Term::Until(9000), 0);
    ledger.set_aside(given[0], 0, 0).unwrap();
    rows.write(ledger.flush(GROUP, QUEUE, TABLE, 2000));
    let mut loaded = rows.load(0);
    let ready = loaded.ready(2000, 10);
    assert_eq!((offsets(&ready), ready[0].attempt), (vec![0], 0));
}

#[test]
fn the_window_is_bounded() {
    let mut ledger = Ledger::new(3);
    let given = ledger.give_new(u64::MAX, [3], Term::Until(10), 0);
    assert_eq!(given.len(), 1);
    assert_eq!((ledger.next(), ledger.room()), (3 + WINDOW_MAX, 0));
}

#[test]
fn a_young_lease_is_not_written_and_an_older_one_is() {
    let mut ledger = Ledger::new(0);
    ledger.give_new(1, [0], Term::Until(60_000), 100);
    let mut rows = Rows::default();
    let young = ledger.flush(GROUP, QUEUE, TABLE, 200);
    assert!(young.again);
    rows.write(young);
    // Lost with the process: it is available at once, and the delivery is remembered.
    assert_eq!(
        rows.load(0).ready(300, 1),
        [Lease {
            offset: 0,
            attempt: 1
        }]
    );
    let older = ledger.flush(GROUP, QUEUE, TABLE, 100 + WRITE_AFTER_MS);
    assert!(!older.again);
    rows.write(older);
    let mut loaded = rows.load(0);
    assert!(loaded.ready(59_999, 1).is_empty());
    assert_eq!(offsets(&loaded.ready(60_000, 1)), [0]);
}

#[test]
fn a_position_moved_from_outside_leaves_no_row_behind() {
    let mut ledger = Ledger::new(0);
    ledger.give_new(200, 0..200, Term::Until(60_000), 0);
    let mut rows = Rows::default();
    rows.write(ledger.flush(GROUP, QUEUE, TABLE, 5000));
    assert_eq!(rows.rows.len(), 5);
    ledger.jump(64);
    rows.write(ledger.flush(GROUP, QUEUE, TABLE, 6000));
    assert_eq!(rows.position, Some(64));
    assert_eq!(rows.rows.len(), 1, "{:?}", rows.rows);
    assert!(ledger.is_idle());
    assert_eq!(rows.load(0).low(), 64);
    assert_eq!(rows.load(0).outstanding(), 0);
}

#[test]
fn damaged_rows_cost_their_records_a_delivery_and_nothing_else() {
    let mut rows = Rows {
        position: Some(5),
        ..Rows::default()
    };
    rows.rows
        .insert(key(GROUP, QUEUE, 0), Bytes::from_static(&[1, 2]));
    rows.rows
        .insert(key(GROUP, QUEUE, row::NEXT), row::next(u64::MAX));
    rows.rows.insert(Bytes::from_static(b"short"), Bytes::new());
    let mut ledger = rows.load(0);
    assert_eq!(ledger.low(), 5);
    assert_eq!(ledger.next(), 5 + WINDOW_MAX);
    assert_eq!(ledger.ready(0, 1)[0].offset, 5);
}

#[derive(Clone, Debug)]
enum Step {
    New {
        count: u64,
        keep: u64,
        until: Option<i64>,
    },
    Again {
        max: usize,
    },
    Settle {
        pick: usize,
        stale: bool,
    },
    Renew {
        pick: usize,
        until: i64,
    },
    DropOwner,
    Pass {
        ms: i64,
    },
    Flush {
        fails: bool,
    },
    Restart,
    Jump {
        back: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..150u64, 1..5u64, prop::option::of(0..3000i64))
            .prop_map(|(count, keep, until)| Step::New { count, keep, until }),
        3 => (0..40usize).prop_map(|max| Step::Again { max }),
        8 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(pick, stale)| Step::Settle { pick, stale }),
        2 => (any::<usize>(), 0..3000i64).prop_map(|(pick, until)| Step::Renew { pick, until }),
        1 => Just(Step::DropOwner),
        2 => (0..2000i64).prop_map(|ms| Step::Pass { ms }),
        3 => prop::bool::weighted(0.2).prop_map(|fails| Step::Flush { fails }),
        1 => Just(Step::Restart),
        1 => (0..100u64).prop_map(|back| Step::Jump { back }),
    ];
    prop::collection::vec(step, 1..80)
}

/// What one offset is, told naively: `None` once settled.
type Model = BTreeMap<u64, Option<(Term, u16)>>;

fn compare(ledger: &mut Ledger, model: &Model, low: u64, now_ms: i64) {
    let first = model.iter().find(|(_, state)| state.is_some());
    let end = low.max(model.keys().next_back().map_or(low, |last| last + 1));
    assert_eq!(ledger.low(), first.map_or(end, |(offset, _)| *offset));
    assert_eq!(ledger.next(), end);
    let unsettled = model.values().filter(|state| state.is_some());
    assert_eq!(ledger.outstanding(), unsettled.count());
    let ready: Vec<_> = model
        .iter()
        .filter_map(|(offset, state)| match state {
            Some((Term::Until(until), attempt)) if *until <= now_ms => Some(Lease {
                offset: *offset,
                attempt: *attempt,
            }),
            _ => None,
        })
        .collect();
    assert_eq!(ledger.ready(now_ms, usize::MAX), ready);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_ledger_does_what_a_naive_one_does_and_its_rows_keep_every_answer(steps in steps()) {
        let mut ledger = Ledger::new(100);
        let (mut rows, mut model, mut low, mut now) = (Rows::default(), Model::new(), 100, 0);
        // What was settled when the rows were last written must be settled after a restart.
        let mut kept: Vec<u64> = Vec::new();
        for step in steps {
            let pick = |n: usize| {
                let open: Vec<_> = model.iter().filter_map(|(o, s)| Some((*o, (*s)?))).collect();
                (!open.is_empty()).then(|| open[n % open.len()])
            };
            match step {
                Step::New { count, keep, until } => {
                    let from = ledger.next();
                    let wanted: Vec<_> = (from..from + count).filter(|o| o % keep == 0).collect();
                    let term = until.map_or(Term::Owner(owner(3)), |ms| Term::Until(now + ms));
                    let given = ledger.give_new(from + count, wanted.clone(), term, now);
                    prop_assert_eq!(offsets(&given), wanted.clone());
                    for offset in from..from + count {
                        let state = wanted.contains(&offset).then_some((term, 1));
                        model.insert(offset, state);
                    }
                }
                Step::Again { max } => {
                    for lease in ledger.ready(now, max) {
                        let term = Term::Until(now + 500);
                        let again = ledger.give_again(lease, term, now).unwrap();
                        model.insert(lease.offset, Some((term, again.attempt)));
                    }
                }
                Step::Settle { pick: n, stale } => {
                    if let Some((offset, (_, attempt))) = pick(n) {
                        let attempt = attempt + u16::from(stale);
                        let settled = ledger.settle(offset, Some(attempt));
                        if stale {
                            prop_assert_eq!(settled, Err(LeaseError::Stale));
                        } else {
                            prop_assert_eq!(settled, Ok(()));
                            model.insert(offset, None);
                        }
                    }
                }
                Step::Renew { pick: n, until } => {
                    if let Some((offset, (_, attempt))) = pick(n) {
                        let term = Term::Until(now + until);
                        ledger.renew(offset, Some(attempt), term, now).unwrap();
                        model.insert(offset, Some((term, attempt)));
                    }
                }
                Step::DropOwner => {
                    let mut held = 0;
                    for (term, _) in model.values_mut().flatten() {
                        if matches!(term, Term::Owner(_)) {
                            *term = Term::Until(0);
                            held += 1;
                        }
                    }
                    prop_assert_eq!(ledger.drop_owner(owner(3), now), held);
                }
                Step::Pass { ms } => now += ms,
                Step::Flush { fails } => {
                    let flush = ledger.flush(GROUP, QUEUE, TABLE, now);
                    if fails {
                        ledger.unflushed();
                    } else {
                        rows.write(flush);
                        kept = model.iter().filter(|(_, s)| s.is_none()).map(|(o, _)| *o).collect();
                    }
                }
                Step::Restart => {
                    ledger = rows.load(100);
                    low = ledger.low();
                    for offset in &kept {
                        let settled = ledger.settle(*offset, None);
                        prop_assert_eq!(settled, Err(LeaseError::Settled), "offset {}", offset);
                    }
                    model = (low..ledger.next()).map(|offset| (offset, None)).collect();
                    for (offset, slot) in ledger.unsettled(low) {
                        let term = Term::Until(slot.ready_ms());
                        model.insert(offset, Some((term, slot.attempts)));
                    }
                }
                Step::Jump { back } => {
                    low = ledger.next().saturating_sub(back);
                    ledger.jump(low);
                    model.clear();
                    kept.retain(|offset| *offset < low);
                    rows.write(ledger.flush(GROUP, QUEUE, TABLE, now));
                }
            }
            compare(&mut ledger, &model, low, now);
        }
    }
}
