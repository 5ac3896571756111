//! PULL_MESSAGE and LITE_PULL_MESSAGE: the checks in the order of the reference broker, one read
//! from memory, and then an answer, a read from disk, or a wait for messages.

mod check;
pub(super) mod hold;

use std::sync::Arc;

use crossdock_hub::{Bounds, HubError, Message, ReadLimits, ReadOutcome, ReadStatus};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pull::PullResponse;

use crate::broker::Broker;
use crate::connection::Session;
use crate::dispatch::{Call, Flow};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::stats::Stats;
use crate::trace;
use crate::translate::outgoing::Records;
use crate::translate::select;
use check::{Pull, Selector};

/// Most messages and bytes of one answer.
const RECORDS_MAX: usize = 32;
const BYTES_MAX: usize = 256 * 1024;
/// Index entries looked at for one answer.
const SCANNED_MAX: usize = 800;

pub(crate) fn pull(session: &mut Session<Broker>, call: Call) -> Flow<Broker> {
    let meta = call.meta();
    let door = &session.door;
    if let Some(creation) = check::group_to_create(door, &call) {
        return Flow::Wait(creation, Box::new(move |session| pull(session, call)));
    }
    Stats::count(&door.stats.pulls);
    let answer = match Pull::check(door, &call) {
        Err(refusal) => Err(refusal),
        Ok(mut pull) => match pull.first_read(door) {
            First::Answer(answer) => answer,
            First::Disk => {
                let door = Arc::clone(door);
                return Flow::Task(Box::pin(async move { pull.last_look(&door).await }));
            }
            First::Wait => match hold::hold(door, &call, pull) {
                Ok(()) => return Flow::Done,
                Err(refusal) => Err(refusal),
            },
        },
    };
    session.answer(&meta, answer);
    Flow::Done
}

/// What the first look at the queue came to.
#[expect(
    clippy::large_enum_variant,
    reason = "made once per pull and taken apart at once"
)]
enum First {
    Answer(Answer),
    /// The disk has to be asked.
    Disk,
    /// Nothing there, and the client is willing to wait.
    Wait,
}

impl Pull {
    fn limits(&self) -> ReadLimits {
        ReadLimits {
            records: self.records_max.clamp(1, RECORDS_MAX),
            bytes: BYTES_MAX,
            scanned: SCANNED_MAX,
        }
    }

    fn first_read(&mut self, door: &Broker) -> First {
        if self.offset < 0 {
            return First::Answer(self.below_the_queue(door));
        }
        if let Some(offset) = door.hub.take_reset(&self.group, &self.topic, self.queue) {
            return First::Answer(self.was_reset(door, offset));
        }
        match self.try_read(door) {
            None => First::Disk,
            Some(Err(error)) => First::Answer(Err(error.into())),
            Some(Ok(outcome)) if self.waits_after(&outcome) => First::Wait,
            Some(Ok(outcome)) if self.goes_on_after(&outcome) => {
                self.advance(outcome.next);
                First::Disk
            }
            Some(Ok(outcome)) => First::Answer(self.answer(door, &outcome)),
        }
    }

    fn try_read(&self, door: &Broker) -> Option<Result<ReadOutcome, HubError>> {
        let (from, limits) = (self.from(), self.limits());
        let (hub, topic, queue) = (&door.hub, &*self.topic, self.queue);
        match &self.selector {
            Selector::Tags(tags) => hub.try_read(topic, queue, from, limits, tags),
            Selector::Sql(filter) => {
                let wants = |message: &Message| select::wants(filter, message);
                hub.try_read_where(topic, queue, from, limits, wants)
            }
        }
    }

    async fn read(&self, door: &Broker) -> Result<ReadOutcome, Refusal> {
        let (from, limits) = (self.from(), self.limits());
        let (hub, topic, queue) = (&door.hub, &*self.topic, self.queue);
        Ok(match &self.selector {
            Selector::Tags(tags) => hub.read(topic, queue, from, limits, tags).await?,
            Selector::Sql(filter) => {
                let wants = |message: &Message| select::wants(filter, message);
                hub.read_where(topic, queue, from, limits, wants).await?
            }
        })
    }

    /// Goes on behind what is not wanted.
    fn advance(&mut self, next: u64) {
        self.offset = i64::try_from(next).unwrap_or(i64::MAX);
    }

