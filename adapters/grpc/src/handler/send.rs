//! SendMessage: messages of one topic, taken together or not at all. Clients repeat a failed send at once and under the same
//! ids, so nothing of a refused request may be stored.

use std::sync::Arc;

use crossdock_proto_grpc::v2::{
    Code, MessageType, SendMessageRequest, SendMessageResponse, SendResultEntry,
};

use super::route;
use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::{Refusal, ok};
use crate::names;
use crate::stats::Stats;
use crate::translate::incoming::Incoming;

pub(crate) async fn send(
    door: &Arc<Door>,
    call: &Call,
    request: SendMessageRequest,
) -> Result<SendMessageResponse, Refusal> {
    let corrupted = |text| Refusal::new(Code::MessageCorrupted, text);
    let count = request.messages.len();
    if count > door.config.batch_max {
        let max = door.config.batch_max;
        return Err(Refusal::bad(format!(
            "{count} messages are more than {max}"
        )));
    }
    let Some(first) = request.messages.first() else {
        return Err(corrupted("the request holds no message"));
    };
    let named = first.topic.clone();
    if request
        .messages
        .iter()
        .any(|message| message.topic != named)
    {
        return Err(corrupted("the messages of a request have one topic"));
    }
    let name = names::users_topic(&door.hub, &call.namespace, named.as_ref())?;
    if name.retry_group().is_some() || name.dead_group().is_some() {
        let text = "messages reach a group's own topics through its consumers";
        return Err(Refusal::new(Code::IllegalTopic, text));
    }
    auth::may_send(&door.hub, call, name.as_str())?;
    let now_ms = door.hub.now_ms();
    let messages = request
        .messages
        .into_iter()
        .map(|message| Incoming::read(message, &door.config, call.peer.address, now_ms))
        .collect::<Result<Vec<_>, _>>()?;
    if messages
        .iter()
        .any(|message| message.kind == MessageType::Transaction)
    {
        return Err(Refusal::not_implemented("a transaction"));
    }
    let topic = match door.hub.topic(name.as_str()) {
        Some(topic) => topic,
        None => route::create(door, &name).await?,
    };
    let publishes = messages
        .iter()
        .map(|message| message.publish(&topic, &door.stamp))
        .collect::<Result<Vec<_>, _>>()?;
    let ready = door.hub.prepare_batch(publishes)?;
    let receipt = door.hub.submit_wait(ready).await?;
    Stats::add(&door.stats.messages_in, receipt.len() as u64);
    let entries = messages.into_iter().zip(&receipt);
    Ok(SendMessageResponse {
        status: Some(ok()),
        entries: entries
            .map(|(message, placed)| SendResultEntry {
                status: Some(ok()),
                message_id: message.id,
                transaction_id: String::new(),
                offset: i64::try_from(placed.offset).unwrap_or(i64::MAX),
                recall_handle: String::new(),
            })
            .collect(),
    })
}
