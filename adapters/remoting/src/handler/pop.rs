//! POP_MESSAGE: the group is given messages of any queue of a topic for a time, and settles each for itself. What members
//! that read by position sent back is popped as well, from the group's retry topic and under the topic it came from.

pub(super) mod ack;
mod answer;
mod check;
mod handle;
mod held;
pub(super) mod notice;
pub(super) mod peek;

use std::sync::Arc;

use crossdock_hub::{
    Acquire, Delivered, Group, HubError, LeaseTerm, Message, Part, Perm, StartAt, TagFilter, Topic,
    TopicName,
};

use crate::broker::Broker;
use crate::connection::Session;
use crate::dispatch::{Call, Flow};
use crate::stats::Stats;
use crate::translate::popped::{is_shown, sent_back_from};
use answer::Found;
use check::Pop;

/// Most bytes of one answer.
const BYTES_MAX: usize = 256 * 1024;
/// Of so many pops one looks for retries first; the others look there for what is missing in the end.
const RETRIES_FIRST: i32 = 5;

pub(crate) fn pop(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    let meta = call.meta();
    let door = Arc::clone(&session.door);
    Stats::count(&door.stats.pulls);
    let held = Pop::check(&door, &call).and_then(|pop| {
        let work = {
            let (door, peer) = (Arc::clone(&door), Arc::clone(&call.peer));
            let turn = meta.opaque;
            async move {
                let found = pop.run(&door, &peer, turn).await?;
                pop.answer(&door, found)
            }
        };
        held::run(&door, &call, work)
    });
    if let Err(refusal) = held {
        session.answer(&meta, Err(refusal));
    }
    Flow::Done
}

/// The group's retry topic, if it can be popped.
fn retry_topic(door: &Broker, group: &Group) -> Option<Arc<Topic>> {
    let name = TopicName::retry_of(&group.name);
    let topic = door.hub.topic(name.as_str())?;
    topic.perm.has(Perm::READ).then_some(topic)
}

/// What a message of a retry topic is asked by: where it was sent back from.
fn part_of(door: &Broker) -> impl Fn(&Message) -> u64 + Sync + '_ {
    |message| sent_back_from(&door.hub, message)
}

impl Pop {
    /// Finds messages, waiting for them as long as the client wants to.
    async fn run(
        &self,
        door: &Broker,
        peer: &crate::connection::Peer,
        turn: i32,
    ) -> Result<Found, crate::error::Refusal> {
        let group = self.group(door).await?;
        door.hub
            .mark_leasing(&group, peer.id, None, &self.topic, true);
        let is_ordered = self.is_ordered || group.config.is_ordered;
        let term = LeaseTerm::For(self.invisible);
        self.begin(door, &group).await?;
        let accept = |message: &Message| self.wanted.accepts(message);
        let main = Acquire {
            group: &group,
            topic: &self.topic,
            queues: self.queues(),
            filter: self.wanted.filter(),
            accept: &accept,
            max: self.max,
            bytes: BYTES_MAX,
            term,
            is_ordered,
            attempt_id: self.attempt_id.as_deref(),
            part: None,
            start: self.start,
        };
        // In order nothing is sent back, and a retry topic has no retries of its own.
        let retry = (!is_ordered && !self.is_retry())
            .then(|| retry_topic(door, &group))
            .flatten();
        if let Some(retry) = &retry {
            door.hub.presume_leasing(&group, peer.id, retry);
        }
        let of = part_of(door);
        let again = retry.as_ref().map(|topic| Acquire {
            topic,
            queues: &[],
            filter: &TagFilter::All,
            accept: &is_shown,
            is_ordered: false,
            attempt_id: None,
            part: Some(Part {
                of: &of,
                wanted: self.topic.id.into(),
            }),
            start: StartAt::First,
            ..main
        });
        let is_retry_first = turn % RETRIES_FIRST == 0;
        let (first, second) = match &again {
            Some(again) if is_retry_first => (again, Some(&main)),
            Some(again) => (&main, Some(again)),
            None => (&main, None),
        };
        let (first, second) = look(door, first, second).await?;
        let (mut fresh, mut returned) = match &again {
            Some(_) if is_retry_first => (second, first),
            _ => (first, second),
        };
        if fresh.is_empty() && returned.is_empty() {
            (fresh, returned) = wait(door, &main, again.as_ref(), self.deadline).await?;
        }
        let mut rest = door.hub.remaining(&main).unwrap_or(0);
        if let Some(again) = &again {
            rest += door.hub.remaining(again).unwrap_or(0);
        }
        if peer.closed.is_cancelled() {
            door.hub.take_back(&group, &self.topic, &fresh);
            if let Some(retry) = &retry {
                door.hub.take_back(&group, retry, &returned);
            }
        }
        Ok(Found {
            group: Arc::clone(&group),
            retry,
            fresh,
            returned,
            rest,
            is_ordered,
        })
    }

    /// Where a new group that wants to begin at the end begins in young queues: with their first message, as members that
    /// read by position do.
    async fn begin(&self, door: &Broker, group: &Group) -> Result<(), crate::error::Refusal> {
        if self.start == StartAt::First {
            return Ok(());
        }
        for queue in 0..self.topic.read_queues {
            if door.hub.position(group, &self.topic, queue)?.is_none()
                && super::offset::is_young(door, &self.topic, queue).await?
            {
                door.hub.begin_at(group, &self.topic, queue, 0)?;
            }
        }
        Ok(())
    }
}

/// What is there now, of the second only what the first leaves room for.
async fn look(
    door: &Broker,
    first: &Acquire<'_>,
    second: Option<&Acquire<'_>>,
) -> Result<(Vec<Delivered>, Vec<Delivered>), HubError> {
    let found = door.hub.acquire(first).await?;
    let Some(second) = second.filter(|_| found.len() < first.max) else {
        return Ok((found, Vec::new()));
    };
    let bytes: usize = found.iter().map(|d| d.message.record.bytes as usize).sum();
    if !found.is_empty() && bytes >= BYTES_MAX {
        return Ok((found, Vec::new()));
    }
    let rest = Acquire {
        max: first.max - found.len(),
        bytes: BYTES_MAX - bytes.min(BYTES_MAX),
        part: second.part.as_ref().map(|part| Part { ..*part }),
        ..*second
    };
    match door.hub.acquire(&rest).await {
        Ok(more) => Ok((found, more)),
        // What was found is worth an answer.
        Err(error) if !found.is_empty() => {
            tracing::debug!(%error, topic = %second.topic.name, "pop of the rest failed");
            Ok((found, Vec::new()))
        }
        Err(error) => Err(error),
    }
}

/// Waits for either.
async fn wait(
    door: &Broker,
    main: &Acquire<'_>,
    again: Option<&Acquire<'_>>,
    deadline: tokio::time::Instant,
) -> Result<(Vec<Delivered>, Vec<Delivered>), HubError> {
    let waited = door.hub.acquire_wait(main, deadline);
    let Some(again) = again else {
        return Ok((waited.await?, Vec::new()));
    };
    tokio::select! {
        fresh = waited => Ok((fresh?, Vec::new())),
        returned = door.hub.acquire_wait(again, deadline) => Ok((Vec::new(), returned?)),
    }
}
