//! Positions that were moved from outside while members consume. Until a member has asked where to go on and was told the
//! new offset, what it commits is stale and not taken. In memory only: after a restart everybody asks anyway.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossdock_store::types::{GroupId, QueueId};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::HubError;

/// Most resets that wait for a member to ask.
const RESETS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Resets {
    /// Number of entries, so that the usual case of none costs no lock.
    len: AtomicUsize,
    waiting: Mutex<HashMap<(GroupId, QueueId), u64, foldhash::fast::RandomState>>,
}

impl Resets {
    pub(crate) fn set(&self, group: GroupId, queue: QueueId, offset: u64) -> Result<(), HubError> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= RESETS_MAX && !waiting.contains_key(&(group, queue)) {
            return Err(HubError::Limit {
                what: "positions waiting to be reset",
                limit: RESETS_MAX,
            });
        }
        waiting.insert((group, queue), offset);
        self.len.store(waiting.len(), Ordering::Release);
        Ok(())
    }

    pub(crate) fn get(&self, group: GroupId, queue: QueueId) -> Option<u64> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.waiting.lock().get(&(group, queue)).copied()
    }

    pub(crate) fn take(&self, group: GroupId, queue: QueueId) -> Option<u64> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut waiting = self.waiting.lock();
        let offset = waiting.remove(&(group, queue));
        self.len.store(waiting.len(), Ordering::Release);
        offset
    }

    pub(crate) fn forget(&self, mut which: impl FnMut(GroupId, QueueId) -> bool) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|(group, queue), _| !which(*group, *queue));
        self.len.store(waiting.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: (GroupId, QueueId) = (GroupId(1), QueueId(2));

    #[test]
    fn a_reset_is_told_once() {
        let resets = Resets::default();
        assert_eq!(resets.take(AT.0, AT.1), None);
        resets.set(AT.0, AT.1, 5).unwrap();
        assert_eq!(resets.get(AT.0, AT.1), Some(5));
        assert_eq!(resets.take(AT.0, AT.1), Some(5));
        assert_eq!(resets.take(AT.0, AT.1), None);
        assert_eq!(resets.get(AT.0, AT.1), None);
    }

    #[test]
    fn resets_of_what_is_deleted_are_forgotten() {
        let resets = Resets::default();
        resets.set(AT.0, AT.1, 5).unwrap();
        resets.forget(|group, _| group == GroupId(9));
        assert_eq!(resets.get(AT.0, AT.1), Some(5));
        resets.forget(|group, _| group == AT.0);
        assert_eq!(resets.get(AT.0, AT.1), None);
    }
}
