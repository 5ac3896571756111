//! HEART_BEAT, in both versions: every consumer entry makes the client a member of its group,
//! every producer entry makes it reachable for questions about what it sent.

use std::sync::Arc;

use crossdock_hub::{
    Action, Actions, ConsumeFrom, ConsumeKind, ConsumeModel, GroupName, Heartbeat, Hub, Member,
    MemberChannel, RETRY_PREFIX, Resource, Subscription, TopicName,
};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, Heartbeat as Body, MessageModel, SubscriptionData,
};
use crossdock_proto_remoting::header::group::HeartbeatResponse;

use super::expression::{self, Fault};
use crate::broker::Broker;
use crate::connection::Peer;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Longest client id.
const CLIENT_ID_MAX: usize = 1024;

pub(crate) fn heartbeat(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { beat(&door, &call).await })
}

async fn beat(door: &Broker, call: &Call) -> Answer {
    let body: Body = body::parse(&call.command.body)?;
    if body.client_id.is_empty() || body.client_id.len() > CLIENT_ID_MAX {
        return Err(Refusal::invalid("the client id is empty or too long"));
    }
    authorize(door, call, &body)?;
    let member = member(call, &body.client_id);
    for consumer in &body.consumer_data_set {
        let name = GroupName::parse(&consumer.group_name)?;
        let heartbeat = consumer_beat(&door.hub, member.clone(), consumer, body.without_sub)?;
        door.hub.heartbeat(&name, heartbeat).await?;
    }
    for producer in &body.producer_data_set {
        let name = GroupName::parse(&producer.group_name)?;
        door.hub.producer_heartbeat(&name, member.clone())?;
    }
    Ok(Reply::ok().with_header(&HeartbeatResponse {
        support_v2: Some(true),
        sub_change: Some(is_sub_changed(&call.peer, &body)),
    }))
}

/// Whether the client has to say its subscriptions in full next time. Version 1 always does; in
/// version 2 a light heartbeat counts only if this connection knows what it leaves out.
fn is_sub_changed(peer: &Peer, body: &Body) -> bool {
    if body.heartbeat_fingerprint == 0 {
        return true;
    }
    if body.without_sub {
        return peer.fingerprint() != body.heartbeat_fingerprint;
    }
    peer.set_fingerprint(body.heartbeat_fingerprint) != body.heartbeat_fingerprint
}

fn authorize(door: &Broker, call: &Call, body: &Body) -> Result<(), Refusal> {
    let mut needs: Vec<(Actions, Resource<'_>)> = Vec::new();
    for consumer in &body.consumer_data_set {
        needs.push((Action::Sub.into(), Resource::group(&consumer.group_name)));
        let topics = consumer
            .subscription_data_set
            .iter()
            .map(|sub| sub.topic.as_str());
        for topic in topics.filter(|topic| !topic.starts_with(RETRY_PREFIX)) {
            needs.push((Action::Sub.into(), Resource::topic(topic)));
        }
    }
    Ok(door.hub.authorize(&call.identity, &needs)?)
}

/// The client behind a request, as the hub keeps it.
pub(crate) fn member(call: &Call, client: &str) -> Member {
    let channel: Arc<dyn MemberChannel> = Arc::clone(&call.peer) as _;
    Member {
        client: client.into(),
        connection: call.peer.id,
        door: "remoting",
        language: call.command.language.name().into(),
        version: u32::try_from(call.command.version).unwrap_or(0),
        peer: call.peer.address,
        channel,
    }
}

fn consumer_beat(
    hub: &Hub,
    member: Member,
    consumer: &ConsumerData,
    without_sub: bool,
) -> Result<Heartbeat, Refusal> {
    let subscriptions = if without_sub {
        None
    } else {
        let subs = consumer.subscription_data_set.iter();
        let subs = subs.map(|data| subscription(hub, data));
        Some(subs.collect::<Result<Vec<_>, _>>()?)
    };
    Ok(Heartbeat {
        member,
        kind: match consumer.consume_type {
            ConsumeType::Actively => ConsumeKind::Actively,
            ConsumeType::Passively => ConsumeKind::Passively,
            ConsumeType::Pop => ConsumeKind::Leased,
        },
        model: match consumer.message_model {
            MessageModel::Broadcasting => ConsumeModel::Broadcasting,
            MessageModel::Clustering => ConsumeModel::Clustering,
        },
        from: match consumer.consume_from_where {
            ConsumeFromWhere::FirstOffset => ConsumeFrom::First,
            ConsumeFromWhere::Timestamp => ConsumeFrom::Time,
            ConsumeFromWhere::LastOffset
            | ConsumeFromWhere::LastOffsetAndMinWhenBootFirst
            | ConsumeFromWhere::MinOffset
            | ConsumeFromWhere::MaxOffset => ConsumeFrom::Last,
        },
        subscriptions,
    })
}

/// A subscription as the client says it. One that cannot be evaluated is kept, so that pulls can be told why they get
/// nothing: official clients have it checked before they start, and expect heartbeats to pass.
fn subscription(hub: &Hub, data: &SubscriptionData) -> Result<Subscription, Refusal> {
    let topic = TopicName::parse(&data.topic)?;
    let (text, version) = (data.sub_string.as_str(), data.sub_version);
    let language = data.expression_type.as_str();
    match expression::parse(hub, topic.clone(), (language, text), version) {
        Ok(subscription) => Ok(subscription),
        Err(Fault::Tags(error)) => Err(error.into()),
        Err(fault) => {
            let reason = fault.to_string();
            Ok(Subscription::unusable(
                topic,
                (language, text),
                &reason,
                version,
            )?)
        }
    }
}
