//! Leased consumption: ReceiveMessage, AckMessage, ChangeInvisibleDuration, ForwardMessageToDeadLetterQueue, and the lite
//! topics that are read through it. The hub does not lease yet; every method says so in its own form, so that clients get
//! an answer they understand.

use std::convert::Infallible;
use std::sync::Arc;

use crossdock_proto_grpc::v2::{
    AckMessageRequest, AckMessageResponse, AckMessageResultEntry, ChangeInvisibleDurationRequest,
    ChangeInvisibleDurationResponse, ForwardMessageToDeadLetterQueueRequest,
    ForwardMessageToDeadLetterQueueResponse, ReceiveMessageRequest, SyncLiteSubscriptionRequest,
    SyncLiteSubscriptionResponse,
};

use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::Refusal;
use crate::names;

pub(crate) async fn receive(
    door: &Arc<Door>,
    call: &Call,
    request: ReceiveMessageRequest,
) -> Result<Infallible, Refusal> {
    let queue = request.message_queue.unwrap_or_default();
    let topic = names::topic(&call.namespace, queue.topic.as_ref())?;
    let group = names::group(&call.namespace, request.group.as_ref())?;
    auth::may_consume(&door.hub, call, topic.as_str(), group.as_str())?;
    Err(Refusal::not_implemented("receiving messages by lease"))
}

pub(crate) async fn ack(
    door: &Arc<Door>,
    call: &Call,
    request: AckMessageRequest,
) -> Result<AckMessageResponse, Refusal> {
    let topic = names::topic(&call.namespace, request.topic.as_ref())?;
    let group = names::group(&call.namespace, request.group.as_ref())?;
    auth::may_consume(&door.hub, call, topic.as_str(), group.as_str())?;
    let refusal = Refusal::not_implemented("acknowledging a lease");
    // One result for each entry, whatever the whole came to.
    let entries = request
        .entries
        .into_iter()
        .map(|entry| AckMessageResultEntry {
            message_id: entry.message_id,
            receipt_handle: entry.receipt_handle,
            status: Some(refusal.clone().into()),
        });
    Ok(AckMessageResponse {
        entries: entries.collect(),
        status: Some(refusal.into()),
    })
}

/// Some clients keep whatever handle comes back, so the one they have is echoed.
pub(crate) async fn change_invisible(
    door: &Arc<Door>,
    call: &Call,
    request: ChangeInvisibleDurationRequest,
) -> Result<ChangeInvisibleDurationResponse, Refusal> {
    let outcome = names::group(&call.namespace, request.group.as_ref())
        .and_then(|group| auth::may_join(&door.hub, call, group.as_str()));
    let refusal = outcome
        .err()
        .unwrap_or_else(|| Refusal::not_implemented("changing a lease"));
    Ok(ChangeInvisibleDurationResponse {
        status: Some(refusal.into()),
        receipt_handle: request.receipt_handle,
    })
}

pub(crate) async fn forward_to_dead_letters(
    door: &Arc<Door>,
    call: &Call,
    request: ForwardMessageToDeadLetterQueueRequest,
) -> Result<ForwardMessageToDeadLetterQueueResponse, Refusal> {
    let topic = names::topic(&call.namespace, request.topic.as_ref())?;
    let group = names::group(&call.namespace, request.group.as_ref())?;
    auth::may_consume(&door.hub, call, topic.as_str(), group.as_str())?;
    Err(Refusal::not_implemented("forwarding a leased message"))
}

pub(crate) async fn sync_lite_subscription(
    door: &Arc<Door>,
    call: &Call,
    request: SyncLiteSubscriptionRequest,
) -> Result<SyncLiteSubscriptionResponse, Refusal> {
    let topic = names::topic(&call.namespace, request.topic.as_ref())?;
    let group = names::group(&call.namespace, request.group.as_ref())?;
    auth::may_consume(&door.hub, call, topic.as_str(), group.as_str())?;
    Err(Refusal::not_implemented("a lite topic"))
}
