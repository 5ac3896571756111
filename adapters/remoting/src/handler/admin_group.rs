//! Administration of consumer groups: creating and changing them, singly and in lists, deleting,
//! showing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossdock_hub::{
    Action, DeclaredSubscription, Group, GroupConfig, GroupHints, GroupName, OnDelete, Resource,
    RetryPolicy,
};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::subscription::{
    CustomizedRetryPolicy, ExponentialRetryPolicy, GroupRetryPolicy, RetryPolicyType,
    SimpleSubscription, SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use crossdock_proto_remoting::header::admin::{
    DeleteGroup, GetAllGroupConfigResponse, GetGroupConfig,
};

use super::admin_topic::data_version;
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

fn config_of(group: &Group) -> SubscriptionGroupConfig {
    let (config, hints) = (&group.config, &group.config.hints);
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let declared = hints.declared.as_ref();
    SubscriptionGroupConfig {
        // There are none that could be set.
        attributes: BTreeMap::new(),
        broker_id: hints.replica,
        consume_broadcast_enable: config.may_broadcast,
        consume_enable: config.is_enabled,
        consume_from_min_enable: hints.may_start_at_oldest,
        consume_message_orderly: config.is_ordered,
        consume_timeout_minute: hints.consume_minutes,
        group_name: group.name.to_string(),
        group_retry_policy: shown_policy(config.retry_policy.as_ref()),
        group_sys_flag: config.sys_flag as i32,
        notify_consumer_ids_changed_enable: config.notifies_members,
        retry_max_times: number(config.retry_max),
        retry_queue_nums: number(config.retry_queues),
        subscription_data_set: declared.map(|all| all.iter().map(shown_subscription).collect()),
        which_broker_when_consume_slowly: hints.replica_when_slow,
    }
}

fn shown_policy(policy: Option<&RetryPolicy>) -> GroupRetryPolicy {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    match policy {
        None => GroupRetryPolicy::default(),
        Some(RetryPolicy::Listed(delays)) => GroupRetryPolicy {
            customized_retry_policy: Some(CustomizedRetryPolicy {
                next: delays.iter().copied().map(number).collect(),
            }),
            ..GroupRetryPolicy::default()
        },
        Some(RetryPolicy::Exponential {
            initial_ms,
            max_ms,
            multiplier,
        }) => GroupRetryPolicy {
            kind: RetryPolicyType::Exponential,
            exponential_retry_policy: Some(ExponentialRetryPolicy {
                initial: number(*initial_ms),
                max: number(*max_ms),
                multiplier: number(*multiplier),
            }),
            ..GroupRetryPolicy::default()
        },
    }
}

fn shown_subscription(declared: &DeclaredSubscription) -> SimpleSubscription {
    SimpleSubscription {
        expression: declared.expression.to_string(),
        expression_type: declared.kind.to_string(),
        topic: declared.topic.to_string(),
        version: declared.version,
    }
}

/// A group's configuration in the hub's terms.
fn wanted(config: &SubscriptionGroupConfig) -> Result<(GroupName, GroupConfig), Refusal> {
    let number = |what: &str, n: i32| {
        u32::try_from(n).map_err(|_| Refusal::invalid(format!("{what} cannot be {n}")))
    };
    let name = GroupName::parse(&config.group_name)?;
    if let Some(attribute) = config.attributes.keys().next() {
        let name = attribute.trim_start_matches(['+', '-']);
        return Err(Refusal::invalid(format!(
            "there is no attribute {name} of a group"
        )));
    }
    let declared = config.subscription_data_set.as_ref();
    let wanted = GroupConfig {
        is_enabled: config.consume_enable,
        may_broadcast: config.consume_broadcast_enable,
        retry_queues: number("retryQueueNums", config.retry_queue_nums)?,
        retry_max: number("retryMaxTimes", config.retry_max_times)?,
        retry_policy: wanted_policy(&config.group_retry_policy)?,
        notifies_members: config.notify_consumer_ids_changed_enable,
        is_ordered: config.consume_message_orderly,
        sys_flag: config.group_sys_flag as u32,
        // The reference broker does nothing by these on a broker without replicas either.
        hints: GroupHints {
            may_start_at_oldest: config.consume_from_min_enable,
            replica: config.broker_id,
            replica_when_slow: config.which_broker_when_consume_slowly,
            consume_minutes: config.consume_timeout_minute,
            declared: declared.map(|all| all.iter().map(wanted_subscription).collect()),
        },
    };
    Ok((name, wanted))
}

fn wanted_policy(policy: &GroupRetryPolicy) -> Result<Option<RetryPolicy>, Refusal> {
    let number = |n: i64| {
        u64::try_from(n).map_err(|_| Refusal::invalid(format!("a retry policy cannot have {n}")))
    };
    let (customized, exponential) = (
        policy.customized_retry_policy.as_ref(),
        policy.exponential_retry_policy.as_ref(),
    );
    match (policy.kind, customized, exponential) {
        (RetryPolicyType::Customized, None, None) => Ok(None),
        (RetryPolicyType::Customized, Some(policy), None) => {
            let delays: Result<_, _> = policy.next.iter().copied().map(number).collect();
            Ok(Some(RetryPolicy::Listed(delays?)))
        }
        (RetryPolicyType::Exponential, None, policy) => {
            let policy = policy.cloned().unwrap_or_default();
            Ok(Some(RetryPolicy::Exponential {
                initial_ms: number(policy.initial)?,
                max_ms: number(policy.max)?,
                multiplier: number(policy.multiplier)?,
            }))
        }
        (RetryPolicyType::Customized, _, Some(_)) | (RetryPolicyType::Exponential, Some(_), _) => {
            Err(Refusal::invalid(
                "groupRetryPolicy holds a policy of another type than it names",
            ))
        }
    }
}

fn wanted_subscription(subscription: &SimpleSubscription) -> DeclaredSubscription {
    DeclaredSubscription {
        topic: subscription.topic.as_str().into(),
        kind: subscription.expression_type.as_str().into(),
        expression: subscription.expression.as_str().into(),
        version: subscription.version,
    }
}

fn may_put(door: &Broker, call: &Call, group: &str) -> Result<(), Refusal> {
    let actions = Action::Create | Action::Update;
    auth::may(&door.hub, call, actions, Resource::group(group))
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
pub(crate) fn put(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let config: SubscriptionGroupConfig = body::parse(&call.command.body)?;
        may_put(&door, &call, &config.group_name)?;
        let (name, config) = wanted(&config)?;
        door.hub.put_group(&name, config).await?;
        Ok(Reply::ok())
    })
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: checked as a whole, then entered one by one.
pub(crate) fn put_list(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let body: SubscriptionGroupList = body::parse(&call.command.body)?;
        if body.group_config_list.is_empty() {
            return Err(Refusal::invalid("the list of groups is empty"));
        }
        let mut all = Vec::with_capacity(body.group_config_list.len());
        for config in &body.group_config_list {
            may_put(&door, &call, &config.group_name)?;
            all.push(wanted(config)?);
        }
        for (name, config) in all {
            door.hub.put_group(&name, config).await?;
        }
        Ok(Reply::ok())
    })
}

