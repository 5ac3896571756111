//! The broker's configuration as properties text: what is really in force. It cannot be changed
//! at run time, and says so.

use std::fmt::Write;

use crossdock_hub::{Action, DelayLevels};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::header::admin::GetBrokerConfigResponse;

use super::admin_topic::data_version;
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// UPDATE_BROKER_CONFIG.
pub(crate) fn update(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Update)?;
    Err(Refusal::system(
        "the configuration is read at start and cannot be changed at run time",
    ))
}

/// GET_BROKER_CONFIG.
pub(crate) fn get(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let hub = door.hub.config();
    let config = &door.config;
    let advertised = call.peer.advertised;
    let entries: [(&str, String); 19] = [
        ("brokerClusterName", hub.cluster.clone()),
        ("brokerName", hub.node.clone()),
        ("brokerId", "0".to_owned()),
        ("brokerIP1", advertised.ip().to_string()),
        ("listenPort", advertised.port().to_string()),
        ("namesrvAddr", config.register.join(";")),
        ("regionId", config.region.clone()),
        ("traceOn", config.trace_on.to_string()),
        ("autoCreateTopicEnable", hub.auto_create_topics.to_string()),
        (
            "autoCreateSubscriptionGroup",
            hub.auto_create_groups.to_string(),
        ),
        ("defaultTopicQueueNums", hub.default_queues.to_string()),
        ("maxMessageSize", config.body_bytes_max.to_string()),
        ("messageDelayLevel", delay_levels(&hub.delay_levels)),
        ("longPollingEnable", "true".to_owned()),
        ("enablePropertyFilter", "false".to_owned()),
        ("rejectTransactionMessage", "true".to_owned()),
        (
            "channelExpiredTimeout",
            hub.member_expiry.as_millis().to_string(),
        ),
        (
            "registerNameServerPeriod",
            config.register_period.as_millis().to_string(),
        ),
        ("connectionsMax", config.connections.max().to_string()),
    ];
    let mut text = String::new();
    for (key, value) in entries {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key}={}", escaped(&value));
    }
    let version = body::write(&data_version(door.hub.topics_version()))?;
    let header = GetBrokerConfigResponse {
        version: std::str::from_utf8(&version).unwrap_or_default(),
    };
    Ok(Reply::ok()
        .with_header(&header)
        .with_body(text.into_bytes()))
}

/// The delay table as it is written, in the largest units that fit.
fn delay_levels(levels: &DelayLevels) -> String {
    let mut text = String::new();
    for ms in (1..=levels.last()).filter_map(|level| levels.delay_ms(level as i32)) {
        let seconds = ms / 1000;
        let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
        let fits = units.into_iter().find(|(unit, _)| seconds % unit == 0);
        if let Some((unit, letter)) = fits {
            let _ = write!(text, "{}{letter} ", seconds / unit);
        }
    }
    text.trim_end().to_owned()
}

/// A value as properties files write it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_table_reads_as_it_was_written() {
        let table = "1s 5s 30s 1m 20m 1h 2h 1d";
        assert_eq!(delay_levels(&table.parse().unwrap()), table);
    }
}
