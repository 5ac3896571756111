//! The table of pending positions, without a store.

use super::*;

const KEY: Key = (GroupId(1), QueueId(7));

fn enter(positions: &Positions, key: Key, offset: u64, is_durable: bool) {
    let new = Pending { offset, is_durable };
    assert!(positions.enter(key, new, |_| Ok(true)).unwrap());
}

#[test]
fn the_latest_commit_is_seen_and_only_it_is_written() {
    let positions = Positions::default();
    for offset in 1..=5 {
        enter(&positions, KEY, offset, false);
    }
    assert_eq!(positions.pending(KEY), Some(5));
    assert_eq!(positions.snapshot().len(), 1);
    assert_eq!(positions.pending((GroupId(2), KEY.1)), None);
}

#[test]
fn what_changes_while_it_is_written_stays_pending() {
    let positions = Positions::default();
    enter(&positions, KEY, 1, false);
    let written = positions.snapshot();
    enter(&positions, KEY, 2, false);
    positions.settle(&written, false);
    assert_eq!(positions.pending(KEY), Some(2));
    positions.settle(&positions.snapshot(), false);
    assert_eq!(positions.pending(KEY), None);
    assert_eq!(positions.len.load(Ordering::Relaxed), 0);
}

#[test]
fn what_was_asked_to_be_durable_stays_until_it_is() {
    let positions = Positions::default();
    enter(&positions, KEY, 1, false);
    let written = positions.snapshot();
    enter(&positions, KEY, 1, true);
    positions.settle(&written, false);
    assert_eq!(
        positions.snapshot(),
        [(
            KEY,
            Pending {
                offset: 1,
                is_durable: true
            }
        )]
    );
    // A later ordinary commit does not take the promise away.
    enter(&positions, KEY, 2, false);
    assert!(positions.snapshot()[0].1.is_durable);
    positions.settle(&positions.snapshot(), true);
    assert_eq!(positions.pending(KEY), None);
}

#[test]
fn a_refused_commit_leaves_no_trace() {
    let positions = Positions::default();
    let new = Pending {
        offset: 1,
        is_durable: false,
    };
    assert!(!positions.enter(KEY, new, |_| Ok(false)).unwrap());
    assert!(
        positions
            .enter(KEY, new, |_| Err(HubError::Closed))
            .is_err()
    );
    assert_eq!(positions.pending(KEY), None);
}

#[test]
fn pending_positions_are_bounded_but_known_ones_still_move() {
    let positions = Positions::default();
    for queue in 0..PENDING_MAX as u64 {
        enter(&positions, (GroupId(1), QueueId(queue)), 1, false);
    }
    let new = Pending {
        offset: 2,
        is_durable: false,
    };
    let beyond = (GroupId(1), QueueId(PENDING_MAX as u64));
    assert_eq!(
        positions.enter(beyond, new, |_| Ok(true)),
        Err(HubError::Busy("positions to be written"))
    );
    enter(&positions, (GroupId(1), QueueId(5)), 2, false);
    positions.remove(|group, _| group == GroupId(1));
    assert!(positions.snapshot().is_empty());
}

#[tokio::test]
async fn the_writer_is_woken_by_the_first_commit_and_hurried_by_many() {
    let positions = Positions::default();
    enter(&positions, KEY, 1, false);
    positions.dirty.notified().await;
    for queue in 0..FLUSH_AT as u64 {
        enter(&positions, (GroupId(2), QueueId(queue)), 1, false);
    }
    positions.urgent.notified().await;
}

#[test]
fn a_closed_table_takes_nothing() {
    let positions = Positions::default();
    positions.is_closed.store(true, Ordering::Release);
    let new = Pending {
        offset: 1,
        is_durable: true,
    };
    assert_eq!(
        positions.enter(KEY, new, |_| Ok(true)),
        Err(HubError::Closed)
    );
    assert_eq!(positions.ask().err(), Some(HubError::Closed));
}