/// DELETE_SUBSCRIPTIONGROUP.
pub(crate) fn delete(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = DeleteGroup::parse(&call.command.ext)?;
        let resource = Resource::group(header.group_name);
        auth::may(&door.hub, &call, Action::Delete, resource)?;
        let positions = if header.clean_offset.unwrap_or(false) {
            OnDelete::ForgetPositions
        } else {
            OnDelete::KeepPositions
        };
        let name = GroupName::parse(header.group_name)?;
        // Deleting what is not there is what was asked for.
        door.hub.delete_group(&name, positions).await?;
        Ok(Reply::ok())
    })
}

/// GET_SUBSCRIPTIONGROUP_CONFIG.
pub(crate) fn get(door: &Broker, call: &Call) -> Answer {
    let header = GetGroupConfig::parse(&call.command.ext)?;
    auth::may(&door.hub, call, Action::Get, Resource::group(header.group))?;
    let Some(group) = door.hub.group(header.group) else {
        return Err(Refusal::no_group(header.group));
    };
    Ok(Reply::ok().with_body(body::write(&config_of(&group))?))
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG: everything at once, whatever page was asked for.
pub(crate) fn get_all(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let version = door.hub.groups_version();
    let groups = door.hub.groups();
    let table = SubscriptionGroupTable {
        data_version: data_version(version),
        forbidden_table: Default::default(),
        subscription_group_table: groups
            .iter()
            .map(|group| (group.name.to_string(), config_of(group)))
            .collect(),
    };
    let total = i32::try_from(table.subscription_group_table.len()).unwrap_or(i32::MAX);
    let header = GetAllGroupConfigResponse {
        total_group_num: Some(total),
    };
    Ok(Reply::ok()
        .with_header(&header)
        .with_body(body::write(&table)?))
}
