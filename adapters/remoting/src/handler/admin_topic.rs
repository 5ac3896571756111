//! Administration of topics: creating and changing them, singly and in lists, deleting, showing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossdock_hub::{
    Action, AttributeEdit, FilterKind, HubError, Perm, Resource, Topic, TopicName, TopicSpec,
    Version,
};
use crossdock_proto_remoting::body::topic::{
    TopicConfig, TopicConfigList, TopicConfigTable, TopicFilterType, TopicList,
};
use crossdock_proto_remoting::body::{self, DataVersion};
use crossdock_proto_remoting::header::admin::{
    DeleteTopic, GetAllTopicConfigResponse, GetTopicConfig, UpdateTopic,
};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// A topic as configuration documents show it.
pub(crate) fn config_of(topic: &Topic) -> TopicConfig {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    TopicConfig {
        attributes: topic
            .attributes()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        order: topic.is_order,
        perm: i32::from(topic.perm.0),
        read_queue_nums: number(topic.read_queues),
        topic_filter_type: match topic.filter {
            FilterKind::SingleTag => TopicFilterType::SingleTag,
            FilterKind::MultiTag => TopicFilterType::MultiTag,
        },
        topic_name: topic.name.to_string(),
        topic_sys_flag: topic.sys_flag as i32,
        write_queue_nums: number(topic.write_queues),
    }
}

/// A table's version as documents show it.
pub(crate) fn data_version(version: Version) -> DataVersion {
    DataVersion {
        counter: i64::try_from(version.counter).unwrap_or(i64::MAX),
        state_version: 0,
        timestamp: version.changed_ms,
    }
}

/// Every topic with the table's version.
pub(crate) fn table_of(door: &Broker) -> TopicConfigTable {
    // The version first: a change in between makes the table newer than it says, never older.
    let version = door.hub.topics_version();
    let topics = door.hub.topics();
    let table: BTreeMap<_, _> = topics
        .iter()
        .map(|topic| (topic.name.to_string(), config_of(topic)))
        .collect();
    TopicConfigTable {
        data_version: data_version(version),
        topic_config_table: table,
    }
}

fn queues(number: i32) -> Result<u32, Refusal> {
    u32::try_from(number)
        .map_err(|_| Refusal::invalid(format!("{number} is not a number of queues")))
}

fn perm(bits: i32) -> Result<Perm, Refusal> {
    let bits = u8::try_from(bits)
        .map_err(|_| Refusal::invalid(format!("{bits} is not a permission of a topic")))?;
    Ok(Perm(bits))
}

fn filter(kind: TopicFilterType) -> FilterKind {
    match kind {
        TopicFilterType::SingleTag => FilterKind::SingleTag,
        TopicFilterType::MultiTag => FilterKind::MultiTag,
    }
}

fn spec_of_header(header: &UpdateTopic<'_>) -> Result<TopicSpec, Refusal> {
    let kind = TopicFilterType::from_name(header.topic_filter_type)
        .ok_or_else(|| Refusal::invalid("the topic filter type is not known"))?;
    // Faults of attributes have a code of their own.
    let attributes = AttributeEdit::parse_list(header.attributes.unwrap_or_default())
        .map_err(|error| Refusal::system(error.to_string()))?;
    Ok(TopicSpec {
        name: TopicName::parse(header.topic)?,
        read_queues: queues(header.read_queue_nums)?,
        write_queues: queues(header.write_queue_nums)?,
        perm: perm(header.perm)?,
        filter: filter(kind),
        is_order: header.order.unwrap_or(false),
        sys_flag: header.topic_sys_flag.unwrap_or(0) as u32,
        attributes,
    })
}

fn spec_of_config(config: &TopicConfig) -> Result<TopicSpec, Refusal> {
    let mut attributes = Vec::new();
    for (name, value) in &config.attributes {
        // Lists carry the edit form, `+name`, as well as the plain one.
        let name = name.strip_prefix('+').unwrap_or(name);
        attributes.push(match name.strip_prefix('-') {
            Some(name) => AttributeEdit::Remove(name.into()),
            None => AttributeEdit::Set(name.into(), value.as_str().into()),
        });
    }
    Ok(TopicSpec {
        name: TopicName::parse(&config.topic_name)?,
        read_queues: queues(config.read_queue_nums)?,
        write_queues: queues(config.write_queue_nums)?,
        perm: perm(config.perm)?,
        filter: filter(config.topic_filter_type),
        is_order: config.order,
        sys_flag: config.topic_sys_flag as u32,
        attributes,
    })
}

/// UPDATE_AND_CREATE_TOPIC.
pub(crate) fn put(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = UpdateTopic::parse(&call.command.ext)?;
        let actions = Action::Create | Action::Update;
        auth::may(&door.hub, &call, actions, Resource::topic(header.topic))?;
        door.hub.put_topic(spec_of_header(&header)?).await?;
        Ok(Reply::ok())
    })
}

/// UPDATE_AND_CREATE_TOPIC_LIST: all or none.
pub(crate) fn put_list(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let body: TopicConfigList = body::parse(&call.command.body)?;
        if body.topic_config_list.is_empty() {
            return Err(Refusal::invalid("the list of topics is empty"));
        }
        let mut specs = Vec::with_capacity(body.topic_config_list.len());
        for config in &body.topic_config_list {
            let actions = Action::Create | Action::Update;
            auth::may(
                &door.hub,
                &call,
                actions,
                Resource::topic(&config.topic_name),
            )?;
            specs.push(spec_of_config(config)?);
        }
        door.hub.put_topics(specs).await?;
        Ok(Reply::ok())
    })
}

/// DELETE_TOPIC_IN_BROKER.
pub(crate) fn delete(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = DeleteTopic::parse(&call.command.ext)?;
        auth::may(&door.hub, &call, Action::Delete, auth::behind(header.topic))?;
        let name = TopicName::parse(header.topic)?;
        // Deleting what is not there is what was asked for.
        door.hub.delete_topic(&name).await?;
        Ok(Reply::ok())
    })
}

/// GET_TOPIC_CONFIG.
pub(crate) fn get(door: &Broker, call: &Call) -> Answer {
    let header = GetTopicConfig::parse(&call.command.ext)?;
    auth::may(&door.hub, call, Action::Get, auth::behind(header.topic))?;
    let topic = door.hub.topic(header.topic);
    let topic = topic.ok_or_else(|| Refusal::from(HubError::NoTopic(header.topic.to_owned())))?;
    Ok(Reply::ok().with_body(body::write(&config_of(&topic))?))
}

/// GET_ALL_TOPIC_CONFIG: everything at once, whatever page was asked for.
pub(crate) fn get_all(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let table = table_of(door);
    let total = i32::try_from(table.topic_config_table.len()).unwrap_or(i32::MAX);
    let header = GetAllTopicConfigResponse {
        total_topic_num: Some(total),
    };
    Ok(Reply::ok()
        .with_header(&header)
        .with_body(body::write(&table)?))
}

/// GET_SYSTEM_TOPIC_LIST_FROM_BROKER.
pub(crate) fn system(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let topics = door.hub.topics();
    let mut names: Vec<String> = topics
        .iter()
        .filter(|topic| door.hub.is_system_topic(&topic.name))
        .map(|topic| topic.name.to_string())
        .collect();
    names.sort_unstable();
    let list = TopicList {
        broker_addr: None,
        topic_list: names,
    };
    Ok(Reply::ok().with_body(body::write(&list)?))
}
