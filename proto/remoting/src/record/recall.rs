//! Recall handles: what the answer to a timer message names it by, so that its producer can take it back. A text of five
//! words in URL-safe base64; clients read the broker's name from it.

use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};

use crate::error::RecordError;

const VERSION: &str = "v1";
/// Padded when written, as official clients expect; read either way.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A timer message by its topic, broker, due time and unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallHandle {
    text: String,
    topic: usize,
    broker: usize,
    pub deliver_ms: i64,
    key: usize,
}

impl RecallHandle {
    /// The handle as text.
    pub fn encode(topic: &str, broker: &str, deliver_ms: i64, uniq_key: &str) -> String {
        BASE64.encode(format!(
            "{VERSION} {topic} {broker} {deliver_ms} {uniq_key}"
        ))
    }

    /// Reads a handle.
    pub fn decode(handle: &str) -> Result<Self, RecordError> {
        Self::read(handle).ok_or(RecordError::BadRecallHandle)
    }

    fn read(handle: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(handle).ok()?).ok()?;
        let mut words = text.splitn(5, ' ');
        if words.next() != Some(VERSION) {
            return None;
        }
        let (topic, broker) = (words.next()?.len(), words.next()?.len());
        let deliver_ms = words.next()?.parse().ok()?;
        let key = words.next()?.len();
        let is_whole = topic > 0 && broker > 0 && key > 0;
        is_whole.then_some(Self {
            text,
            topic,
            broker,
            deliver_ms,
            key,
        })
    }

    pub fn topic(&self) -> &str {
        let from = VERSION.len() + 1;
        self.text.get(from..from + self.topic).unwrap_or_default()
    }

    pub fn broker(&self) -> &str {
        let from = VERSION.len() + self.topic + 2;
        self.text.get(from..from + self.broker).unwrap_or_default()
    }

    pub fn uniq_key(&self) -> &str {
        let from = self.text.len() - self.key;
        self.text.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "7F0000010A8C18B4AAC216E0DB1C0000";
    const TEXT: &str =
        "djEgVG9waWNBIGJyb2tlci1hIDE3MDAwMDAwMDEwMDAgN0YwMDAwMDEwQThDMThCNEFBQzIxNkUwREIxQzAwMDA=";

    #[test]
    fn a_handle_has_the_text_official_clients_know() {
        let text = RecallHandle::encode("TopicA", "broker-a", 1_700_000_001_000, KEY);
        assert_eq!(text, TEXT);
    }

    #[test]
    fn a_handle_is_read_with_and_without_padding() {
        for text in [TEXT, TEXT.trim_end_matches('=')] {
            let handle = RecallHandle::decode(text).unwrap();
            assert_eq!((handle.topic(), handle.broker()), ("TopicA", "broker-a"));
            assert_eq!(handle.deliver_ms, 1_700_000_001_000);
            assert_eq!(handle.uniq_key(), KEY);
        }
        let spaced = RecallHandle::decode(&RecallHandle::encode("T", "b", -1, "k 1")).unwrap();
        assert_eq!((spaced.uniq_key(), spaced.deliver_ms), ("k 1", -1));
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        for text in [
            "v2 T b 1 k",
            "v1 T b 1",
            "v1 T b one k",
            "v1  b 1 k",
            "v1 T b 1 ",
            "v1 T b 99999999999999999999 k",
            "",
        ] {
            let handle = BASE64.encode(text);
            assert!(RecallHandle::decode(&handle).is_err(), "{text}");
        }
        for text in ["+/", "djE", "%%%", "\u{e4}", &"A".repeat(1 << 16)] {
            assert!(RecallHandle::decode(text).is_err());
        }
    }
}
