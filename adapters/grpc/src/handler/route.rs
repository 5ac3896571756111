//! QueryRoute and QueryAssignment: which queues a topic has, and which of them a consumer reads. The endpoints that are
//! answered are those the client dialled, so that it comes back the same way through whatever lies between.

use std::sync::Arc;

use crossdock_hub::{HubError, Perm, TEMPLATE_TOPIC, Topic, TopicName};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::{
    Assignment, Code, Endpoints, MessageQueue, Permission, QueryAssignmentRequest,
    QueryAssignmentResponse, QueryRouteRequest, QueryRouteResponse, Resource,
};

use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::{Refusal, ok};
use crate::names;
use crate::translate::kind;

/// The number that stands for every queue of a topic.
const EVERY_QUEUE: i32 = -1;

pub(crate) async fn query_route(
    door: &Arc<Door>,
    call: &Call,
    request: QueryRouteRequest,
) -> Result<QueryRouteResponse, Refusal> {
    let name = names::users_topic(&door.hub, &call.namespace, request.topic.as_ref())?;
    let endpoints = dialled(request.endpoints)?;
    auth::may_look_up(&door.hub, call, name.as_str())?;
    let topic = find_or_create(door, call, &name).await?;
    let resource = request.topic.unwrap_or_default();
    let queues = (0..topic.queues()).map(|number| {
        queue(
            door,
            &topic,
            &resource,
            &endpoints,
            number,
            permission(&topic, number),
        )
    });
    Ok(QueryRouteResponse {
        status: Some(ok()),
        message_queues: queues.collect(),
    })
}

/// The topic; who may publish to it brings it into being by asking, since clients ask before they publish.
async fn find_or_create(door: &Door, call: &Call, name: &TopicName) -> Result<Arc<Topic>, Refusal> {
    if let Some(topic) = door.hub.topic(name.as_str()) {
        return Ok(topic);
    }
    if auth::may_send(&door.hub, call, name.as_str()).is_err() {
        return Err(HubError::NoTopic(name.to_string()).into());
    }
    create(door, name).await
}

/// The topic, created like the template if there is none and the configuration allows it.
pub(crate) async fn create(door: &Door, name: &TopicName) -> Result<Arc<Topic>, Refusal> {
    let queues = door.hub.config().default_queues;
    Ok(door.hub.ensure_topic(name, TEMPLATE_TOPIC, queues).await?)
}

pub(crate) async fn query_assignment(
    door: &Arc<Door>,
    call: &Call,
    request: QueryAssignmentRequest,
) -> Result<QueryAssignmentResponse, Refusal> {
    let name = names::topic(&call.namespace, request.topic.as_ref())?;
    let group = names::group(&call.namespace, request.group.as_ref())?;
    let endpoints = dialled(request.endpoints)?;
    auth::may_consume(&door.hub, call, name.as_str(), group.as_str())?;
    let topic = door.hub.require_topic(name.as_str())?;
    if !topic.perm.has(Perm::READ) || topic.read_queues == 0 {
        let text = format!("topic {name} has no queue that can be read");
        return Err(Refusal::new(Code::Forbidden, text));
    }
    // Members are not told apart: each asks for messages of every queue and the lease decides who gets one.
    let resource = request.topic.unwrap_or_default();
    let mut every = queue(door, &topic, &resource, &endpoints, 0, Permission::Read);
    every.id = EVERY_QUEUE;
    Ok(QueryAssignmentResponse {
        status: Some(ok()),
        assignments: vec![Assignment {
            message_queue: Some(every),
        }],
    })
}

/// The endpoints a client says it dialled.
fn dialled(endpoints: Option<Endpoints>) -> Result<Endpoints, Refusal> {
    let endpoints = endpoints.unwrap_or_default();
    let scheme = v2::AddressScheme::try_from(endpoints.scheme);
    let is_known = scheme.is_ok_and(|scheme| scheme != v2::AddressScheme::Unspecified);
    if endpoints.addresses.is_empty() || !is_known {
        let text = "the request does not say at which address the server was reached";
        return Err(Refusal::new(Code::IllegalAccessPoint, text));
    }
    Ok(endpoints)
}

fn permission(topic: &Topic, number: u32) -> Permission {
    let reads = topic.perm.has(Perm::READ) && number < topic.read_queues;
    let writes = topic.perm.has(Perm::WRITE) && number < topic.write_queues;
    match (reads, writes) {
        (true, true) => Permission::ReadWrite,
        (true, false) => Permission::Read,
        (false, true) => Permission::Write,
        (false, false) => Permission::None,
    }
}

fn queue(
    door: &Door,
    topic: &Topic,
    resource: &Resource,
    endpoints: &Endpoints,
    number: u32,
    permission: Permission,
) -> MessageQueue {
    MessageQueue {
        topic: Some(resource.clone()),
        id: i32::try_from(number).unwrap_or(i32::MAX),
        permission: permission.into(),
        broker: Some(v2::Broker {
            name: door.hub.config().node.clone(),
            id: 0,
            endpoints: Some(endpoints.clone()),
        }),
        accept_message_types: kind::accepted(topic)
            .iter()
            .map(|kind| i32::from(*kind))
            .collect(),
    }
}
