//! The answer to a pop: the records, each with its handle, and a header that tells the same once more for clients that
//! put handles together themselves.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use crossdock_hub::{Delivered, Group, Topic};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::pop::PopResponse;

use super::check::Pop;
use super::handle::{Handle, Home};
use crate::broker::Broker;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::stats::Stats;
use crate::translate::outgoing::Records;
use crate::translate::popped::Popped;

/// What a pop found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: Arc<Group>,
    pub(super) retry: Option<Arc<Topic>>,
    /// Of the topic itself.
    pub(super) fresh: Vec<Delivered>,
    /// Of the group's retry topic.
    pub(super) returned: Vec<Delivered>,
    /// How many messages were never given out.
    pub(super) rest: u64,
    pub(super) is_ordered: bool,
}

/// Offsets of messages and the deliveries each has behind it, by where they lie.
#[derive(Debug, Default)]
struct Places(BTreeMap<(&'static str, u32), BTreeMap<u64, u16>>);

/// Starts another entry of a list.
fn entry(out: &mut String) -> &mut String {
    if !out.is_empty() {
        out.push(';');
    }
    out
}

impl Places {
    fn add(&mut self, home: Home, queue: u32, offset: u64, before: u16) {
        let place = self.0.entry((home.flag(), queue)).or_default();
        place.insert(offset, before);
    }

    /// First offset of each queue; all offsets of each queue; deliveries of each queue and message.
    fn write(&self) -> (String, String, String) {
        let (mut starts, mut offsets, mut counts) = <(String, String, String)>::default();
        for ((flag, queue), messages) in &self.0 {
            // Writing to a text does not fail.
            if let Some(first) = messages.keys().next() {
                let _ = write!(entry(&mut starts), "{flag} {queue} {first}");
            }
            let all: Vec<String> = messages.keys().map(u64::to_string).collect();
            let _ = write!(entry(&mut offsets), "{flag} {queue} {}", all.join(","));
            let least = messages.values().min().copied().unwrap_or(0);
            let _ = write!(entry(&mut counts), "{flag} {queue} {least}");
            for (offset, before) in messages {
                let _ = write!(entry(&mut counts), "{flag} qo{queue}%{offset} {before}");
            }
        }
        (starts, offsets, counts)
    }
}

impl Pop {
    pub(super) fn answer(&self, door: &Broker, found: Found) -> Answer {
        if found.fresh.is_empty() && found.returned.is_empty() {
            return Err(Refusal::new(
                response::POLLING_TIMEOUT,
                "no message came in time",
            ));
        }
        let pop_ms = door.hub.now_ms();
        let invisible_ms = i64::try_from(self.invisible.as_millis()).unwrap_or(i64::MAX);
        let expected = found.fresh.len() + found.returned.len();
        let mut records = Records::new(self.store_host, expected);
        let mut places = Places::default();
        let homes = [
            (Home::Topic, Some(&self.topic), &found.fresh),
            (Home::Retry, found.retry.as_ref(), &found.returned),
        ];
        for (home, topic, all) in homes {
            let Some(topic) = topic else { continue };
            let count = records.count;
            for Delivered {
                message,
                queue,
                attempt,
            } in all
            {
                let handle = Handle {
                    pop_ms,
                    invisible_ms,
                    attempt: *attempt,
                    home,
                    broker: door.name(),
                    queue: *queue,
                    offset: message.offset,
                };
                let before = attempt.saturating_sub(1);
                let popped = Popped {
                    topic: self.topic.name.as_str(),
                    queue: *queue,
                    handle: &handle.to_text(),
                    before,
                    pop_ms,
                };
                if records.add_popped(message, &popped) {
                    places.add(home, *queue, message.offset, before);
                } else {
                    // Nothing this protocol can show, now or later.
                    let (group, attempt) = (&found.group, Some(*attempt));
                    let _ = door
                        .hub
                        .settle(group, topic, *queue, message.offset, attempt);
                }
            }
            door.hub
                .delivered(&found.group, topic, records.count - count);
        }
        Stats::count(&door.stats.pulls_found);
        Stats::add(&door.stats.messages_out, records.count as u64);
        Stats::add(&door.stats.foreign_records_skipped, records.skipped as u64);
        let (starts, offsets, counts) = places.write();
        let header = PopResponse {
            pop_time: pop_ms,
            invisible_time: invisible_ms,
            // Each handle has its own.
            revive_qid: 0,
            rest_num: i64::try_from(found.rest).unwrap_or(i64::MAX),
            start_offset_info: Some(&starts),
            msg_offset_info: Some(&offsets),
            order_count_info: found.is_ordered.then_some(&*counts),
        };
        let reply = Reply::new(response::SUCCESS).with_remark("FOUND");
        Ok(reply.with_header(&header).with_slices(records.slices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_three_tokens_and_names_its_queue_once() {
        let mut places = Places::default();
        for (home, queue, offset, before) in [
            (Home::Topic, 1, 9, 0),
            (Home::Topic, 0, 4, 2),
            (Home::Topic, 0, 3, 1),
            (Home::Retry, 0, 8, 0),
        ] {
            places.add(home, queue, offset, before);
        }
        let (starts, offsets, counts) = places.write();
        assert_eq!(starts, "0 0 3;0 1 9;1 0 8");
        assert_eq!(offsets, "0 0 3,4;0 1 9;1 0 8");
        assert_eq!(
            counts,
            "0 0 1;0 qo0%3 1;0 qo0%4 2;0 1 0;0 qo1%9 0;1 0 0;1 qo0%8 0"
        );
    }
}
