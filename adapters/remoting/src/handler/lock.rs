//! Queue locks of ordered consumers. A lock belongs to a client id, so it does not matter over
//! which connection it is asked for.

use crossdock_hub::{Action, Actions, GroupName, QueueId, Resource};
use crossdock_proto_remoting::body::lock::{LockBatch, LockBatchResult};
use crossdock_proto_remoting::body::{self, MessageQueue};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Most queues of one request.
const QUEUES_MAX: usize = 16 * 1024;

struct Request {
    body: LockBatch,
    /// The queues this broker has, beside their place in the request.
    queues: Vec<(QueueId, MessageQueue)>,
}

impl Request {
    fn read(door: &Broker, call: &Call) -> Result<Self, Refusal> {
        let mut body: LockBatch = body::parse(&call.command.body)?;
        if body.mq_set.len() > QUEUES_MAX {
            return Err(Refusal::invalid("too many queues in one request"));
        }
        let mut needs: Vec<(Actions, Resource<'_>)> =
            vec![(Action::Sub.into(), Resource::group(&body.consumer_group))];
        for queue in &body.mq_set {
            let need = (Action::Sub.into(), auth::behind(&queue.topic));
            if needs.last() != Some(&need) {
                needs.push(need);
            }
        }
        door.hub.authorize(&call.identity, &needs)?;
        let mut queues = Vec::with_capacity(body.mq_set.len());
        for queue in std::mem::take(&mut body.mq_set) {
            let topic = door.hub.topic(&queue.topic);
            let number = u32::try_from(queue.queue_id).ok();
            let id = topic.zip(number).and_then(|(topic, n)| topic.queue(n).ok());
            if let Some(id) = id.filter(|_| queue.broker_name == door.name()) {
                queues.push((id, queue));
            }
        }
        Ok(Self { body, queues })
    }

    fn ids(&self) -> Vec<QueueId> {
        self.queues.iter().map(|(id, _)| *id).collect()
    }
}

/// LOCK_BATCH_MQ.
pub(crate) fn lock(door: &Broker, call: &Call) -> Answer {
    let request = Request::read(door, call)?;
    GroupName::parse(&request.body.consumer_group)?;
    let Some(group) = door.hub.group(&request.body.consumer_group) else {
        return Err(Refusal::no_group(&request.body.consumer_group));
    };
    let ids = request.ids();
    let mut granted = door.hub.lock_batch(&group, &request.body.client_id, &ids);
    granted.sort_unstable();
    let held = request.queues.into_iter();
    let locked = held
        .filter(|(id, _)| granted.binary_search(id).is_ok())
        .map(|(_, queue)| queue)
        .collect();
    Ok(Reply::ok().with_body(body::write(&LockBatchResult { locked })?))
}

/// UNLOCK_BATCH_MQ.
pub(crate) fn unlock(door: &Broker, call: &Call) -> Answer {
    let request = Request::read(door, call)?;
    if let Some(group) = door.hub.group(&request.body.consumer_group) {
        door.hub
            .unlock_batch(&group, &request.body.client_id, &request.ids());
    }
    Ok(Reply::ok())
}
