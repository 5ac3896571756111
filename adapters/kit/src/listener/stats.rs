//! A listener's counters: plain atomics, read by the metrics exporter and by tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters since the listener was bound.
        #[derive(Debug, Default)]
        pub struct ListenerStats {
            $(pub(crate) $name: AtomicU64,)+
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct ListenerSnapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl ListenerStats {
            #[must_use]
            pub fn snapshot(&self) -> ListenerSnapshot {
                ListenerSnapshot { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Connections open now, those still in their handshake included.
    open,
    /// Connections taken from the kernel.
    accepted,
    /// Closed at once because the connection budget was used up.
    rejected_budget,
    /// Closed at once because their address had too many connections.
    rejected_per_ip,
    /// Ended before the protocol: no first byte in time.
    handshake_timeouts,
    /// Ended before the protocol: bad PROXY header, refused or failed TLS.
    handshake_failures,
    /// Connections whose handshake used TLS.
    tls,
    /// Failures of accept itself.
    accept_errors,
    /// Connections ended by a panic in their handler.
    panics,
}

impl ListenerStats {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a connection as open until dropped.
#[derive(Debug)]
pub(super) struct OpenGuard(Arc<ListenerStats>);

impl OpenGuard {
    pub(super) fn new(stats: &Arc<ListenerStats>) -> Self {
        ListenerStats::count(&stats.open);
        Self(Arc::clone(stats))
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
