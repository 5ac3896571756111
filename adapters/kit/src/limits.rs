//! Connection limits. A [`Budget`] counts open connections against a bound; one budget may be
//! shared by several listeners to bound the whole node. [`PerIp`] does the same per client
//! address. A permit gives its place back when it is dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// A bound on connections that are open at the same time.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    open: AtomicUsize,
}

impl Budget {
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: AtomicUsize::new(0),
        })
    }

    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Takes a place, or says that all are taken.
    pub fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let take = |open| (open < self.max).then_some(open + 1);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take)
            .ok()?;
        Some(Permit {
            budget: Arc::clone(self),
        })
    }
}

/// One place of a [`Budget`].
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A bound on connections per client address. The map holds only addresses with open
/// connections, so the listener's budget bounds it.
#[derive(Debug)]
pub struct PerIp {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl PerIp {
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: Mutex::new(HashMap::new()),
        })
    }

    pub fn try_take(self: &Arc<Self>, ip: IpAddr) -> Option<IpPermit> {
        if self.max == 0 {
            return None;
        }
        let mut open = self.open.lock();
        let count = open.entry(ip).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(IpPermit {
            limit: Arc::clone(self),
            ip,
        })
    }
}

/// One place of a client address.
#[derive(Debug)]
pub struct IpPermit {
    limit: Arc<PerIp>,
    ip: IpAddr,
}

impl Drop for IpPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.limit.open.lock().entry(self.ip) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_permit_gives_its_place_back() {
        let budget = Budget::new(2);
        let first = budget.try_take();
        let _second = budget.try_take();
        assert!(budget.try_take().is_none());
        drop(first);
        assert!(budget.try_take().is_some());
        assert_eq!(budget.open(), 1);
    }

    #[test]
    fn addresses_are_counted_apart_and_forgotten_when_idle() {
        let limit = PerIp::new(1);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let held = limit.try_take(a);
        assert!(limit.try_take(a).is_none());
        assert!(limit.try_take(b).is_some());
        drop(held);
        assert!(limit.open.lock().is_empty());
        assert!(limit.try_take(a).is_some());
    }
}
