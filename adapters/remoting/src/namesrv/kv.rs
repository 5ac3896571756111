//! KV entries: durable settings of the hub under namespaces of their own.

use std::sync::Arc;

use crossdock_hub::{Action, Hub};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::table::KvTable;
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::namesrv::{
    GetKvConfigResponse, GetKvList, KvConfigKey, PutKvConfig,
};

use super::NameServer;
use crate::auth;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Where the queues of globally ordered topics are written down.
const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Keeps the entries of clients apart from settings of the hub's own making.
fn stored(namespace: &str) -> String {
    format!("namesrv/{namespace}")
}

/// The entries of a namespace, or `None` if there are none.
fn table(hub: &Hub, namespace: &str) -> Option<KvTable> {
    let entries = hub.settings(&stored(namespace));
    if entries.is_empty() {
        return None;
    }
    let table = entries
        .into_iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    Some(KvTable { table })
}

/// The entries brokers are told when they register.
pub(super) fn order_table(hub: &Hub) -> KvTable {
    table(hub, ORDER_NAMESPACE).unwrap_or_default()
}

/// PUT_KV_CONFIG.
pub(super) fn put(door: Arc<NameServer>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = PutKvConfig::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Update)?;
        if header.namespace.is_empty() || header.key.is_empty() {
            return Err(Refusal::system("namespace or key is null"));
        }
        let namespace = stored(header.namespace);
        door.hub
            .put_setting(&namespace, header.key, header.value)
            .await?;
        Ok(Reply::ok())
    })
}

/// GET_KV_CONFIG.
pub(super) fn get(door: &NameServer, call: &Call) -> Answer {
    let header = KvConfigKey::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    match door.hub.setting(&stored(header.namespace), header.key) {
        Some(value) => Ok(Reply::ok().with_header(&GetKvConfigResponse {
            value: Some(&value),
        })),
        None => Err(Refusal::new(
            response::QUERY_NOT_FOUND,
            format!(
                "No config item, Namespace: {} Key: {}",
                header.namespace, header.key
            ),
        )),
    }
}

/// DELETE_KV_CONFIG.
pub(super) fn delete(door: Arc<NameServer>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = KvConfigKey::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Delete)?;
        // Deleting what is not there is what was asked for.
        door.hub
            .delete_setting(&stored(header.namespace), header.key)
            .await?;
        Ok(Reply::ok())
    })
}

/// GET_KVLIST_BY_NAMESPACE.
pub(super) fn list(door: &NameServer, call: &Call) -> Answer {
    let header = GetKvList::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    match table(&door.hub, header.namespace) {
        Some(table) => Ok(Reply::ok().with_body(body::write(&table)?)),
        None => Err(Refusal::new(
            response::QUERY_NOT_FOUND,
            format!("No config item, Namespace: {}", header.namespace),
        )),
    }
}
