//! A queue as documents name it, and maps that have whole queue objects as their keys.

use std::collections::BTreeMap;
use std::io::Write;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::BodyError;

/// One queue of a topic on a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    pub broker_name: String,
    pub queue_id: i32,
    pub topic: String,
}

/// A map from queues as a list: written in its order, read in that of the keys' JSON texts.
pub type QueueTable<V> = Vec<(MessageQueue, V)>;

/// Reads a map whose keys are queue objects, as [`super::to_standard`] leaves it.
pub(super) fn deserialize<'de, D, V>(deserializer: D) -> Result<QueueTable<V>, D::Error>
where
    D: Deserializer<'de>,
    V: DeserializeOwned,
{
    BTreeMap::<String, V>::deserialize(deserializer)?
        .into_iter()
        .map(|(key, value)| Ok((serde_json::from_str(&key).map_err(D::Error::custom)?, value)))
        .collect()
}

/// Writes a map whose keys are queue objects, which standard JSON cannot express.
pub(super) fn write<V: Serialize>(
    table: &QueueTable<V>,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let mut separator = b'{';
    for (queue, value) in table {
        out.push(separator);
        separator = b',';
        serde_json::to_writer(&mut *out, queue)?;
        out.push(b':');
        serde_json::to_writer(&mut *out, value)?;
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// Writes a finite number; JSON has no others.
pub(super) fn write_number(number: f64, out: &mut Vec<u8>) -> Result<(), BodyError> {
    let number = if number.is_finite() { number } else { 0.0 };
    write!(out, "{number:?}").map_err(serde_json::Error::io)?;
    Ok(())
}
