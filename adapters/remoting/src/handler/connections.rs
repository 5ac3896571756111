//! Who is connected: consumers with their subscriptions, producers.

use crossdock_hub::{
    Action, ConsumeFrom, ConsumeKind, ConsumeModel, Expression, Member, Resource, Subscription,
    tag_hash,
};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::group::{
    Connection, ConsumerConnections, ProducerConnections, ProducerInfo, ProducerTable,
};
use crossdock_proto_remoting::body::heartbeat::{
    ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData,
};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::admin::{
    GetConsumerConnections, GetProducerConnections, QuerySubscriptionByConsumer,
};

use super::expression::{SQL92, TAG};
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

fn connection(member: &Member) -> Connection {
    Connection {
        client_addr: member.peer.to_string(),
        client_id: member.client.to_string(),
        language: member.language.to_string(),
        version: i32::try_from(member.version).unwrap_or(i32::MAX),
    }
}

fn connections(members: &[Member]) -> Vec<Connection> {
    let mut all: Vec<Connection> = members.iter().map(connection).collect();
    all.sort_unstable_by(|a, b| {
        (&a.client_id, &a.client_addr).cmp(&(&b.client_id, &b.client_addr))
    });
    all
}

pub(super) fn data(subscription: &Subscription) -> SubscriptionData {
    let tags: Vec<String> = match &subscription.expression {
        Expression::Tags(tags) => tags.iter().map(|tag| tag.to_string()).collect(),
        Expression::All | Expression::Sql(_) | Expression::Unusable { .. } => Vec::new(),
    };
    SubscriptionData {
        class_filter_mode: false,
        code_set: tags.iter().map(|tag| tag_hash(tag) as i32).collect(),
        expression_type: match &subscription.expression {
            Expression::Unusable { language, .. } => language.to_string(),
            Expression::Sql(_) => SQL92.to_owned(),
            Expression::All | Expression::Tags(_) => TAG.to_owned(),
        },
        sub_string: subscription.text.to_string(),
        sub_version: subscription.version,
        tags_set: tags,
        topic: subscription.topic.to_string(),
    }
}

/// GET_CONSUMER_CONNECTION_LIST.
pub(crate) fn consumers(door: &Broker, call: &Call) -> Answer {
    let header = GetConsumerConnections::parse(&call.command.ext)?;
    let name = header.consumer_group;
    auth::may(&door.hub, call, Action::Get, Resource::group(name))?;
    let group = door.hub.group(name);
    let Some(view) = group.and_then(|group| door.hub.group_view(&group)) else {
        return Err(Refusal::new(
            response::CONSUMER_NOT_ONLINE,
            format!("the consumer group[{name}] not online"),
        ));
    };
    let body = ConsumerConnections {
        connection_set: connections(&view.members),
        consume_from_where: match view.from {
            ConsumeFrom::Last => ConsumeFromWhere::LastOffset,
            ConsumeFrom::First => ConsumeFromWhere::FirstOffset,
            ConsumeFrom::Time => ConsumeFromWhere::Timestamp,
        },
        consume_type: match view.kind {
            ConsumeKind::Actively => ConsumeType::Actively,
            ConsumeKind::Passively => ConsumeType::Passively,
            ConsumeKind::Leased => ConsumeType::Pop,
        },
        message_model: match view.model {
            ConsumeModel::Clustering => MessageModel::Clustering,
            ConsumeModel::Broadcasting => MessageModel::Broadcasting,
        },
        subscription_table: view
            .subscriptions
            .iter()
            .map(|sub| (sub.topic.to_string(), data(sub)))
            .collect(),
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}

/// GET_PRODUCER_CONNECTION_LIST.
pub(crate) fn producers(door: &Broker, call: &Call) -> Answer {
    let header = GetProducerConnections::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let members = door.hub.producers(header.producer_group);
    if members.is_empty() {
        return Err(Refusal::system(format!(
            "the producer group[{}] not exist",
            header.producer_group
        )));
    }
    let body = ProducerConnections {
        connection_set: connections(&members),
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}

/// GET_ALL_PRODUCER_INFO.
pub(crate) fn all_producers(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let mut body = ProducerTable::default();
    for (group, producers) in door.hub.all_producers() {
        let producers = producers.iter().map(|(member, seen_ms)| ProducerInfo {
            client_id: member.client.to_string(),
            language: member.language.to_string(),
            last_update_timestamp: *seen_ms,
            remote_ip: member.peer.to_string(),
            version: i32::try_from(member.version).unwrap_or(i32::MAX),
        });
        body.data.insert(group.to_string(), producers.collect());
    }
    Ok(Reply::ok().with_body(body::write(&body)?))
}

/// Answer to QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionBody<'a> {
    group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_data: Option<SubscriptionData>,
    topic: &'a str,
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER.
pub(crate) fn subscription(door: &Broker, call: &Call) -> Answer {
    let header = QuerySubscriptionByConsumer::parse(&call.command.ext)?;
    auth::may(&door.hub, call, Action::Get, Resource::group(header.group))?;
    let topic = header.topic.unwrap_or_default();
    let view = door
        .hub
        .group(header.group)
        .and_then(|group| door.hub.group_view(&group));
    let found = view.and_then(|view| {
        let mut subs = view.subscriptions.iter();
        subs.find(|sub| sub.topic.as_str() == topic)
            .map(|sub| data(sub))
    });
    let body = SubscriptionBody {
        group: header.group,
        subscription_data: found,
        topic,
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}
