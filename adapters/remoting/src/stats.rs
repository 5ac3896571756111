//! Counters of the adapter: plain atomics, read by the metrics exporter and by tests. One set
//! serves all connections and listeners.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossdock_kit::OutboundStats;
use crossdock_proto_remoting::code;

/// Response codes counted one by one; the rest share a counter.
const CODES_COUNTED: usize = 256;

/// Counters since the adapter started.
#[derive(Debug)]
pub struct Stats {
    requests: Requests,
    responses: Box<[AtomicU64]>,
    responses_other: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) unknown_requests: AtomicU64,
    pub(crate) unmatched_responses: AtomicU64,
    pub(crate) malformed_frames: AtomicU64,
    pub(crate) idle_closed: AtomicU64,
    pub(crate) handler_panics: AtomicU64,
    pub(crate) held_pulls: AtomicU64,
    pub(crate) held_pulls_refused: AtomicU64,
    pub(crate) notices_sent: AtomicU64,
    pub(crate) notices_dropped: AtomicU64,
    pub(crate) foreign_records_skipped: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) pulls: AtomicU64,
    pub(crate) pulls_found: AtomicU64,
    /// Frames and bytes that went out.
    pub outbound: Arc<OutboundStats>,
}

/// One counter per request code; the codes are fixed when the adapter starts.
#[derive(Debug)]
struct Requests(BTreeMap<i32, AtomicU64>);

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Requests by code; codes that never came are left out.
    pub requests: BTreeMap<i32, u64>,
    /// Responses by code; codes above 255 are counted under -1.
    pub responses: BTreeMap<i32, u64>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Requests of a code nobody handles.
    pub unknown_requests: u64,
    /// Responses nobody waited for.
    pub unmatched_responses: u64,
    /// Connections closed because their bytes were not frames.
    pub malformed_frames: u64,
    /// Connections closed because they said nothing.
    pub idle_closed: u64,
    /// Requests whose handler panicked.
    pub handler_panics: u64,
    /// Pulls that wait for messages now.
    pub held_pulls: u64,
    /// Pulls that could not wait because too many do.
    pub held_pulls_refused: u64,
    /// Membership notices sent.
    pub notices_sent: u64,
    /// Membership notices dropped because the client does not read.
    pub notices_dropped: u64,
    /// Records of other protocols that a pull passed over.
    pub foreign_records_skipped: u64,
    /// Messages stored.
    pub messages_in: u64,
    /// Messages handed out.
    pub messages_out: u64,
}

impl Stats {
    pub(crate) fn new(codes: impl IntoIterator<Item = i32>) -> Self {
        let requests = codes.into_iter().map(|code| (code, AtomicU64::new(0)));
        Self {
            requests: Requests(requests.collect()),
            responses: (0..CODES_COUNTED).map(|_| AtomicU64::new(0)).collect(),
            responses_other: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            unknown_requests: AtomicU64::new(0),
            unmatched_responses: AtomicU64::new(0),
            malformed_frames: AtomicU64::new(0),
            idle_closed: AtomicU64::new(0),
            handler_panics: AtomicU64::new(0),
            held_pulls: AtomicU64::new(0),
            held_pulls_refused: AtomicU64::new(0),
            notices_sent: AtomicU64::new(0),
            notices_dropped: AtomicU64::new(0),
            foreign_records_skipped: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            pulls: AtomicU64::new(0),
            pulls_found: AtomicU64::new(0),
            outbound: Arc::default(),
        }
    }

    pub(crate) fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn request(&self, code: i32) {
        Self::count(self.requests.0.get(&code).unwrap_or(&self.unknown_requests));
    }

    pub(crate) fn response(&self, code: i32) {
        let counter = usize::try_from(code)
            .ok()
            .and_then(|code| self.responses.get(code));
        Self::count(counter.unwrap_or(&self.responses_other));
    }

    /// The counters that rates are made of, in the order of [`crate::rates::Rated`].
    pub(crate) fn rated(&self) -> [u64; 4] {
        let counters = [
            &self.messages_in,
            &self.messages_out,
            &self.pulls_found,
            &self.pulls,
        ];
        counters.map(|counter| counter.load(Ordering::Relaxed))
    }

    /// The counters at this moment.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut responses = BTreeMap::new();
        for (code, counter) in self.responses.iter().enumerate() {
            responses.insert(code as i32, get(counter));
        }
        responses.insert(-1, get(&self.responses_other));
        responses.retain(|_, n| *n > 0);
        let mut requests: BTreeMap<_, _> = self
            .requests
            .0
            .iter()
            .map(|(code, n)| (*code, get(n)))
            .collect();
        requests.retain(|_, n| *n > 0);
        StatsSnapshot {
            requests,
            responses,
            bytes_in: get(&self.bytes_in),
            bytes_out: self.outbound.snapshot().bytes,
            unknown_requests: get(&self.unknown_requests),
            unmatched_responses: get(&self.unmatched_responses),
            malformed_frames: get(&self.malformed_frames),
            idle_closed: get(&self.idle_closed),
            handler_panics: get(&self.handler_panics),
            held_pulls: get(&self.held_pulls),
            held_pulls_refused: get(&self.held_pulls_refused),
            notices_sent: get(&self.notices_sent),
            notices_dropped: get(&self.notices_dropped),
            foreign_records_skipped: get(&self.foreign_records_skipped),
            messages_in: get(&self.messages_in),
            messages_out: get(&self.messages_out),
        }
    }

    /// The protocol's name of a request code, for labels.
    #[must_use]
    pub fn request_name(code: i32) -> &'static str {
        code::request::name(code).unwrap_or("UNKNOWN")
    }
}
