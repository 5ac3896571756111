//! EndTransaction and RecallMessage: what becomes of a message that was sent and is not visible yet. The hub neither prepares
//! nor cancels yet; both say so.

use std::sync::Arc;

use crossdock_proto_grpc::v2::{
    Code, EndTransactionRequest, EndTransactionResponse, RecallMessageRequest,
    RecallMessageResponse,
};

use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::Refusal;
use crate::names;

pub(crate) async fn end(
    door: &Arc<Door>,
    call: &Call,
    request: EndTransactionRequest,
) -> Result<EndTransactionResponse, Refusal> {
    let topic = names::topic(&call.namespace, request.topic.as_ref())?;
    auth::may_send(&door.hub, call, topic.as_str())?;
    if request.transaction_id.trim().is_empty() {
        let text = "the transaction has no id";
        return Err(Refusal::new(Code::InvalidTransactionId, text));
    }
    Err(Refusal::not_implemented("a transaction"))
}

pub(crate) async fn recall(
    door: &Arc<Door>,
    call: &Call,
    request: RecallMessageRequest,
) -> Result<RecallMessageResponse, Refusal> {
    let topic = names::topic(&call.namespace, request.topic.as_ref())?;
    auth::may_send(&door.hub, call, topic.as_str())?;
    Err(Refusal::not_implemented("recalling a message"))
}
