//! Tracing the way of messages on the server: what doors saw happen to them, gathered in one bounded channel for whoever
//! writes it down. There is no tracer unless the configuration asks for it. An event that finds no room is dropped and
//! counted; tracing never holds up a message.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::hub::Hub;

/// Events that wait to be written down.
const EVENTS_MAX: usize = 16 * 1024;

/// Something that happened to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Group of the producer or consumer.
    pub group: Box<str>,
    /// The message's topic.
    pub topic: Box<str>,
    /// What the producer calls the message.
    pub message: Box<str>,
    /// Keys of the message, separated by blanks.
    pub keys: Box<str>,
    /// What happened.
    pub step: TraceStep,
}

/// What happened to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceStep {
    /// A producer sent it.
    Published {
        /// Its tag.
        tag: Box<str>,
        /// Length of its body.
        body_bytes: usize,
        /// It waits for its time first.
        is_delayed: bool,
        /// Where the door says it is stored; empty if it was not, or nobody asked.
        place: Box<str>,
        /// Address of the server as the producer knows it.
        server: Box<str>,
        /// Address of the producer.
        client: Box<str>,
        /// Time until it was stored.
        took_ms: u32,
        /// It was stored.
        is_stored: bool,
    },
    /// It was handed to a consumer.
    Delivered {
        /// Deliveries that failed before.
        attempt: u16,
        /// The same for all messages handed over together.
        request: Box<str>,
    },
}

/// Where events go.
#[derive(Debug)]
pub struct Tracer {
    sender: mpsc::Sender<TraceEvent>,
    receiver: Mutex<Option<mpsc::Receiver<TraceEvent>>>,
    dropped: AtomicU64,
}

impl Tracer {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes an event, or drops it if there is no room.
    pub fn record(&self, event: TraceEvent) {
        if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The events, for the one who writes them down; `None` for everybody after.
    #[must_use]
    pub fn events(&self) -> Option<mpsc::Receiver<TraceEvent>> {
        self.receiver.lock().take()
    }

    /// Events dropped for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Hub {
    /// Where doors tell what happens to messages; `None` unless that is wanted.
    #[must_use]
    pub fn tracer(&self) -> Option<&Tracer> {
        self.0.tracer.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: i64) -> TraceEvent {
        TraceEvent {
            at_ms,
            group: "g".into(),
            topic: "T".into(),
            message: "m".into(),
            keys: "k".into(),
            step: TraceStep::Delivered {
                attempt: 0,
                request: "r".into(),
            },
        }
    }

    #[test]
    fn events_without_room_are_dropped_and_counted() {
        let tracer = Tracer::new();
        for n in 0..=EVENTS_MAX as i64 {
            tracer.record(event(n));
        }
        assert_eq!(tracer.dropped(), 1);
        let mut events = tracer.events().unwrap();
        assert!(tracer.events().is_none());
        assert_eq!(events.try_recv().unwrap().at_ms, 0);
        tracer.record(event(7));
        assert_eq!(tracer.dropped(), 1);
        drop(events);
        tracer.record(event(8));
        assert_eq!(tracer.dropped(), 2);
    }
}
