//! Administration of consumer groups: creating and changing them, singly and in lists, deleting,
//! showing.

use std::sync::Arc;

use crossdock_hub::{Action, Group, GroupConfig, GroupName, OnDelete, Resource};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::subscription::{
    SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
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
    let config = &group.config;
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    SubscriptionGroupConfig {
        consume_broadcast_enable: config.may_broadcast,
        consume_enable: config.is_enabled,
        group_name: group.name.to_string(),
        group_sys_flag: config.sys_flag as i32,
        notify_consumer_ids_changed_enable: config.notifies_members,
        retry_max_times: number(config.retry_max),
        retry_queue_nums: number(config.retry_queues),
        ..SubscriptionGroupConfig::default()
    }
}

/// What the hub implements of a group's configuration. Members about replicas and about leasing
/// consumers have no meaning for this door's clients and are not kept.
fn wanted(config: &SubscriptionGroupConfig) -> Result<(GroupName, GroupConfig), Refusal> {
    let number = |what: &str, n: i32| {
        u32::try_from(n).map_err(|_| Refusal::invalid(format!("{what} cannot be {n}")))
    };
    let name = GroupName::parse(&config.group_name)?;
    let wanted = GroupConfig {
        is_enabled: config.consume_enable,
        may_broadcast: config.consume_broadcast_enable,
        retry_queues: number("retryQueueNums", config.retry_queue_nums)?,
        retry_max: number("retryMaxTimes", config.retry_max_times)?,
        notifies_members: config.notify_consumer_ids_changed_enable,
        sys_flag: config.group_sys_flag as u32,
    };
    Ok((name, wanted))
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
