//! Body of REGISTER_BROKER, as JSON and in the layout that brokers compress. The caller inflates
//! and deflates; this module sees plain bytes.

use bytes::{Buf, BufMut};
use serde::{Deserialize, Serialize};

use super::topic::{TopicConfig, TopicConfigTable, TopicFilterType};
use super::{parse, write};
use crate::error::BodyError;

/// Senders from this protocol version on append static-topic mappings to the compressed layout.
pub const MAPPINGS_SINCE_VERSION: i32 = 413;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Registration {
    pub filter_server_list: Vec<String>,
    #[serde(rename = "topicConfigSerializeWrapper")]
    pub topics: TopicConfigTable,
}

impl Registration {
    /// Reads the inflated form of a compressed body. Static topics are not supported, so their
    /// mappings are checked for form only.
    pub fn parse_inflated(bytes: &[u8], sender_version: i32) -> Result<Self, BodyError> {
        let mut rest = bytes;
        let mut body = Self::default();
        body.topics.data_version = parse(block(&mut rest)?)?;
        for _ in 0..count(&mut rest)? {
            let text = std::str::from_utf8(block(&mut rest)?)
                .map_err(|_| BodyError::Registration("topic is not UTF-8"))?;
            let topic = parse_topic(text)?;
            body.topics
                .topic_config_table
                .insert(topic.topic_name.clone(), topic);
        }
        body.filter_server_list = parse(block(&mut rest)?)?;
        if sender_version >= MAPPINGS_SINCE_VERSION {
            for _ in 0..count(&mut rest)? {
                parse::<serde::de::IgnoredAny>(block(&mut rest)?)?;
            }
        }
        if !rest.is_empty() {
            return Err(BodyError::Registration("bytes after the last part"));
        }
        Ok(body)
    }

    /// Writes the form to be deflated. Order flags and system flags have no place in it.
    pub fn write_plain(&self, sender_version: i32) -> Result<Vec<u8>, BodyError> {
        let mut out = Vec::new();
        put_block(&write(&self.topics.data_version)?, &mut out)?;
        put_count(self.topics.topic_config_table.len(), &mut out)?;
        for topic in self.topics.topic_config_table.values() {
            let attributes = write(&topic.attributes)?;
            let mut text = format!(
                "{} {} {} {} {} ",
                topic.topic_name,
                topic.read_queue_nums,
                topic.write_queue_nums,
                topic.perm,
                topic.topic_filter_type.name()
            )
            .into_bytes();
            text.extend_from_slice(&attributes);
            put_block(&text, &mut out)?;
        }
        put_block(&write(&self.filter_server_list)?, &mut out)?;
        if sender_version >= MAPPINGS_SINCE_VERSION {
            put_count(0, &mut out)?;
        }
        Ok(out)
    }
}

/// `name read write perm filterType {attributes}`; senders before 5.0 leave the attributes out.
fn parse_topic(text: &str) -> Result<TopicConfig, BodyError> {
    let bad = || BodyError::Registration("topic has an unknown form");
    let mut parts = text.splitn(6, ' ');
    let mut next = || parts.next().ok_or_else(bad);
    let name = next()?;
    let read_queue_nums = next()?.parse().map_err(|_| bad())?;
    let write_queue_nums = next()?.parse().map_err(|_| bad())?;
    let perm = next()?.parse().map_err(|_| bad())?;
    let topic_filter_type = TopicFilterType::from_name(next()?).ok_or_else(bad)?;
    let attributes = match next().ok().map(str::trim) {
        None | Some("" | "null") => Default::default(),
        Some(json) => parse(json.as_bytes())?,
    };
    if name.is_empty() {
        return Err(bad());
    }
    Ok(TopicConfig {
        attributes,
        perm,
        read_queue_nums,
        topic_filter_type,
        topic_name: name.to_owned(),
        write_queue_nums,
        ..TopicConfig::default()
    })
}

/// A count of blocks, each of which takes at least its length word.
fn count(rest: &mut &[u8]) -> Result<usize, BodyError> {
    let count = rest
        .try_get_i32()
        .ok()
        .and_then(|n| usize::try_from(n).ok());
    count
        .filter(|n| *n <= rest.len() / 4)
        .ok_or(BodyError::Registration("count is missing or impossible"))
}

fn block<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BodyError> {
    let len = rest
        .try_get_i32()
        .ok()
        .and_then(|n| usize::try_from(n).ok());
    let (block, tail) = len
        .and_then(|len| rest.split_at_checked(len))
        .ok_or(BodyError::Registration("part is cut short"))?;
    *rest = tail;
    Ok(block)
}

fn put_count(count: usize, out: &mut Vec<u8>) -> Result<(), BodyError> {
    out.put_i32(i32::try_from(count).map_err(|_| BodyError::Registration("too many parts"))?);
    Ok(())
}

fn put_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
    put_count(block.len(), out)?;
    out.put_slice(block);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::table::DataVersion;

    fn sample() -> Registration {
        let mut body = Registration::default();
        body.topics.data_version = DataVersion {
            counter: 3,
            state_version: 0,
            timestamp: 17,
        };
        for name in ["T", "%RETRY%g"] {
            let topic = TopicConfig {
                topic_name: name.to_owned(),
                read_queue_nums: 4,
                attributes: [("message.type".to_owned(), "FIFO x".to_owned())].into(),
                ..TopicConfig::default()
            };
            body.topics
                .topic_config_table
                .insert(name.to_owned(), topic);
        }
        body
    }

    #[test]
    fn both_forms_round_trip() {
        let body = sample();
        assert_eq!(parse::<Registration>(&write(&body).unwrap()).unwrap(), body);
        for version in [412, 413, 479] {
            let plain = body.write_plain(version).unwrap();
            assert_eq!(Registration::parse_inflated(&plain, version).unwrap(), body);
        }
    }

    #[test]
    fn topic_text_without_attributes_is_accepted() {
        let topic = parse_topic("T 8 4 6 SINGLE_TAG").unwrap();
        assert_eq!(
            (topic.read_queue_nums, topic.write_queue_nums, topic.perm),
            (8, 4, 6)
        );
        assert!(parse_topic("T 8 4 6").is_err());
        assert!(parse_topic("T eight 4 6 SINGLE_TAG").is_err());
    }

    #[test]
    fn every_cut_and_impossible_count_is_refused() {
        let plain = sample().write_plain(479).unwrap();
        for end in 0..plain.len() {
            assert!(
                Registration::parse_inflated(&plain[..end], 479).is_err(),
                "cut at {end}"
            );
        }
        let mut longer = plain.clone();
        longer.push(0);
        assert!(Registration::parse_inflated(&longer, 479).is_err());
        let version = i32::from_be_bytes(plain[..4].try_into().unwrap()) as usize;
        let mut counted = plain;
        counted[4 + version..8 + version].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(Registration::parse_inflated(&counted, 479).is_err());
    }
}
