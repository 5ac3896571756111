//! The text of traces: fields end with 0x01, records with 0x02. Readers split at these and drop empty fields at the end, so
//! that a last field is never empty.

use std::fmt::Write;

use bytes::Bytes;
use crossdock_hub::{TraceEvent, TraceStep};

/// A text this long is published.
const BODY_FULL: usize = 64 * 1024;
/// Most bytes of the keys one message of traces is found under, and of those one event may add beside its message id.
const KEYS_FULL: usize = 16 * 1024;
const KEYS_OF_ONE_MAX: usize = 4 * 1024;
/// Most events in one message, few enough that all their keys are indexed.
const EVENTS_FULL: usize = 200;
/// Keys of one event that are indexed.
const KEYS_EACH_MAX: usize = 4;

const FIELD: char = '\u{1}';
const RECORD: char = '\u{2}';
/// What stock clients write where they have nothing.
const NOTHING: &str = "null";

/// Events as text, gathered for one message.
#[derive(Debug)]
pub(super) struct Texts {
    region: String,
    body: String,
    keys: String,
    events: usize,
}

/// A field; what would end it is taken out.
struct Field<'a>(&'a str);

impl std::fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NOTHING);
        }
        let is_text = |c: &char| !matches!(*c, FIELD | RECORD);
        self.0
            .chars()
            .filter(is_text)
            .try_for_each(|c| f.write_char(c))
    }
}

impl Texts {
    pub(super) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            body: String::new(),
            keys: String::new(),
            events: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.body.len() >= BODY_FULL || self.keys.len() >= KEYS_FULL || self.events >= EVENTS_FULL
    }

    /// Body and keys of everything added since the last time.
    pub(super) fn take(&mut self) -> Option<(Bytes, String)> {
        if self.events == 0 {
            return None;
        }
        self.events = 0;
        let body = std::mem::take(&mut self.body);
        Some((body.into(), std::mem::take(&mut self.keys)))
    }

    pub(super) fn add(&mut self, event: &TraceEvent) {
        self.events += 1;
        // Writing to a string does not fail.
        let _ = self.write(event);
        self.add_key(&event.message);
        if event.keys.len() <= KEYS_OF_ONE_MAX {
            let keys = event.keys.split(' ').filter(|key| !key.is_empty());
            for key in keys.take(KEYS_EACH_MAX) {
                self.add_key(key);
            }
        }
    }

    fn add_key(&mut self, key: &str) {
        let is_usable =
            !key.is_empty() && key.len() <= KEYS_OF_ONE_MAX && !key.contains([FIELD, RECORD, ' ']);
        if !is_usable || self.keys.split(' ').any(|known| known == key) {
            return;
        }
        if !self.keys.is_empty() {
            self.keys.push(' ');
        }
        self.keys.push_str(key);
    }

    fn write(&mut self, event: &TraceEvent) -> std::fmt::Result {
        let (group, message) = (Field(&event.group), Field(&event.message));
        let (topic, keys) = (Field(&event.topic), Field(&event.keys));
        let (region, at) = (Field(&self.region), event.at_ms);
        let out = &mut self.body;
        match &event.step {
            TraceStep::Published {
                tag,
                body_bytes,
                is_delayed,
                place,
                server,
                client,
                took_ms,
                is_stored,
            } => {
                let (tag, place) = (Field(tag), Field(place));
                let (server, client) = (Field(server), Field(client));
                // Ordinals of the kinds of message: 0 is an ordinary one, 3 a delayed one.
                let kind = if *is_delayed { 3 } else { 0 };
                write!(
                    out,
                    "Pub{FIELD}{at}{FIELD}{region}{FIELD}{group}{FIELD}{topic}{FIELD}{message}{FIELD}{tag}{FIELD}{keys}\
                     {FIELD}{server}{FIELD}{body_bytes}{FIELD}{took_ms}{FIELD}{kind}{FIELD}{place}{FIELD}{is_stored}\
                     {FIELD}{client}{RECORD}"
                )
            }
            TraceStep::Delivered { attempt, request } => {
                let request = Field(request);
                write!(
                    out,
                    "SubBefore{FIELD}{at}{FIELD}{region}{FIELD}{group}{FIELD}{request}{FIELD}{message}{FIELD}{attempt}\
                     {FIELD}{keys}{RECORD}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str, keys: &str, step: TraceStep) -> TraceEvent {
        TraceEvent {
            at_ms: 17,
            group: "g\u{1}x".into(),
            topic: "T".into(),
            message: message.into(),
            keys: keys.into(),
            step,
        }
    }

    fn delivered() -> TraceStep {
        TraceStep::Delivered {
            attempt: 2,
            request: "r".into(),
        }
    }

    #[test]
    fn records_have_the_fields_stock_readers_expect() {
        let mut texts = Texts::new("here");
        let published = TraceStep::Published {
            tag: "".into(),
            body_bytes: 5,
            is_delayed: true,
            place: "P".into(),
            server: "s:1".into(),
            client: "c:2".into(),
            took_ms: 9,
            is_stored: true,
        };
        texts.add(&event("m", "a  b", published));
        texts.add(&event("m", "", delivered()));
        let (body, keys) = texts.take().unwrap();
        let text = String::from_utf8(body.to_vec())
            .unwrap()
            .replace('\u{1}', "|");
        let records: Vec<&str> = text.split('\u{2}').collect();
        assert_eq!(
            records,
            [
                "Pub|17|here|gx|T|m|null|a  b|s:1|5|9|3|P|true|c:2",
                "SubBefore|17|here|gx|r|m|2|null",
                ""
            ]
        );
        assert_eq!(keys, "m a b");
        assert!(texts.take().is_none());
    }

    #[test]
    fn what_is_gathered_stays_within_a_message() {
        let mut texts = Texts::new("here");
        let long = "k".repeat(30_000);
        while !texts.is_full() {
            texts.add(&event(&"m".repeat(4_000), &long, delivered()));
            texts.add(&event(
                &texts.events.to_string(),
                "a b c d e f",
                delivered(),
            ));
        }
        assert!(texts.keys.len() < 32_000 && texts.body.len() < 200_000);
        assert!(!texts.keys.contains("kk") && !texts.keys.split(' ').any(|key| key == "e"));
    }
}