    /// The first few messages are not wanted and others follow: looking at those is not for the connection's own task.
    fn goes_on_after(&self, outcome: &ReadOutcome) -> bool {
        matches!(self.selector, Selector::Sql(_))
            && outcome.status == ReadStatus::NoMatch
            && outcome.next < outcome.bounds.max
    }

    fn from(&self) -> u64 {
        u64::try_from(self.offset).unwrap_or(0)
    }

    /// The end of the queue is reached and the client asked to be held there.
    fn waits_after(&self, outcome: &ReadOutcome) -> bool {
        self.hold.is_some() && self.is_at_end(outcome)
    }

    fn is_at_end(&self, outcome: &ReadOutcome) -> bool {
        match outcome.status {
            ReadStatus::AtEnd => true,
            ReadStatus::Empty => self.from() == outcome.bounds.max,
            ReadStatus::Found
            | ReadStatus::NoMatch
            | ReadStatus::TooSmall
            | ReadStatus::TooLarge => false,
        }
    }

    /// The answer to what a read found.
    fn answer(&self, door: &Broker, outcome: &ReadOutcome) -> Answer {
        let bounds = outcome.bounds;
        let (code, status, next) = match outcome.status {
            ReadStatus::Found => {
                return self.found(door, outcome);
            }
            ReadStatus::NoMatch => (
                response::PULL_RETRY_IMMEDIATELY,
                "NO_MATCHED_MESSAGE",
                outcome.next,
            ),
            ReadStatus::AtEnd => (response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", self.from()),
            ReadStatus::Empty if self.from() == bounds.max => {
                (response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", self.from())
            }
            ReadStatus::Empty => (
                response::PULL_OFFSET_MOVED,
                "NO_MESSAGE_IN_QUEUE",
                bounds.max,
            ),
            ReadStatus::TooSmall => (response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", bounds.min),
            ReadStatus::TooLarge => (
                response::PULL_OFFSET_MOVED,
                "OFFSET_OVERFLOW_BADLY",
                bounds.max,
            ),
        };
        Ok(self.reply(code, status, next, bounds))
    }

    fn found(&self, door: &Broker, outcome: &ReadOutcome) -> Answer {
        let mut records = Records::new(self.store_host, outcome.messages.len());
        for message in &outcome.messages {
            records.add(message, self.queue);
        }
        Stats::add(&door.stats.foreign_records_skipped, records.skipped as u64);
        Stats::add(&door.stats.messages_out, records.count as u64);
        door.hub.delivered(&self.group, &self.topic, records.count);
        if records.count == 0 {
            // Nothing this protocol can show; go on behind it.
            return Ok(self.reply(
                response::PULL_RETRY_IMMEDIATELY,
                "NO_MATCHED_MESSAGE",
                outcome.next,
                outcome.bounds,
            ));
        }
        Stats::count(&door.stats.pulls_found);
        if let Some(tracer) = door.hub.tracer() {
            let group = self.group.name.as_str();
            trace::delivered(tracer, &door.hub, group, &self.topic, &outcome.messages);
        }
        let reply = self.reply(response::SUCCESS, "FOUND", outcome.next, outcome.bounds);
        Ok(reply.with_slices(records.slices))
    }

    /// The answer without waiting: from disk, or when the client has been held long enough.
    async fn last_look(&self, door: &Broker) -> Answer {
        let outcome = self.read(door).await?;
        self.answer(door, &outcome)
    }

    fn was_reset(&self, door: &Broker, offset: u64) -> Answer {
        let bounds = door.hub.bounds(&self.topic, self.queue)?;
        Ok(self.reply(response::PULL_OFFSET_MOVED, "OFFSET_RESET", offset, bounds))
    }

    fn below_the_queue(&self, door: &Broker) -> Answer {
        let bounds = door.hub.bounds(&self.topic, self.queue)?;
        let code = response::PULL_OFFSET_MOVED;
        Ok(self.reply(code, "OFFSET_TOO_SMALL", bounds.min, bounds))
    }

    fn reply(&self, code: i32, status: &'static str, next: u64, bounds: Bounds) -> Reply {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Reply::new(code)
            .with_remark(status)
            .with_header(&PullResponse {
                // There are no replicas to read from.
                suggest_which_broker_id: 0,
                next_begin_offset: number(next),
                min_offset: number(bounds.min),
                max_offset: number(bounds.max),
                offset_delta: None,
                topic_sys_flag: Some(self.topic.sys_flag as i32),
                group_sys_flag: Some(self.group.config.sys_flag as i32),
                forbidden_type: None,
            })
    }
}
