//! What operators of other brokers start by hand, and what replicas there are.

use crossdock_hub::Action;
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::table::HaStatus;

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// CLEAN_EXPIRED_CONSUMEQUEUE and CLEAN_UNUSED_TOPIC: the index of a queue ends with its messages, and a topic's queues
/// with the topic, so there is never anything left to clean.
pub(crate) fn nothing_left(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Update)?;
    Ok(Reply::ok())
}

/// DELETE_EXPIRED_COMMITLOG.
pub(crate) fn delete_expired(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Update)?;
    Err(Refusal::system(
        "expired parts of the log are deleted by the server itself and not on demand",
    ))
}

/// GET_BROKER_HA_STATUS: a master without replicas.
pub(crate) fn ha_status(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let (_, end) = door.hub.log_bounds();
    let body = HaStatus {
        ha_connection_info: [],
        in_sync_slave_nums: 0,
        master: true,
        master_commit_log_max_offset: i64::try_from(end.0).unwrap_or(i64::MAX),
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}
