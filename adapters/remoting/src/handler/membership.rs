//! Membership beside heartbeats: leaving, asking for the members, checking a subscription.

use crossdock_hub::{Action, Resource, TopicName};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::group::ConsumerList;
use crossdock_proto_remoting::body::heartbeat::CheckClientConfig;
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::group::{GetConsumerList, UnregisterClient};

use super::expression;
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// UNREGISTER_CLIENT.
pub(crate) fn unregister(door: &Broker, call: &Call) -> Answer {
    let header = UnregisterClient::parse(&call.command.ext)?;
    let connection = call.peer.id;
    if let Some(group) = header.producer_group {
        door.hub.producer_left(group, connection, header.client_id);
    }
    if let Some(group) = header.consumer_group {
        auth::may(&door.hub, call, Action::Sub, Resource::group(group))?;
        door.hub.leave_group(group, connection, header.client_id);
    }
    Ok(Reply::ok())
}

/// GET_CONSUMER_LIST_BY_GROUP.
pub(crate) fn list(door: &Broker, call: &Call) -> Answer {
    let header = GetConsumerList::parse(&call.command.ext)?;
    let name = header.consumer_group;
    auth::may_ask_group(&door.hub, call, name, None, Action::Sub | Action::Get)?;
    let clients = match door.hub.group(name) {
        Some(group) => door.hub.group_clients(&group),
        None => Vec::new(),
    };
    if clients.is_empty() {
        return Err(Refusal::system(format!(
            "no consumer for this group, {name}"
        )));
    }
    let body = ConsumerList {
        consumer_id_list: clients.iter().map(|client| client.to_string()).collect(),
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}

/// CHECK_CLIENT_CONFIG: whether a subscription can be served.
pub(crate) fn check_config(door: &Broker, call: &Call) -> Answer {
    let body: CheckClientConfig = body::parse(&call.command.body)?;
    if !body.group.is_empty() {
        let needs = Action::Sub | Action::Get;
        auth::may_ask_group(&door.hub, call, &body.group, None, needs)?;
    }
    let Some(data) = &body.subscription_data else {
        return Ok(Reply::ok());
    };
    let topic = TopicName::parse(&data.topic)?;
    let stated = (data.expression_type.as_str(), data.sub_string.as_str());
    match expression::parse(&door.hub, topic, stated, data.sub_version) {
        Ok(_) => Ok(Reply::ok()),
        Err(fault) => {
            let code = response::SUBSCRIPTION_PARSE_FAILED;
            Err(Refusal::new(code, fault.to_string()))
        }
    }
}
