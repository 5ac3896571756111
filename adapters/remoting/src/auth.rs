//! Who sends a request, and whether it may. Signatures cover the received field values byte for
//! byte, so they are checked before anything is parsed. Each request family names what it needs.

use crossdock_hub::{
    Action, Actions, Credentials, DEAD_PREFIX, Hub, Identity, RETRY_PREFIX, Resource,
};
use crossdock_proto_remoting::{Command, sign};
use smallvec::SmallVec;

use crate::connection::Peer;
use crate::dispatch::Call;
use crate::error::Refusal;

/// Tells who sends a request.
pub(crate) async fn identify(
    hub: &Hub,
    command: &Command,
    peer: &Peer,
) -> Result<Identity, Refusal> {
    let shown = command.ext.get(sign::ACCESS_KEY);
    let Some(access_key) = shown else {
        let is_loopback = peer.address.ip().is_loopback();
        let anonymous = Credentials::Anonymous { is_loopback };
        return hub.authenticate(anonymous).await.map_err(refused);
    };
    let content = sign::content(command);
    let signed = Credentials::Signature {
        access_key,
        content: &[&content],
        signature: command.ext.get(sign::SIGNATURE).unwrap_or_default(),
    };
    hub.authenticate(signed).await.map_err(refused)
}

fn refused(error: crossdock_hub::HubError) -> Refusal {
    Refusal::denied(error.to_string())
}

/// Checks one need.
pub(crate) fn may(
    hub: &Hub,
    call: &Call,
    actions: impl Into<Actions>,
    resource: Resource<'_>,
) -> Result<(), Refusal> {
    Ok(hub.authorize(&call.identity, &[(actions.into(), resource)])?)
}

/// The resource behind a topic name: retry and dead-letter topics belong to their group.
pub(crate) fn behind(topic: &str) -> Resource<'_> {
    let owned = topic
        .strip_prefix(RETRY_PREFIX)
        .or_else(|| topic.strip_prefix(DEAD_PREFIX));
    match owned {
        Some(group) => Resource::group(group),
        None => Resource::topic(topic),
    }
}

/// Publishing to a topic; a retry needs what consuming needs.
pub(crate) fn may_send(hub: &Hub, call: &Call, topic: &str) -> Result<(), Refusal> {
    match topic.strip_prefix(RETRY_PREFIX) {
        Some(group) => may(hub, call, Action::Sub, Resource::group(group)),
        None => may(hub, call, Action::Pub, Resource::topic(topic)),
    }
}

/// Consuming a topic for a group.
pub(crate) fn may_pull(hub: &Hub, call: &Call, topic: &str, group: &str) -> Result<(), Refusal> {
    let mut needs: SmallVec<[(Actions, Resource<'_>); 2]> = SmallVec::new();
    needs.push((Action::Sub.into(), Resource::group(group)));
    if !topic.starts_with(RETRY_PREFIX) {
        needs.push((Action::Sub.into(), Resource::topic(topic)));
    }
    Ok(hub.authorize(&call.identity, &needs)?)
}

/// Asking for a group's offsets in a topic, or for its members.
pub(crate) fn may_ask_group(
    hub: &Hub,
    call: &Call,
    group: &str,
    topic: Option<&str>,
    actions: Actions,
) -> Result<(), Refusal> {
    let mut needs: SmallVec<[(Actions, Resource<'_>); 2]> = SmallVec::new();
    needs.push((actions, Resource::group(group)));
    if let Some(topic) = topic {
        needs.push((actions, behind(topic)));
    }
    Ok(hub.authorize(&call.identity, &needs)?)
}

/// Something that concerns the whole cluster.
pub(crate) fn may_cluster(
    hub: &Hub,
    call: &Call,
    actions: impl Into<Actions>,
) -> Result<(), Refusal> {
    let cluster = hub.config().cluster.as_str();
    may(hub, call, actions, Resource::cluster(cluster))
}
