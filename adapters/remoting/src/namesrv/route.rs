//! GET_ROUTEINFO_BY_TOPIC, and how the hub's own topics look in a route.
//!
//! The document is standard JSON for everybody: clients of every age and language read quoted
//! integer keys, while only some of them read unquoted ones.

use std::sync::atomic::Ordering;

use crossdock_hub::{Action, Topic};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::route::{BrokerData, MASTER_ID, QueueData, TopicRoute, perm};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::namesrv::GetRoute;

use super::NameServer;
use crate::auth;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

impl NameServer {
    /// The hub as a broker, if it is one.
    pub(super) fn own_broker(&self, call: &Call) -> Option<BrokerData> {
        let advertise = self.advertise.as_ref()?;
        let hub = self.hub.config();
        Some(BrokerData {
            broker_addrs: [(MASTER_ID, advertise.text(call.peer.local))].into(),
            broker_name: hub.node.clone(),
            cluster: hub.cluster.clone(),
            enable_acting_master: false,
            zone_name: None,
        })
    }

    fn own_queues(&self, topic: &Topic) -> QueueData {
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let bits = i32::from(topic.perm.0);
        QueueData {
            broker_name: self.hub.config().node.clone(),
            perm: if self.is_own_write_wiped.load(Ordering::Acquire) {
                bits & !perm::WRITE
            } else {
                bits
            },
            read_queue_nums: number(topic.read_queues),
            topic_sys_flag: topic.sys_flag as i32,
            write_queue_nums: number(topic.write_queues),
        }
    }
}

pub(super) fn route(door: &NameServer, call: &Call) -> Answer {
    let header = GetRoute::parse(&call.command.ext)?;
    let actions = Action::Pub | Action::Sub | Action::Get;
    auth::may(&door.hub, call, actions, auth::behind(header.topic))?;
    let mut route = TopicRoute::default();
    if let Some(broker) = door.own_broker(call)
        && let Some(topic) = door.hub.topic(header.topic)
    {
        route.queue_datas.push(door.own_queues(&topic));
        route.broker_datas.push(broker);
    }
    door.table.add_route(header.topic, &mut route);
    if route.queue_datas.is_empty() {
        let topic: String = header.topic.chars().take(255).collect();
        return Err(Refusal::new(
            response::TOPIC_NOT_EXIST,
            format!("No topic route info in name server for the topic: {topic}"),
        ));
    }
    Ok(Reply::ok().with_body(body::write(&route)?))
}
