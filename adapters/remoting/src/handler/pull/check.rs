//! What has to hold before a pull reads: group, topic, permission, queue, subscription.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{
    ConsumeModel, Expression, Group, GroupName, Perm, Subscription, SubscriptionLookup, Switch,
    TagFilter, Topic, TopicName,
};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;

/// A pull that may read.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) group: Arc<Group>,
    pub(super) topic: Arc<Topic>,
    pub(super) queue: u32,
    pub(super) offset: i64,
    pub(super) records_max: usize,
    pub(super) filter: TagFilter,
    /// How long the client is willing to wait for messages.
    pub(super) hold: Option<Duration>,
    pub(super) store_host: SocketAddr,
}

impl Pull {
    pub(super) fn check(door: &Broker, call: &Call) -> Result<Self, Refusal> {
        let header = PullMessage::parse(&call.command.ext)?;
        auth::may_pull(&door.hub, call, header.topic, header.consumer_group)?;
        let Some(group) = door.hub.group(header.consumer_group) else {
            return Err(Refusal::no_group(header.consumer_group));
        };
        if !group.config.is_enabled {
            let remark = format!("subscription group no permission, {}", group.name);
            return Err(Refusal::denied(remark));
        }
        let Some(topic) = door.hub.topic(header.topic) else {
            return Err(Refusal::no_topic(header.topic));
        };
        if !topic.perm.has(Perm::READ) {
            let remark = format!("the topic[{}] pulling message is forbidden", topic.name);
            return Err(Refusal::denied(remark));
        }
        let queue = u32::try_from(header.queue_id)
            .ok()
            .filter(|queue| *queue < topic.read_queues)
            .ok_or_else(|| {
                Refusal::invalid(format!(
                    "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
                    header.queue_id, topic.name, topic.read_queues
                ))
            })?;
        let filter = filter(door, &header, &group, &topic)?;
        let flags = header.sys_flag;
        if flags & pull_flag::COMMIT_OFFSET != 0
            && let Ok(offset) = u64::try_from(header.commit_offset)
        {
            // A reset that is pending keeps what it says; the pull is told of it next.
            door.hub.commit(&group, &topic, queue, offset)?;
        }
        let wait = u64::try_from(header.suspend_timeout_millis).unwrap_or(0);
        let hold = (flags & pull_flag::SUSPEND != 0 && wait > 0)
            .then(|| Duration::from_millis(wait).min(door.config.held_pull_time_max));
        Ok(Self {
            group,
            topic,
            queue,
            offset: header.queue_offset,
            records_max: usize::try_from(header.max_msg_nums).unwrap_or(0),
            filter,
            hold,
            store_host: call.peer.advertised,
        })
    }
}

/// Tools pull with an expression of their own before their first heartbeat: their group then comes
/// into being here, if groups may.
pub(super) fn group_to_create(door: &Broker, call: &Call) -> Option<Boxed<Result<(), Refusal>>> {
    let header = PullMessage::parse(&call.command.ext).ok()?;
    let name = header.consumer_group;
    if header.sys_flag & pull_flag::SUBSCRIPTION == 0
        || !door.hub.is_on(Switch::CreateGroups)
        || door.hub.group(name).is_some()
    {
        return None;
    }
    auth::may_pull(&door.hub, call, header.topic, name).ok()?;
    let name = GroupName::parse(name).ok()?;
    let hub = door.hub.clone();
    Some(Box::pin(async move {
        hub.ensure_group(&name).await?;
        Ok(())
    }))
}

/// What the pull wants to see: its own expression, or what the group's heartbeats said.
fn filter(
    door: &Broker,
    header: &PullMessage<'_>,
    group: &Group,
    topic: &Topic,
) -> Result<TagFilter, Refusal> {
    if header.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        return inline_filter(header, topic.name.clone());
    }
    let (model, found) = match door.hub.subscription(group, topic.name.as_str()) {
        SubscriptionLookup::NoMembers => {
            return Err(Refusal::new(
                response::SUBSCRIPTION_NOT_EXIST,
                "the consumer's group info not exist",
            ));
        }
        SubscriptionLookup::NotSubscribed(model) => (model, None),
        SubscriptionLookup::Subscribed(model, subscription) => (model, Some(subscription)),
    };
    if model == ConsumeModel::Broadcasting && !group.config.may_broadcast {
        let remark = format!(
            "the consumer group[{}] can not consume by broadcast way",
            group.name
        );
        return Err(Refusal::denied(remark));
    }
    let Some(subscription) = found else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_NOT_EXIST,
            "the consumer's subscription not exist",
        ));
    };
    if subscription.version < header.sub_version {
        return Err(Refusal::new(
            response::SUBSCRIPTION_NOT_LATEST,
            "the consumer's subscription not latest",
        ));
    }
    evaluable(&subscription)
}

fn inline_filter(header: &PullMessage<'_>, topic: TopicName) -> Result<TagFilter, Refusal> {
    let text = header.subscription.unwrap_or_default();
    let kind = header.expression_type.unwrap_or("TAG");
    if !kind.is_empty() && !kind.eq_ignore_ascii_case("TAG") {
        return Err(not_evaluated(kind));
    }
    let parsed = Subscription::parse(topic, text, header.sub_version);
    let subscription = parsed.map_err(|_| {
        Refusal::new(
            response::SUBSCRIPTION_PARSE_FAILED,
            "parse the consumer's subscription failed",
        )
    })?;
    Ok(subscription.filter)
}

fn evaluable(subscription: &Subscription) -> Result<TagFilter, Refusal> {
    match &subscription.expression {
        Expression::All | Expression::Tags(_) => Ok(subscription.filter.clone()),
        Expression::Other(kind) => Err(not_evaluated(kind)),
    }
}

fn not_evaluated(kind: &str) -> Refusal {
    let kind: String = kind.chars().take(32).collect();
    Refusal::system(format!(
        "The broker does not support consumer to filter message by {kind}"
    ))
}
