//! Sends in flight. The reader of a connection owns a slab of what it needs to answer them; the
//! log's thread reports outcomes by token into a short list and wakes the reader once per block.
//! The slab's bound is the bound of the list, since a token is reported once.

use std::sync::Arc;

use crossdock_hub::{AppendError, Completion, Receipt};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The outcome of one append.
pub(crate) type Outcome = Result<Receipt, AppendError>;

/// Outcomes reported and not yet taken by the reader.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    list: Mutex<Vec<(u64, Outcome)>>,
    wake: Notify,
}

impl Decided {
    /// Resolves when outcomes may have been reported since they were last taken.
    pub(crate) async fn reported(&self) {
        self.wake.notified().await;
    }

    /// Swaps the reported outcomes into `out`, which must be empty.
    pub(crate) fn take(&self, out: &mut Vec<(u64, Outcome)>) {
        std::mem::swap(&mut *self.list.lock(), out);
    }
}

impl Completion for Decided {
    fn complete(&self, token: u64, outcome: Result<&Receipt, AppendError>) {
        self.list.lock().push((token, outcome.cloned()));
    }

    fn flush(&self) {
        self.wake.notify_one();
    }
}

/// What the reader remembers of its sends, by token.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    max: usize,
    decided: Arc<Decided>,
}

impl<T> Pending<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            max,
            decided: Arc::default(),
        }
    }

    pub(crate) fn decided(&self) -> &Arc<Decided> {
        &self.decided
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// Remembers `entry` under a token. The caller has looked at [`is_full`](Self::is_full).
    pub(crate) fn insert(&mut self, entry: T) -> u64 {
        match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = Some(entry);
                }
                u64::from(slot)
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() as u64 - 1
            }
        }
    }

    pub(crate) fn remove(&mut self, token: u64) -> Option<T> {
        let slot = usize::try_from(token).ok()?;
        let entry = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot as u32);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_reused_and_known_once() {
        let mut pending = Pending::new(2);
        let (a, b) = (pending.insert("a"), pending.insert("b"));
        assert!(pending.is_full() && a != b);
        assert_eq!(pending.remove(a), Some("a"));
        assert_eq!(pending.remove(a), None);
        assert_eq!(pending.remove(77), None);
        assert_eq!(pending.insert("c"), a);
        assert_eq!((pending.remove(b), pending.len()), (Some("b"), 1));
    }

    #[tokio::test]
    async fn outcomes_reported_before_the_wait_are_not_missed() {
        let decided = Decided::default();
        decided.complete(3, Err(AppendError::Full));
        decided.complete(4, Ok(&Receipt::new()));
        decided.flush();
        decided.reported().await;
        let mut out = Vec::new();
        decided.take(&mut out);
        assert_eq!(out, [(3, Err(AppendError::Full)), (4, Ok(Receipt::new()))]);
    }
}
