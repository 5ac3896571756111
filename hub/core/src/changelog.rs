//! A version of a table of definitions and its latest edits, for those who publish the table elsewhere. Owns a bounded
//! ring of edits: who falls behind takes the whole table.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Edits remembered.
const EDITS_MAX: usize = 4096;

/// Version of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Edits since the hub started.
    pub counter: u64,
    /// Time of the latest edit, or of the start.
    pub changed_ms: i64,
}

/// One edit of a table.
#[derive(Debug)]
pub enum Edit<T> {
    /// Created or changed.
    Put(Arc<T>),
    /// Deleted.
    Removed(Arc<T>),
}

impl<T> Clone for Edit<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Put(entry) => Self::Put(Arc::clone(entry)),
            Self::Removed(entry) => Self::Removed(Arc::clone(entry)),
        }
    }
}

/// What changed since a version.
#[derive(Debug)]
pub enum Edits<T> {
    /// These edits, oldest first.
    Known(Vec<Edit<T>>),
    /// More than is remembered: take the whole table.
    Forgotten,
}

#[derive(Debug)]
pub(crate) struct Changelog<T> {
    version: watch::Sender<Version>,
    recent: Mutex<VecDeque<Edit<T>>>,
}

impl<T> Changelog<T> {
    pub(crate) fn new(now_ms: i64) -> Self {
        let first = Version {
            counter: 0,
            changed_ms: now_ms,
        };
        Self {
            version: watch::Sender::new(first),
            recent: Mutex::default(),
        }
    }

    pub(crate) fn record(&self, edit: Edit<T>, now_ms: i64) {
        let mut recent = self.recent.lock();
        if recent.len() == EDITS_MAX {
            recent.pop_front();
        }
        recent.push_back(edit);
        self.version.send_modify(|version| {
            version.counter += 1;
            version.changed_ms = now_ms;
        });
    }

    pub(crate) fn version(&self) -> Version {
        *self.version.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Version> {
        self.version.subscribe()
    }

    /// Edits after `counter`, with the version they lead to.
    pub(crate) fn since(&self, counter: u64) -> (Version, Edits<T>) {
        let recent = self.recent.lock();
        let version = *self.version.borrow();
        let behind = version.counter.saturating_sub(counter);
        let edits = match usize::try_from(behind) {
            Ok(behind) if behind <= recent.len() && counter <= version.counter => {
                Edits::Known(recent.iter().skip(recent.len() - behind).cloned().collect())
            }
            _ => Edits::Forgotten,
        };
        (version, edits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(edits: Edits<u32>) -> Option<Vec<u32>> {
        match edits {
            Edits::Forgotten => None,
            Edits::Known(edits) => Some(
                edits
                    .iter()
                    .map(|edit| match edit {
                        Edit::Put(n) | Edit::Removed(n) => **n,
                    })
                    .collect(),
            ),
        }
    }

    #[test]
    fn a_reader_gets_exactly_the_edits_it_missed() {
        let log = Changelog::new(1);
        for n in 0..5 {
            log.record(Edit::Put(Arc::new(n)), 2);
        }
        assert_eq!(log.version().counter, 5);
        assert_eq!(numbers(log.since(3).1), Some(vec![3, 4]));
        assert_eq!(numbers(log.since(5).1), Some(vec![]));
        assert_eq!(numbers(log.since(9).1), None);
    }

    #[test]
    fn a_reader_too_far_behind_is_told_to_take_everything() {
        let log = Changelog::new(1);
        for n in 0..=EDITS_MAX as u32 {
            log.record(Edit::Put(Arc::new(n)), 2);
        }
        assert_eq!(numbers(log.since(0).1), None);
        assert_eq!(numbers(log.since(1).1).unwrap().len(), EDITS_MAX);
    }

    #[tokio::test]
    async fn a_watcher_wakes_on_an_edit() {
        let log = Changelog::new(1);
        let mut watcher = log.watch();
        log.record(Edit::Removed(Arc::new(7)), 9);
        watcher.changed().await.unwrap();
        assert_eq!(watcher.borrow().changed_ms, 9);
    }
}
