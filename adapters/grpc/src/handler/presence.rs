//! Heartbeat and NotifyClientTermination. Neither is a precondition of anything: clients send and receive before their first
//! heartbeat, and say goodbye without ever having said hello.

use std::sync::Arc;

use crossdock_hub::{ConsumeKind, GroupName};
use crossdock_proto_grpc::v2::{
    ClientType, Code, HeartbeatRequest, HeartbeatResponse, NotifyClientTerminationRequest,
    NotifyClientTerminationResponse,
};

use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::{Refusal, ok};
use crate::names;
use crate::session::Role;

pub(crate) async fn heartbeat(
    door: &Arc<Door>,
    call: &Call,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, Refusal> {
    let kind = consume_kind(request.client_type)?;
    let session = door.sessions.enter(&door.hub, call)?;
    match kind {
        None => session.beat(&door.hub).await?,
        Some(kind) => {
            let group = names::group(&call.namespace, request.group.as_ref())?;
            auth::may_join(&door.hub, call, group.as_str())?;
            if is_known_as_member(session.role(), &group) {
                session.beat(&door.hub).await?;
            } else {
                // What it subscribes to comes with its settings; it is a member without them.
                session.join(&door.hub, &group, kind, None).await?;
            }
        }
    }
    Ok(HeartbeatResponse { status: Some(ok()) })
}

fn is_known_as_member(role: Option<Role>, name: &GroupName) -> bool {
    matches!(role, Some(Role::Consumer { group, .. }) if group == *name)
}

/// How a client of this type gets its messages; `None` for a producer.
pub(crate) fn consume_kind(client_type: i32) -> Result<Option<ConsumeKind>, Refusal> {
    match ClientType::try_from(client_type) {
        Ok(ClientType::Producer) => Ok(None),
        Ok(
            ClientType::PushConsumer
            | ClientType::SimpleConsumer
            | ClientType::LitePushConsumer
            | ClientType::LiteSimpleConsumer,
        ) => Ok(Some(ConsumeKind::Leased)),
        Ok(ClientType::PullConsumer) => Ok(Some(ConsumeKind::Actively)),
        Ok(ClientType::Unspecified) | Err(_) => Err(Refusal::new(
            Code::UnrecognizedClientType,
            format!("{client_type} is not a type of client"),
        )),
    }
}

/// Always good: a client that cannot say goodbye would report a failure of its own shutdown.
pub(crate) async fn terminate(
    door: &Arc<Door>,
    call: &Call,
    _request: NotifyClientTerminationRequest,
) -> Result<NotifyClientTerminationResponse, Refusal> {
    door.sessions.leave(&door.hub, call);
    Ok(NotifyClientTerminationResponse { status: Some(ok()) })
}
