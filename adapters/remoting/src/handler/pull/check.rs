//! What has to hold before a pull reads: group, topic, permission, queue, subscription.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{
    ConsumeModel, Expression, Group, GroupName, Hub, Perm, SqlFilter, Subscription,
    SubscriptionLookup, Switch, TagFilter, Topic, TopicName,
};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::handler::expression;

/// What a pull wants to see.
#[derive(Debug)]
pub(super) enum Selector {
    /// By the tag hashes of the index. Hashes may collide; clients compare the tags themselves.
    Tags(TagFilter),
    /// By the properties of each message.
    Sql(Arc<SqlFilter>),
}

/// A pull that may read.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) group: Arc<Group>,
    pub(super) topic: Arc<Topic>,
    pub(super) queue: u32,
    pub(super) offset: i64,
    pub(super) records_max: usize,
    pub(super) selector: Selector,
    /// How long the client is willing to wait for messages.
    pub(super) hold: Option<Duration>,
    pub(super) store_host: SocketAddr,
}

impl Pull {
    /// The messages whose arrival is a reason to look.
    pub(super) fn arrivals(&self) -> &TagFilter {
        match &self.selector {
            Selector::Tags(tags) => tags,
            Selector::Sql(_) => &TagFilter::All,
        }
    }

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
        let selector = selector(door, &header, &group, &topic)?;
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
            selector,
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
fn selector(
    door: &Broker,
    header: &PullMessage<'_>,
    group: &Group,
    topic: &Topic,
) -> Result<Selector, Refusal> {
    if header.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        return inline(&door.hub, header, topic.name.clone());
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
    evaluable(&subscription, response::FILTER_DATA_NOT_EXIST)
}

fn inline(hub: &Hub, header: &PullMessage<'_>, topic: TopicName) -> Result<Selector, Refusal> {
    let code = response::SUBSCRIPTION_PARSE_FAILED;
    let language = header.expression_type.unwrap_or_default();
    let text = header.subscription.unwrap_or_default();
    let parsed = expression::parse(hub, topic, (language, text), header.sub_version);
    let subscription = parsed.map_err(|fault| {
        let remark = format!("parse the consumer's subscription failed: {fault}");
        Refusal::new(code, remark)
    })?;
    evaluable(&subscription, code)
}

/// `code` tells the client that its expression cannot be evaluated.
fn evaluable(subscription: &Subscription, code: i32) -> Result<Selector, Refusal> {
    match &subscription.expression {
        Expression::All | Expression::Tags(_) => Ok(Selector::Tags(subscription.filter.clone())),
        Expression::Sql(filter) => Ok(Selector::Sql(Arc::clone(filter))),
        Expression::Unusable { reason, .. } => Err(Refusal::new(code, reason.to_string())),
    }
}
