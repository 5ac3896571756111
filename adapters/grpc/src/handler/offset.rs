//! GetOffset, UpdateOffset and QueryOffset: where a group stands, and where a queue begins, ends, or was at a time.

use std::sync::Arc;

use crossdock_hub::{Boundary, Committed, Topic};
use crossdock_proto_grpc::v2::{
    Code, GetOffsetRequest, GetOffsetResponse, MessageQueue, QueryOffsetPolicy, QueryOffsetRequest,
    QueryOffsetResponse, UpdateOffsetRequest, UpdateOffsetResponse,
};

use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::{Refusal, ok};
use crate::names;
use crate::translate::time;

/// A queue that may be read.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) topic: Arc<Topic>,
    pub(super) queue: u32,
}

impl Place {
    /// The queue a request names, which has to exist.
    pub(super) fn find(
        door: &Door,
        call: &Call,
        queue: Option<&MessageQueue>,
    ) -> Result<Self, Refusal> {
        let queue = queue.ok_or_else(|| Refusal::bad("the request names no queue"))?;
        let name = names::topic(&call.namespace, queue.topic.as_ref())?;
        auth::may_look_up(&door.hub, call, name.as_str())?;
        let topic = door.hub.require_topic(name.as_str())?;
        let number = u32::try_from(queue.id).ok();
        let number = number.filter(|number| *number < topic.read_queues);
        let number = number.ok_or_else(|| {
            Refusal::bad(format!(
                "topic {name} has no queue {}, its queues are 0 to {}",
                queue.id,
                topic.read_queues.saturating_sub(1)
            ))
        })?;
        Ok(Self {
            topic,
            queue: number,
        })
    }
}

fn wire(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// An offset of the wire.
pub(super) fn offset(said: i64) -> Result<u64, Refusal> {
    u64::try_from(said).map_err(|_| {
        let text = format!("{said} is no offset");
        Refusal::new(Code::IllegalOffset, text)
    })
}

pub(crate) async fn get(
    door: &Arc<Door>,
    call: &Call,
    request: GetOffsetRequest,
) -> Result<GetOffsetResponse, Refusal> {
    let group = names::group(&call.namespace, request.group.as_ref())?;
    auth::may_join(&door.hub, call, group.as_str())?;
    let place = Place::find(door, call, request.message_queue.as_ref())?;
    let group = door.hub.require_group(group.as_str())?;
    let position = door.hub.position(&group, &place.topic, place.queue)?;
    let Some(position) = position else {
        let text = format!("group {} has no position there", group.name);
        return Err(Refusal::new(Code::OffsetNotFound, text));
    };
    Ok(GetOffsetResponse {
        status: Some(ok()),
        offset: wire(position),
    })
}

pub(crate) async fn update(
    door: &Arc<Door>,
    call: &Call,
    request: UpdateOffsetRequest,
) -> Result<UpdateOffsetResponse, Refusal> {
    let name = names::group(&call.namespace, request.group.as_ref())?;
    auth::may_join(&door.hub, call, name.as_str())?;
    let place = Place::find(door, call, request.message_queue.as_ref())?;
    let offset = offset(request.offset)?;
    let group = door.hub.ensure_group(&name).await?;
    let hub = &door.hub;
    let committed = hub.commit_durable(&group, &place.topic, place.queue, offset);
    match committed.await? {
        Committed::Taken => Ok(UpdateOffsetResponse { status: Some(ok()) }),
        Committed::ResetPending => {
            let text = "the position was moved by an operator; read it anew";
            Err(Refusal::new(Code::IllegalOffset, text))
        }
    }
}

pub(crate) async fn query(
    door: &Arc<Door>,
    call: &Call,
    request: QueryOffsetRequest,
) -> Result<QueryOffsetResponse, Refusal> {
    let place = Place::find(door, call, request.message_queue.as_ref())?;
    let bounds = door.hub.bounds(&place.topic, place.queue)?;
    let found = match QueryOffsetPolicy::try_from(request.query_offset_policy) {
        Ok(QueryOffsetPolicy::Beginning) => bounds.min,
        Ok(QueryOffsetPolicy::End) => bounds.max,
        Ok(QueryOffsetPolicy::Timestamp) => {
            let ms = request.timestamp.as_ref().and_then(time::millis);
            let ms = ms.ok_or_else(|| Refusal::bad("the request names no time"))?;
            let hub = &door.hub;
            hub.offset_by_time(&place.topic, place.queue, ms, Boundary::Lower)?
        }
        Err(_) => {
            let text = format!("{} is not a policy", request.query_offset_policy);
            return Err(Refusal::bad(text));
        }
    };
    Ok(QueryOffsetResponse {
        status: Some(ok()),
        offset: wire(found),
    })
}
