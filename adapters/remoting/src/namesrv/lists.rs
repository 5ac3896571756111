//! Lists of topics: all, those of a cluster, those that belong to the system.

use std::collections::BTreeSet;

use crossdock_hub::Action;
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::topic::TopicList;
use crossdock_proto_remoting::header::namesrv::GetTopicsByCluster;

use super::NameServer;
use crate::auth;
use crate::dispatch::Call;
use crate::reply::{Answer, Reply};

fn reply(topics: BTreeSet<String>, broker_addr: Option<String>) -> Answer {
    let list = TopicList {
        broker_addr,
        topic_list: topics.into_iter().collect(),
    };
    Ok(Reply::ok().with_body(body::write(&list)?))
}

impl NameServer {
    fn own_topics(&self) -> impl Iterator<Item = String> + use<> {
        let topics = match self.advertise {
            Some(_) => self.hub.topics(),
            None => Vec::new(),
        };
        topics.into_iter().map(|topic| topic.name.to_string())
    }
}

/// GET_ALL_TOPIC_LIST_FROM_NAMESERVER.
pub(super) fn all(door: &NameServer, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    reply(door.own_topics().chain(door.table.topics()).collect(), None)
}

/// GET_TOPICS_BY_CLUSTER.
pub(super) fn of_cluster(door: &NameServer, call: &Call) -> Answer {
    let header = GetTopicsByCluster::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let mut topics: BTreeSet<String> = door.table.topics_of(header.cluster).into_iter().collect();
    if header.cluster == door.hub.config().cluster {
        topics.extend(door.own_topics());
    }
    reply(topics, None)
}

/// GET_SYSTEM_TOPIC_LIST_FROM_NS: names of clusters and brokers, and a broker to ask for the rest.
pub(super) fn system(door: &NameServer, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let mut topics = BTreeSet::new();
    let mut address = None;
    for broker in door
        .own_broker(call)
        .into_iter()
        .chain(door.table.brokers())
    {
        address = address.or_else(|| broker.broker_addrs.values().next().cloned());
        topics.insert(broker.cluster);
        topics.insert(broker.broker_name);
    }
    reply(topics, address)
}

/// The lists of units, which this server does not have.
pub(super) fn unit(door: &NameServer, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    reply(BTreeSet::new(), None)
}
