//! What foreign brokers say: registration in full or in part, signs of life, leaving, single
//! topics.

use std::io::Read;
use std::sync::Arc;

use crossdock_hub::Action;
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::DataVersion;
use crossdock_proto_remoting::body::registration::Registration;
use crossdock_proto_remoting::body::route::TopicRoute;
use crossdock_proto_remoting::header::namesrv::{
    BrokerHeartbeat, DeleteTopicInNamesrv, QueryDataVersion, QueryDataVersionResponse,
    RegisterBroker, RegisterBrokerResponse, RegisterTopic, UnregisterBroker,
};
use crossdock_proto_remoting::record::body_crc;
use flate2::read::ZlibDecoder;

use super::table::Announcement;
use super::{NameServer, kv};
use crate::auth;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Largest inflated registration: a million topics at a hundred bytes and more.
const INFLATED_MAX: u64 = 256 * 1024 * 1024;
/// Most that a registration may grow when inflated.
const INFLATED_RATIO_MAX: u64 = 200;

/// REGISTER_BROKER.
pub(super) fn register(door: Arc<NameServer>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = RegisterBroker::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Update)?;
        door.refuse_own_name(header.broker_name)?;
        let registration = registration(&header, &call)?;
        let who = Announcement {
            cluster: header.cluster_name,
            broker: header.broker_name,
            address: header.broker_addr,
            ha_address: header.ha_server_addr,
            id: header.broker_id,
            timeout_ms: header.heartbeat_timeout_millis,
            acting_master: header.enable_acting_master,
            connection: call.peer.id,
        };
        let registered = door.table.register(&who, registration)?;
        if call.peer.closed.is_cancelled() {
            // It left while it registered; its end was not heard by the table.
            door.table.connection_closed(call.peer.id);
        }
        let answer = RegisterBrokerResponse {
            ha_server_addr: registered.master_ha_address.as_deref(),
            master_addr: registered.master_address.as_deref(),
        };
        let order = body::write(&kv::order_table(&door.hub))?;
        Ok(Reply::ok().with_header(&answer).with_body(order))
    })
}

fn registration(header: &RegisterBroker<'_>, call: &Call) -> Result<Registration, Refusal> {
    let bytes = &call.command.body;
    let crc = header.body_crc32.unwrap_or(0);
    if crc != 0 && crc != body_crc(bytes) {
        return Err(Refusal::system("crc32 not match"));
    }
    if bytes.is_empty() {
        // Brokers of old send no body when they have nothing to say.
        return Ok(Registration::default());
    }
    if !header.compressed.unwrap_or(false) {
        return Ok(body::parse(bytes)?);
    }
    let max = INFLATED_MAX.min(bytes.len() as u64 * INFLATED_RATIO_MAX);
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(bytes.as_ref())
        .take(max + 1)
        .read_to_end(&mut plain);
    if read.is_err() || plain.len() as u64 > max {
        return Err(Refusal::system(
            "register broker failed: the body cannot be inflated",
        ));
    }
    Ok(Registration::parse_inflated(&plain, call.command.version)?)
}

impl NameServer {
    /// The hub's own name cannot be taken by another broker.
    fn refuse_own_name(&self, broker: &str) -> Result<(), Refusal> {
        if self.advertise.is_some() && broker == self.hub.config().node {
            return Err(Refusal::system(
                "register broker failed: the name belongs to the name server's own broker",
            ));
        }
        Ok(())
    }
}

/// UNREGISTER_BROKER.
pub(super) fn unregister(door: &NameServer, call: &Call) -> Answer {
    let header = UnregisterBroker::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Update)?;
    door.table
        .unregister(header.broker_name, header.broker_id, header.broker_addr);
    Ok(Reply::ok())
}

/// QUERY_DATA_VERSION: whether a full registration is needed.
pub(super) fn query_version(door: &NameServer, call: &Call) -> Answer {
    let header = QueryDataVersion::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Update)?;
    let asked: DataVersion = body::parse(&call.command.body)?;
    let known = door
        .table
        .version_of(header.broker_name, header.broker_addr);
    let changed = known != Some(asked);
    if !changed {
        door.table.renew(header.broker_name, header.broker_addr);
    }
    let reply = Reply::ok().with_header(&QueryDataVersionResponse { changed });
    match known {
        Some(known) => Ok(reply.with_body(body::write(&known)?)),
        None => Ok(reply),
    }
}

/// BROKER_HEARTBEAT.
pub(super) fn heartbeat(door: &NameServer, call: &Call) -> Answer {
    let header = BrokerHeartbeat::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Update)?;
    door.table.renew(header.broker_name, header.broker_addr);
    Ok(Reply::ok())
}

/// REGISTER_TOPIC_IN_NAMESRV.
pub(super) fn register_topic(door: &NameServer, call: &Call) -> Answer {
    let header = RegisterTopic::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Update)?;
    let route: TopicRoute = body::parse(&call.command.body)?;
    door.table.add_topic(header.topic, route)?;
    Ok(Reply::ok())
}

/// DELETE_TOPIC_IN_NAMESRV: topics of the hub itself go when the broker deletes them.
pub(super) fn delete_topic(door: &NameServer, call: &Call) -> Answer {
    let header = DeleteTopicInNamesrv::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Delete)?;
    let cluster = header.cluster_name.filter(|cluster| !cluster.is_empty());
    door.table.delete_topic(header.topic, cluster);
    Ok(Reply::ok())
}
