//! The broker's configuration as properties text: what is really in force. Of it the few switches of the hub can be
//! changed at run time; a change of anything else is refused, whole.

use std::fmt::Write;
use std::sync::Arc;

use crossdock_hub::{Action, DelayLevels, Switch};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::header::admin::GetBrokerConfigResponse;

use super::admin_topic::data_version;
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::properties;
use crate::reply::{Answer, Reply};

/// What can be changed at run time.
const SWITCHES: [(&str, Switch); 2] = [
    ("autoCreateTopicEnable", Switch::CreateTopics),
    ("autoCreateSubscriptionGroup", Switch::CreateGroups),
];

/// UPDATE_BROKER_CONFIG: all or nothing.
pub(crate) fn update(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        auth::may_cluster(&door.hub, &call, Action::Update)?;
        let known = entries(&door, &call);
        let mut turns = Vec::new();
        for (key, value) in properties::read(&call.command.body)? {
            let switch = SWITCHES.into_iter().find(|(name, _)| *name == key);
            if let Some((_, switch)) = switch {
                let is_on = value
                    .parse()
                    .map_err(|_| Refusal::invalid(format!("{key} is either true or false")))?;
                turns.push((switch, is_on));
                continue;
            }
            match known.iter().find(|(name, _)| *name == key) {
                // It is as it shall be.
                Some((_, now)) if *now == value => {}
                Some(_) => {
                    return Err(Refusal::invalid(format!(
                        "{key} cannot be changed at run time"
                    )));
                }
                None => {
                    return Err(Refusal::invalid(format!(
                        "{key} is not a setting of this broker"
                    )));
                }
            }
        }
        for (switch, is_on) in turns {
            door.hub.turn(switch, is_on).await?;
        }
        Ok(Reply::ok())
    })
}

/// GET_BROKER_CONFIG.
pub(crate) fn get(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let text = properties::write(entries(door, call));
    let version = body::write(&data_version(door.hub.topics_version()))?;
    let header = GetBrokerConfigResponse {
        version: std::str::from_utf8(&version).unwrap_or_default(),
    };
    Ok(Reply::ok()
        .with_header(&header)
        .with_body(text.into_bytes()))
}

fn entries(door: &Broker, call: &Call) -> [(&'static str, String); 19] {
    let hub = door.hub.config();
    let config = &door.config;
    let advertised = call.peer.advertised;
    [
        ("brokerClusterName", hub.cluster.clone()),
        ("brokerName", hub.node.clone()),
        ("brokerId", "0".to_owned()),
        ("brokerIP1", advertised.ip().to_string()),
        ("listenPort", advertised.port().to_string()),
        ("namesrvAddr", config.register.join(";")),
        ("regionId", config.region.clone()),
        ("traceOn", config.trace_on.to_string()),
        (
            "autoCreateTopicEnable",
            door.hub.is_on(Switch::CreateTopics).to_string(),
        ),
        (
            "autoCreateSubscriptionGroup",
            door.hub.is_on(Switch::CreateGroups).to_string(),
        ),
        ("defaultTopicQueueNums", hub.default_queues.to_string()),
        ("maxMessageSize", config.body_bytes_max.to_string()),
        ("messageDelayLevel", delay_levels(&hub.delay_levels)),
        ("longPollingEnable", "true".to_owned()),
        ("enablePropertyFilter", "true".to_owned()),
        ("rejectTransactionMessage", "false".to_owned()),
        (
            "channelExpiredTimeout",
            hub.member_expiry.as_millis().to_string(),
        ),
        (
            "registerNameServerPeriod",
            config.register_period.as_millis().to_string(),
        ),
        ("connectionsMax", config.connections.max().to_string()),
    ]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_table_reads_as_it_was_written() {
        let table = "1s 5s 30s 1m 20m 1h 2h 1d";
        assert_eq!(delay_levels(&table.parse().unwrap()), table);
    }
}
