//! RECALL_MESSAGE: a producer takes back a message before it is due. Success is answered only if the message will surely
//! not be delivered; the store decides between the recall and the delivery.

use std::sync::Arc;

use crossdock_hub::{HubError, Message, Position, ReadError, Topic};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::send::{RecallMessage, RecallResponse};
use crossdock_proto_remoting::record::{MessageId, Properties, RecallHandle};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::outgoing::texts;

/// Most waiting messages with one unique key that are looked at: a send that is tried again leaves two.
const COPIES_MAX: usize = 64;

pub(crate) fn recall(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { take_back(&door, &call).await })
}

fn illegal(remark: &'static str) -> Refusal {
    Refusal::new(response::ILLEGAL_OPERATION, remark)
}

/// What a recall names.
struct Named {
    copies: Vec<Message>,
    uniq_key: String,
}

async fn take_back(door: &Broker, call: &Call) -> Answer {
    let header = RecallMessage::parse(&call.command.ext)?;
    auth::may_send(&door.hub, call, header.topic)?;
    let topic = door.hub.topic(header.topic);
    let topic = topic.ok_or_else(|| Refusal::no_topic(header.topic))?;
    let named = match header.recall_handle.parse::<MessageId>() {
        Ok(id) => by_id(door, &topic, id).await?,
        Err(_) => by_handle(door, &topic, header.recall_handle).await?,
    };
    let mut is_recalled = !named.copies.is_empty();
    for copy in &named.copies {
        is_recalled &= door.hub.cancel(copy.record.position).await?;
    }
    if !is_recalled {
        return Err(illegal("the message does not wait for its time any more"));
    }
    Ok(Reply::ok().with_header(&RecallResponse {
        msg_id: &named.uniq_key,
    }))
}

async fn by_handle(door: &Broker, topic: &Topic, handle: &str) -> Result<Named, Refusal> {
    let handle = RecallHandle::decode(handle).map_err(|_| illegal("recall handle is invalid"))?;
    if handle.topic() != topic.name.as_str() {
        return Err(illegal("topic not match"));
    }
    if handle.broker() != door.name() {
        return Err(illegal("broker name not match"));
    }
    if handle.deliver_ms <= door.hub.now_ms() {
        return Err(illegal("the delivery time of the message is past"));
    }
    let key = handle.uniq_key();
    let mut copies = door.hub.pending_by_key(topic, key, COPIES_MAX).await?;
    copies.retain(|copy| {
        copy.record.due_ms() == Some(handle.deliver_ms)
            && uniq_key(copy).is_some_and(|of_copy| of_copy == key)
    });
    Ok(Named {
        copies,
        uniq_key: key.to_owned(),
    })
}

/// By the id of the message in the log, as the answer to its send gave it.
async fn by_id(door: &Broker, topic: &Topic, id: MessageId) -> Result<Named, Refusal> {
    let missing = || illegal("the message id names no message of the topic");
    let position = u64::try_from(id.offset).map_err(|_| missing())?;
    let message = match door.hub.view(Position(position)).await {
        Ok(message) => message,
        Err(HubError::Read(ReadError::NotFound(_) | ReadError::Expired(_))) => {
            return Err(missing());
        }
        Err(error) => return Err(error.into()),
    };
    let target = message.record.target().ok_or_else(missing)?;
    let of_message = door.hub.topic_of(target);
    if of_message.is_none_or(|(of_message, _)| of_message.id != topic.id) {
        return Err(missing());
    }
    Ok(Named {
        uniq_key: uniq_key(&message).unwrap_or_else(|| id.to_string()),
        copies: vec![message],
    })
}

fn uniq_key(message: &Message) -> Option<String> {
    let texts = texts(message)?;
    let properties = Properties::new(&texts.properties);
    properties
        .get(crossdock_proto_remoting::record::properties::name::UNIQ_KEY)
        .map(str::to_owned)
}
