//! Names as clients write them → names of the hub. A namespace becomes part of the name, in the way clients of the older
//! protocol write it themselves, so that both see the same topic. What was written is echoed unchanged.

use crossdock_hub::{DEAD_PREFIX, GroupName, Hub, RETRY_PREFIX, TopicName};
use crossdock_proto_grpc::v2::{Code, Resource};

use crate::error::Refusal;

/// Groups of the native implementation's own.
const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// The topic a resource names.
pub(crate) fn topic(namespace: &str, resource: Option<&Resource>) -> Result<TopicName, Refusal> {
    let missing = || Refusal::new(Code::IllegalTopic, "the request names no topic");
    let resource = resource.ok_or_else(missing)?;
    Ok(TopicName::parse(&full(namespace, resource))?)
}

/// A topic that applications may use.
pub(crate) fn users_topic(
    hub: &Hub,
    namespace: &str,
    resource: Option<&Resource>,
) -> Result<TopicName, Refusal> {
    let name = topic(namespace, resource)?;
    if name.is_closed() || hub.is_system_topic(&name) {
        let text = format!("topic {name} belongs to the hub");
        return Err(Refusal::new(Code::IllegalTopic, text));
    }
    Ok(name)
}

/// The group a resource names.
pub(crate) fn group(namespace: &str, resource: Option<&Resource>) -> Result<GroupName, Refusal> {
    let illegal = |text: &'static str| Refusal::new(Code::IllegalConsumerGroup, text);
    let resource = resource.ok_or_else(|| illegal("the request names no group"))?;
    if resource.name.starts_with(SYSTEM_GROUP_PREFIX) {
        return Err(illegal("the group belongs to the hub"));
    }
    Ok(GroupName::parse(&full(namespace, resource))?)
}

/// The name with its namespace: the resource's own, or else the given one of the request's header.
fn full(namespace: &str, resource: &Resource) -> String {
    let namespace = match resource.resource_namespace.as_str() {
        "" => namespace,
        own => own,
    };
    let name = resource.name.as_str();
    if namespace.is_empty() || name.is_empty() {
        return name.to_owned();
    }
    // The prefix of a group's own topics stands before the namespace of the group.
    for prefix in [RETRY_PREFIX, DEAD_PREFIX] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return format!("{prefix}{namespace}%{rest}");
        }
    }
    format!("{namespace}%{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(namespace: &str, name: &str) -> Resource {
        Resource {
            resource_namespace: namespace.into(),
            name: name.into(),
        }
    }

    #[test]
    fn the_namespace_of_the_header_fills_in_for_a_missing_one() {
        let name = |header: &str, own: &str, name: &str| {
            topic(header, Some(&resource(own, name)))
                .unwrap()
                .to_string()
        };
        assert_eq!(name("", "", "T"), "T");
        assert_eq!(name("ns", "", "T"), "ns%T");
        assert_eq!(name("ns", "other", "T"), "other%T");
        assert_eq!(name("ns", "", "%RETRY%g"), "%RETRY%ns%g");
    }

    #[test]
    fn missing_and_illegal_names_have_their_codes() {
        let code = |outcome: Result<TopicName, Refusal>| outcome.unwrap_err().code;
        assert_eq!(code(topic("", None)), Code::IllegalTopic);
        assert_eq!(code(topic("", Some(&resource("", "")))), Code::IllegalTopic);
        assert_eq!(
            code(topic("", Some(&resource("", "a b")))),
            Code::IllegalTopic
        );
        for name in ["", "a b", "CID_RMQ_SYS_x"] {
            let refused = group("", Some(&resource("", name))).unwrap_err();
            assert_eq!(refused.code, Code::IllegalConsumerGroup, "{name}");
        }
    }
}
